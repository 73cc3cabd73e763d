// cah context: hubs by a name, and which of them is asked. Names lie in the user's config.toml, the choice beside the tokens, as that of a
// login does.
import type { Command } from "commander"
import { hubUrl } from "../config.ts"
import type { Context } from "../context.ts"
import { addContext, type ContextSettings, checkContextName, removeContext } from "../contexts.ts"
import { loadCredentials, saveCredentials } from "../credentials.ts"
import { ClientError, usage } from "../errors.ts"
import { table } from "../output.ts"
import { examples, type Group, type Verb } from "../verb.ts"

const ls: Verb = {
  define(command: Command): void {
    command
      .description("List the hubs that have a name, and those that you are logged in to.")
      .addHelpText("after", examples("cah context ls", "cah context ls -o json"))
  },

  async run(context: Context): Promise<number> {
    const { config, output } = context
    const { tokens } = await loadCredentials(config.paths.credentials)
    const named = config.contexts.map(({ name, url, path }) => ({ name, url: hubUrl(url, path).origin, from: path }))
    const others = Object.keys(tokens).filter(url => named.every(one => one.url !== url))
    const all = [...named, ...others.map(url => ({ name: "", url, from: "login" }))].map(one => ({
      ...one,
      current: one.url === config.hub.value.origin,
      loggedIn: Object.hasOwn(tokens, one.url),
    }))
    await output.value(all, {
      table: () =>
        table(
          all,
          [
            { title: "", value: ({ current }) => (current ? "*" : "") },
            { title: "NAME", value: ({ name }) => (name === "" ? "–" : name) },
            { title: "URL", value: ({ url }) => url },
            { title: "TOKEN", value: ({ loggedIn }) => (loggedIn ? "yes" : "no") },
            { title: "FROM", value: ({ from }) => from },
          ],
          output.colors,
        ),
      quiet: () => all.map(({ name, url }) => (name === "" ? url : name)).join("\n"),
    })
    if (all.length === 0)
      output.note("There is none. Make one: cah context add NAME URL, or log in: cah login --hub URL")
    return 0
  },
}

const use: Verb = {
  define(command: Command): void {
    command
      .description("Ask this hub from now on, as a login to it would.")
      .argument("<context>", "a name, or the URL of a hub that you are logged in to")
      .addHelpText("after", examples("cah context use lab", "CAH_CONTEXT=lab cah ls    # for one command"))
  },

  async run(context: Context, command: Command): Promise<number> {
    const { config, output } = context
    const [name = ""] = command.args
    const known = await loadCredentials(config.paths.credentials)
    const named = config.contexts.find(one => one.name === name)
    if (named === undefined && !Object.hasOwn(known.tokens, name)) throw unknown(context, name)
    const url = hubUrl(named?.url ?? name, named?.path ?? "cah context use").origin
    await saveCredentials(config.paths.credentials, { ...known, current: url })
    await output.value({ current: url }, { table: () => `The hub is ${url}.`, quiet: () => url })
    if (config.hub.origin !== "default" && config.hub.origin !== "the last login") {
      output.warn(`${config.hub.origin} goes first here, and says ${config.hub.value.origin}.`)
    }
    return 0
  },
}

const add: Verb = {
  define(command: Command): void {
    command
      .description(
        "Give a hub a name, for --hub, CAH_CONTEXT and cah context use. What --ca-file, --token-file and --insecure " +
          "say is kept with it.",
      )
      .argument("<name>", "letters, digits, _ and -")
      .argument("<url>", "https://hub.example.org:8080")
      .addHelpText(
        "after",
        examples("cah context add lab https://lab.example.org", "cah context add home http://127.0.0.1:8080"),
      )
  },

  async run(context: Context, command: Command): Promise<number> {
    const { config, output } = context
    const [typed = "", address = ""] = command.args
    const name = checkContextName(typed)
    const there = config.contexts.find(one => one.name === name)
    if (there !== undefined) {
      throw new ClientError("already_exists", `${name} is ${there.url} already, in ${there.path}.`, {
        hint: `To change it, remove it first: cah context rm ${name}`,
      })
    }
    const url = hubUrl(address, "URL").origin
    const { caFile, tokenFile, insecure } = config
    const settings: ContextSettings = {
      url,
      ...(caFile.origin === "--ca-file" && caFile.value !== null ? { "ca-file": caFile.value } : {}),
      ...(tokenFile.origin === "--token-file" && tokenFile.value !== null ? { "token-file": tokenFile.value } : {}),
      ...(insecure.origin === "--insecure" ? { insecure: true } : {}),
    }
    await addContext(config.paths.userFile, name, settings)
    await output.value({ name, ...settings }, { table: () => `${name} is ${url}.`, quiet: () => name })
    output.note(`Log in to it: cah login --hub ${name}    ask it from now on: cah context use ${name}`)
    return 0
  },
}

const rm: Verb = {
  define(command: Command): void {
    command
      .description("Forget a hub's name. Its token stays: cah logout forgets that.")
      .argument("<context>", "a name")
      .addHelpText("after", examples("cah context rm lab"))
  },

  async run(context: Context, command: Command): Promise<number> {
    const { config, output } = context
    const [name = ""] = command.args
    const there = config.contexts.find(one => one.name === name)
    if (there === undefined) throw unknown(context, name)
    if (there.path !== config.paths.userFile) {
      throw new ClientError("permission_denied", `${name} is described by ${there.path}, which is not yours.`, {
        hint: "An operator of this machine can remove it.",
      })
    }
    await removeContext(there.path, name)
    await output.value({ removed: name }, { table: () => `${name} is forgotten.`, quiet: () => name })
    return 0
  },
}

export const context: Group = {
  define(command: Command): void {
    command
      .description("Hubs by a name, and which of them is asked.")
      .addHelpText("after", examples("cah context add lab https://lab.example.org", "cah context use lab"))
  },
  verbs: {
    ls: { summary: "list them", verb: ls },
    use: { summary: "ask this hub from now on", verb: use },
    add: { summary: "give a hub a name", verb: add },
    rm: { summary: "forget a hub's name", verb: rm },
  },
  usual: "ls",
}

function unknown({ config }: Context, name: string): ClientError {
  const names = config.contexts.map(one => one.name)
  return usage(
    `There is no context "${name}".`,
    names.length === 0 ? "Make one: cah context add NAME URL" : `There are: ${names.join(", ")}.`,
  )
}
