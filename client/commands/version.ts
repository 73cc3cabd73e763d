// cah version: of this client and of the Node.js below it. Asks no hub; whoami and doctor do.
import type { Command } from "commander"
import type { Context } from "../context.ts"
import { examples, type Verb } from "../verb.ts"
import { clientVersion } from "../version.ts"

export const version: Verb = {
  define(command: Command): void {
    command
      .description("Print the version of this program.")
      .addHelpText("after", examples("cah version", "cah version -o json"))
  },

  async run(context: Context): Promise<number> {
    const client = clientVersion()
    const node = process.versions.node
    await context.output.value(
      { client, node },
      { table: () => `cah ${client} (Node.js ${node})`, quiet: () => client },
    )
    return 0
  },
}
