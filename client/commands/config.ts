// cah config list: what is set, and by whom. Secrets are said to be there and never shown. Asks no hub.
import type { Command } from "commander"
import type { Config } from "../config.ts"
import type { Context } from "../context.ts"
import { type Column, table } from "../output.ts"
import { examples, type Group, type Verb } from "../verb.ts"

interface Shown {
  readonly name: string
  readonly value: string
  readonly origin: string
}

const list: Verb = {
  define(command: Command): void {
    command
      .description("List the settings that are in force.")
      .option("--origin", "also where each comes from")
      .addHelpText("after", examples("cah config list", "cah config list --origin"))
  },

  async run(context: Context, command: Command): Promise<number> {
    const { origin = false } = command.opts<{ origin?: boolean }>()
    const settings = settingsOf(context.config)
    const columns: Column<Shown>[] = [
      { title: "SETTING", value: ({ name }) => name },
      { title: "VALUE", value: ({ value }) => (value === "" ? "–" : value) },
      ...(origin ? [{ title: "ORIGIN", value: ({ origin: from }: Shown) => from }] : []),
    ]
    await context.output.value(
      settings.map(({ origin: from, ...rest }) => (origin ? { ...rest, origin: from } : rest)),
      {
        table: () => table(settings, columns, context.output.colors),
        quiet: () => settings.map(({ name, value }) => `${name}=${value}`).join("\n"),
      },
    )
    return 0
  },
}

export const config: Group = {
  define(command: Command): void {
    command
      .description("Show what is set. Flags win over CAH_… variables, those over ./.cah.toml, that over config.toml.")
      .addHelpText("after", examples("cah config list --origin"))
  },
  verbs: { list: { summary: "list the settings that are in force", verb: list } },
  usual: "list",
}

function settingsOf(config: Config): Shown[] {
  const { hub, output, project, caFile, tokenFile, insecure, agent, paths } = config
  const secret = (name: string, value: string | null, origin: string) => ({
    name,
    value: value === null ? "" : "(set, not shown)",
    origin: value === null ? "default" : origin,
  })
  return [
    { name: "hub", value: hub.value.origin, origin: hub.origin },
    { name: "output", value: output.value, origin: output.origin },
    { name: "project", value: project.value, origin: project.origin },
    { name: "token-file", value: tokenFile.value ?? "", origin: tokenFile.origin },
    secret("token", config.token, "CAH_TOKEN"),
    secret("notify-secret", config.notifySecret, "CAH_NOTIFY_SECRET"),
    { name: "ca-file", value: caFile.value ?? "", origin: caFile.origin },
    { name: "insecure", value: String(insecure.value), origin: insecure.origin },
    { name: "agent", value: agent.value ?? "", origin: agent.origin },
    { name: "credentials", value: paths.credentials, origin: "XDG_STATE_HOME" },
    ...config.files.map(({ path, found }) => ({ name: "file", value: path, origin: found ? "read" : "not there" })),
  ]
}
