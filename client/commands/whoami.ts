// cah whoami: as whom the hub knows us, and what our token may do.
import type { Command } from "commander"
import { WhoAmIResponseSchema } from "../../proto/gen/cah/v1/scientist_pb.ts"
import type { Context } from "../context.ts"
import { fields } from "../output.ts"
import { scopeWords } from "../text.ts"
import { examples, type Verb } from "../verb.ts"

export const whoami: Verb = {
  define(command: Command): void {
    command
      .description("Show as whom the hub knows you, and what your token may do.")
      .addHelpText("after", examples("cah whoami", "cah whoami --hub https://hub.example.org -o json"))
  },

  async run(context: Context): Promise<number> {
    const hub = await context.hub()
    const who = await hub.whoAmI()
    await context.output.one(WhoAmIResponseSchema, who, {
      table: () =>
        fields(
          [
            ["You are", who.principal],
            ["You may", who.scopes.map(scope => scopeWords[scope] ?? "?").join(", ")],
            ["Hub", `${hub.url.origin}  (${context.config.hub.origin})`],
            ["Version", who.hubVersion],
          ],
          context.output.colors,
        ),
      quiet: () => who.principal,
    })
    return 0
  },
}
