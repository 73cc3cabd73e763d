// cah admin enrol: a secret with which new agents join, and the command that they join with.
import type { Command } from "commander"
import { CreateEnrolmentResponseSchema } from "../../proto/gen/cah/v1/operator_pb.ts"
import type { Context } from "../context.ts"
import { ENROLMENT_USES_MAX } from "../limits.ts"
import { parseCount, parseDuration, plural } from "../quantities.ts"
import { showMoment } from "../text.ts"
import { examples, type Verb } from "../verb.ts"

export const enrol: Verb = {
  define(command: Command): void {
    command
      .description("Make a secret with which new agents join, and print the command to type on their machines.")
      .argument("[account]", "whose nodes they will be (yours)")
      .option("--uses <n>", "how many agents may join with it (1)")
      .option("--for <time>", "how long it is good, like 1d (15m)")
      .addHelpText("after", examples("cah admin enrol", "cah admin enrol lab --uses 10 --for 1d"))
  },

  async run(context: Context, command: Command): Promise<number> {
    const options = command.opts<{ uses?: string; for?: string }>()
    const uses = options.uses === undefined ? 1 : parseCount(options.uses, "--uses", 1, ENROLMENT_USES_MAX)
    const lifetimeMs = options.for === undefined ? null : parseDuration(options.for, "--for") * 1000
    const hub = await context.hub()
    const account = command.args[0] ?? (await hub.whoAmI()).principal
    const made = await hub.operator.createEnrolment(account, uses, lifetimeMs)
    await context.output.one(CreateEnrolmentResponseSchema, made, {
      table: () => `cah-agent --hub ${hub.url.origin} --enroll ${made.secret}`,
      quiet: () => made.secret,
    })
    context.output.note(`Good for ${plural(uses, "agent")} of ${account}, until ${showMoment(made.expiresAt)}.`)
    context.output.note(
      "In a checkout where it is not installed, type node agent/bin/cah-agent.mjs in place of cah-agent.",
    )
    return 0
  },
}
