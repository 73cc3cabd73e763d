// cah progress: how far campaigns are, a line each, once. `wait` shows the same while it waits, `top` for all that is under way.
import { create } from "@bufbuild/protobuf"
import type { Command } from "commander"
import { type Campaign, CampaignSchema } from "../../proto/gen/cah/v1/job_pb.ts"
import { ListCampaignsResponseSchema } from "../../proto/gen/cah/v1/scientist_pb.ts"
import { drawBar } from "../bars.ts"
import type { Context } from "../context.ts"
import { usage } from "../errors.ts"
import { clean } from "../output.ts"
import { bytesInWords, figuresOf, jobsInWords, nodesOf } from "../progress.ts"
import { findTargets, nameOfTarget } from "../targets.ts"
import { campaignState, tally } from "../text.ts"
import { examples, type Verb } from "../verb.ts"

export const progress: Verb = {
  define(command: Command): void {
    command
      .description("Say how far campaigns are, in a line each.")
      .argument("[selector...]", "12, 1-10:2, @name, last, all (that have not ended; so without any)")
      .addHelpText("after", examples("cah progress", "cah progress last", "watch -n 10 cah progress @wing"))
  },

  async run(context: Context, command: Command): Promise<number> {
    const hub = await context.hub()
    const targets = await findTargets(hub, command.args.length === 0 ? ["all"] : command.args)
    const part = targets.find(({ ranges }) => ranges !== null)
    if (part !== undefined) {
      throw usage(`${nameOfTarget(part)}: progress is a campaign's.`, `Write it like: cah progress ${part.campaign}`)
    }
    const campaigns: Campaign[] = []
    for (const { campaign: id } of targets) {
      const { campaign } = await hub.show(id)
      if (campaign !== undefined) campaigns.push(campaign)
    }
    await context.output.many(
      { schema: ListCampaignsResponseSchema, message: create(ListCampaignsResponseSchema, { campaigns }) },
      { schema: CampaignSchema, messages: campaigns },
      { table: () => campaigns.map(inWords).join("\n"), quiet: inPercent },
    )
    if (campaigns.length === 0) context.output.note("Nothing is under way. Ended campaigns: cah ls --all")
    return 0
  },
}

function inWords(campaign: Campaign): string {
  const now = tally(campaign)
  const figures = figuresOf(campaign.totals)
  return [
    clean(campaign.name === "" ? `campaign ${campaign.id}` : campaign.name),
    `${drawBar(now.ended, now.total)} ${now.ended}/${now.total}`,
    now.active > 0 ? "" : campaignState(campaign),
    jobsInWords(now, figures),
    bytesInWords(figures, nodesOf(campaign)),
  ]
    .filter(part => part !== "")
    .join("  ")
}

function inPercent(campaign: Campaign): string {
  const { ended, total } = tally(campaign)
  return total === 0 ? "0" : String(Math.floor((100 * ended) / total))
}
