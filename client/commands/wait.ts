// cah wait: until the selected work has ended. Exit 1 if a job did not finish well, 124 at --timeout, 130 at Ctrl-C.
import { create } from "@bufbuild/protobuf"
import type { Command } from "commander"
import { CampaignSchema } from "../../proto/gen/cah/v1/job_pb.ts"
import { ListCampaignsResponseSchema } from "../../proto/gen/cah/v1/scientist_pb.ts"
import type { Context } from "../context.ts"
import { usage } from "../errors.ts"
import { TIMEOUT_MAX_S, WATCH_ANY_MAX } from "../limits.ts"
import { parseDuration } from "../quantities.ts"
import { findTargets } from "../targets.ts"
import { examples, type Verb } from "../verb.ts"
import { endInWords, verdict, waitFor } from "../waiting.ts"

interface Options {
  readonly timeout?: string
  readonly any?: boolean
  readonly anyExitOk?: boolean
}

export const wait: Verb = {
  define(command: Command): void {
    command
      .description("Wait until campaigns or jobs have ended. Survives a restart of the hub.")
      .argument("<selector...>", "12, 12.7, 12.0-99, 1-10:2, @name, last, all (that have not ended)")
      .option("--timeout <time>", "give up after this long, like 1h 15m; exit 124")
      .option("--any", "only until the first of several campaigns has ended")
      .option("--any-exit-ok", "exit 0 even if jobs did not finish well")
      .addHelpText(
        "after",
        `${examples("cah wait last && cah get last", "cah wait --timeout 2h 12,14.0-9")}
\nExit: 0 all finished well, 1 a job did not, 124 timeout, 130 Ctrl-C.`,
      )
  },

  async run(context: Context, command: Command): Promise<number> {
    const options = command.opts<Options>()
    const timeoutSeconds = options.timeout === undefined ? null : parseDuration(options.timeout, "--timeout")
    if ((timeoutSeconds ?? 0) > TIMEOUT_MAX_S)
      throw usage("--timeout: at most 24 days.", "Leave it out to wait for ever.")
    const hub = await context.hub()
    const targets = await findTargets(hub, command.args)
    if (targets.length === 0) context.output.note("Nothing to wait for: all your campaigns have ended.")
    const { any = false } = options
    if (any && targets.length > WATCH_ANY_MAX) {
      throw usage(`--any: ${targets.length} campaigns are too many to be watched at once: ${WATCH_ANY_MAX} at most.`)
    }
    const ids = targets.map(target => target.campaign).join(",")
    context.onInterrupt = `The work goes on; cancel it with: cah del ${ids}`
    const ended = await waitFor(context, hub, targets, { timeoutSeconds, any })
    const bad = verdict(ended)
    if (context.output.format !== "ndjson") {
      const campaigns = ended.map(one => one.campaign)
      const message = create(ListCampaignsResponseSchema, { campaigns })
      await context.output.many(
        { schema: ListCampaignsResponseSchema, message },
        { schema: CampaignSchema, messages: campaigns },
        { table: () => ended.map(endInWords).join("\n"), quiet: campaign => String(campaign.id) },
      )
    }
    if (bad === null) return 0
    if (options.anyExitOk !== true) throw bad
    context.output.note(`${bad.message}\n${bad.hint}`)
    return 0
  },
}
