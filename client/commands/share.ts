// cah admin share: how much of the machines each owner gets when all want more than there is.
import { create } from "@bufbuild/protobuf"
import type { Command } from "commander"
import { ListSharesResponseSchema, ShareSchema } from "../../proto/gen/cah/v1/operator_pb.ts"
import type { Context } from "../context.ts"
import { usage } from "../errors.ts"
import { SHARE_MAX, SHARE_MIN } from "../limits.ts"
import { table } from "../output.ts"
import { showDuration } from "../quantities.ts"
import { examples, type Group, type Verb } from "../verb.ts"

const ls: Verb = {
  define(command: Command): void {
    command
      .description("List owners with their share, what they used (older use counts less) and what they have now.")
      .addHelpText("after", examples("cah admin share ls", "cah admin share ls -o json"))
  },

  async run(context: Context): Promise<number> {
    const shares = await (await context.hub()).operator.shares()
    await context.output.many(
      { schema: ListSharesResponseSchema, message: create(ListSharesResponseSchema, { shares }) },
      { schema: ShareSchema, messages: shares },
      {
        table: () =>
          table(
            shares,
            [
              { title: "OWNER", value: ({ owner }) => owner },
              { title: "SHARE", value: ({ share }) => String(share), right: true },
              { title: "USED", value: ({ usedCoreSeconds }) => showDuration(usedCoreSeconds), right: true },
              { title: "SLOTS", value: ({ slotsNow }) => String(slotsNow), right: true },
              {
                title: "PROJECTS",
                value: ({ projects }) =>
                  projects.map(one => `${one.project} ${showDuration(one.usedCoreSeconds)}`).join(", "),
              },
            ],
            context.output.colors,
          ),
        quiet: ({ owner, share }) => `${owner} ${share}`,
      },
    )
    if (shares.length === 0) context.output.note("Nobody has used anything yet: all have share 1.")
    return 0
  },
}

const set: Verb = {
  define(command: Command): void {
    command
      .description(
        "Set an owner's share: with 2, twice the core-seconds of one with 1, when all want more than there is.",
      )
      .argument("<owner>", "whose")
      .argument("<share>", `${SHARE_MIN} to ${SHARE_MAX}; 1 is everybody's`)
      .addHelpText("after", examples("cah admin share set ada 2", "cah admin share set ada 1    # as everybody"))
  },

  async run(context: Context, command: Command): Promise<number> {
    const [owner = "", text = ""] = command.args
    const share = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN
    if (!(share >= SHARE_MIN && share <= SHARE_MAX)) {
      throw usage(`"${text}" is not a share.`, `Give a number from ${SHARE_MIN} to ${SHARE_MAX}; everybody's is 1.`)
    }
    await (await context.hub()).operator.setShare(owner, share)
    await context.output.value(
      { owner, share },
      { table: () => `The share of ${owner} is ${share}.`, quiet: () => String(share) },
    )
    return 0
  },
}

export const share: Group = {
  define(command: Command): void {
    command
      .description("How much of the machines each owner gets when all want more than there is.")
      .addHelpText("after", examples("cah admin share ls", "cah admin share set ada 2"))
  },
  verbs: { ls: { summary: "list them", verb: ls }, set: { summary: "set an owner's", verb: set } },
  usual: "ls",
}
