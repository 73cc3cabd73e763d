// cah login: take a token from a file, from stdin, or from a prompt that does not show it; try it; keep it, mode 0600.
// A token is never an argument: arguments are seen by everybody on the machine.
import type { Command } from "commander"
import { WhoAmIResponseSchema } from "../../proto/gen/cah/v1/scientist_pb.ts"
import type { Context } from "../context.ts"
import { checkToken, loadCredentials, readTokenFile, saveCredentials } from "../credentials.ts"
import { usage } from "../errors.ts"
import { TOKEN_MAX_BYTES } from "../limits.ts"
import { askSecret } from "../terminal.ts"
import { examples, type Verb } from "../verb.ts"

export const login: Verb = {
  define(command: Command): void {
    command
      .description(
        "Keep a token for a hub, which becomes the hub of later commands. The token is read from --token-file, " +
          "from stdin if that is not a terminal, or asked for without being shown. It is tried before it is kept.",
      )
      .addHelpText(
        "after",
        examples(
          "cah login --hub https://hub.example.org",
          "cah login --hub http://127.0.0.1:8080 --token-file data/admin.token",
        ),
      )
  },

  async run(context: Context): Promise<number> {
    const { config, output } = context
    const url = config.hub.value.origin
    const token = await readToken(context)
    const hub = await context.open(token)
    try {
      const who = await hub.whoAmI()
      const known = await loadCredentials(config.paths.credentials)
      await saveCredentials(config.paths.credentials, { current: url, tokens: { ...known.tokens, [url]: token } })
      await output.one(WhoAmIResponseSchema, who, {
        table: () => `Logged in to ${url} as ${who.principal}.`,
        quiet: () => who.principal,
      })
    } finally {
      hub.close()
    }
    if (config.hub.origin !== "--hub" && config.hub.origin !== "default")
      output.note(`The hub was chosen by ${config.hub.origin}.`)
    return 0
  },
}

async function readToken(context: Context): Promise<string> {
  const { tokenFile } = context.config
  // Only the flag: a token that the configuration names needs no login.
  if (tokenFile.value !== null && tokenFile.origin === "--token-file" && tokenFile.value !== "-") {
    return readTokenFile(tokenFile.value, tokenFile.origin)
  }
  if (context.stdin.isTTY === true) {
    return checkToken(
      await askSecret(context, `Token for ${context.config.hub.value.origin} (not shown): `),
      "What you typed",
    )
  }
  let text = ""
  for await (const chunk of context.stdin) {
    text += chunk.toString()
    if (text.length > TOKEN_MAX_BYTES)
      throw usage(`stdin holds more than ${TOKEN_MAX_BYTES} characters: that is no token.`)
  }
  return checkToken(text, "stdin")
}
