// cah logout: forget the token of a hub, or of all. The token itself stays valid until an operator revokes it.
import type { Command } from "commander"
import type { Context } from "../context.ts"
import { loadCredentials, saveCredentials } from "../credentials.ts"
import { examples, type Verb } from "../verb.ts"

export const logout: Verb = {
  define(command: Command): void {
    command
      .description(
        "Forget the token of a hub. An operator can make it worthless everywhere: ask for that if it leaked.",
      )
      .option("--all", "of every hub")
      .addHelpText("after", examples("cah logout", "cah logout --hub https://hub.example.org"))
  },

  async run(context: Context, command: Command): Promise<number> {
    const { all } = command.opts<{ all?: boolean }>()
    const { config, output } = context
    const known = await loadCredentials(config.paths.credentials)
    const url = config.hub.value.origin
    const forgotten = Object.keys(known.tokens).filter(hub => all === true || hub === url)
    const tokens = Object.fromEntries(Object.entries(known.tokens).filter(([hub]) => !forgotten.includes(hub)))
    const current = known.current !== null && forgotten.includes(known.current) ? null : known.current
    if (forgotten.length > 0) await saveCredentials(config.paths.credentials, { current, tokens })
    await output.value(
      { loggedOut: forgotten },
      {
        table: () =>
          forgotten.length === 0 ? `You were not logged in to ${url}.` : `Logged out of ${forgotten.join(", ")}.`,
        quiet: () => forgotten.join("\n"),
      },
    )
    return 0
  },
}
