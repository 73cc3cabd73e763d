// The command tree: verbs, groups of verbs and what they have in common, put together for commander. Verbs that are not loaded are there
// by name and summary only: nobody typed them. Decides nothing and prints nothing.
import { Command, Option } from "commander"
import { formats, hubSettings, topSettings } from "./config.ts"
import { usage } from "./errors.ts"
import { explainVerb, firstScreen, isFirstScreen, verbsOnAScreen } from "./help.ts"
import { type Group, isGroup, type Verb } from "./verb.ts"
import { type Entries, type Entry, oarVerbs, verbs as otherVerbs } from "./verbs.ts"
import { clientVersion } from "./version.ts"

export type Act = (verb: Verb, command: Command) => Promise<void>

const verbs: Entries = {
  ...otherVerbs,
  completion: {
    summary: "print a completion script for your shell",
    load: async () => {
      const { completionOf } = await import("./commands/completion.ts")
      return completionOf(async () => [await wholeTree(), ...(await oarPrograms())])
    },
  },
}

/** The program of that name, with the verbs that `words` may mean. */
export async function programOf(name: string, words: readonly string[], act: Act): Promise<Command> {
  const entry = Object.hasOwn(oarVerbs, name) ? oarVerbs[name] : undefined
  return entry === undefined ? tree(await loadVerbs(words), act) : oarProgram(name, entry, act)
}

async function oarProgram(name: string, entry: Entry, act: Act): Promise<Command> {
  const verb = (await entry.load()) as Verb
  const program = new Command(name)
  verb.define(program)
  program.version(clientVersion(), "-V, --version", "print the version")
  for (const option of program.options) if (option.long === "--version") option.hideHelp()
  for (const option of commonOptions()) program.addOption(option.hideHelp())
  program.helpOption("-h, --help", "explain it")
  program.addHelpText("after", "\nIt takes the flags of cah too: see cah --help, and docs/from-oar.md")
  program.action(() => act(verb, program))
  return program
}

/** With every verb: completion and the manual page are made from it. */
export async function wholeTree(): Promise<Command> {
  return tree(await loadVerbs(Object.keys(verbs)), async () => {})
}

/** Those of OAR's names. */
export async function oarPrograms(): Promise<Command[]> {
  const all = Object.entries(oarVerbs).map(([name, entry]) => oarProgram(name, entry, async () => {}))
  return Promise.all(all)
}

/** Those of the verbs that these words could mean. */
async function loadVerbs(words: readonly string[]): Promise<ReadonlyMap<string, Verb | Group>> {
  const wanted = Object.entries(verbs).filter(([name]) => words.includes(name))
  return new Map(await Promise.all(wanted.map(async ([name, { load }]) => [name, await load()] as const)))
}

function tree(loaded: ReadonlyMap<string, Verb | Group>, act: Act): Command {
  const program = new Command("cah")
    .description("Run one command a million times on computers that people lend you.")
    .version(clientVersion(), "-V, --version", "print the version")
    .enablePositionalOptions()
    .showSuggestionAfterError(true)
    .helpCommand(false)
    // Choices stand in the descriptions, in fewer words.
    .configureHelp({ showGlobalOptions: false, optionDescription: option => option.description })
  for (const option of commonOptions()) program.addOption(option)
  for (const [name, { summary }] of Object.entries(verbs)) {
    const command = program.command(name, { hidden: summary === "" }).summary(summary)
    const verb = loaded.get(name)
    if (verb !== undefined) grow(command, verb, act)
  }
  program
    .command("help")
    .summary("explain a verb with all its flags")
    .argument("[verb...]")
    .action((words: string[]) => explainVerb(program, words))
  program.addHelpText("after", () => `\n${firstSteps}\n\n${isFirstScreen(program) ? moreHelp : codesAndSettings}`)
  // Last: verbs inherit the form of their help when they are made.
  firstScreen(program, verbsOnAScreen)
  return program
}

const firstSteps = `First steps:
  cah login --hub https://hub.example.org
  cah sub --array 10 -- echo hello
  cah wait last && cah get last`

const moreHelp = "More of one: cah sub --help    flags of all, exit codes and settings: cah help"

const codesAndSettings = `Exit: 0 ok, 1 a job failed, 2 usage, 3 not found, 4 denied, 5 hub unreachable,
      6 refused by quota or rule, 7 bad stagein or checksum, 124 timeout,
      130 Ctrl-C.
Settings: flags, then CAH_HUB CAH_CONTEXT CAH_TOKEN CAH_TOKEN_FILE CAH_CA_FILE
      CAH_OUTPUT CAH_PROJECT, then ./.cah.toml, ~/.config/cah/config.toml,
      /etc/cah/config.toml. See where each comes from: cah config list --origin`

function grow(command: Command, verb: Verb | Group, act: Act): void {
  verb.define(command)
  command.helpOption("-h, --help", "explain this verb")
  if (isGroup(verb)) {
    command.helpCommand(false)
    for (const [name, { summary, verb: inner }] of Object.entries(verb.verbs)) {
      const usual = name === verb.usual
      const member = command.command(name, { isDefault: usual }).summary(summary)
      grow(member, inner, usual && !isGroup(inner) ? strictly(command, verb, act) : act)
      if (usual) member.allowExcessArguments(true)
    }
    return
  }
  for (const option of commonOptions()) command.addOption(option.hideHelp())
  command.addHelpText("after", () => {
    const every = "Every verb takes --hub, -o json and more: cah help"
    return `\n${isFirstScreen(command) ? `All flags: cah help ${command.name()}    ` : ""}${every}`
  })
  command.action(() => act(verb, command))
}

/** Before the usual verb of a group, which takes no arguments: a word there is another verb, mistyped. */
function strictly(group: Command, { verbs: members }: Group, act: Act): Act {
  return (verb, command) => {
    const [word] = command.args
    if (word === undefined) return act(verb, command)
    throw usage(`Unknown command '${word}' of cah ${group.name()}.`, `There are: ${Object.keys(members).join(", ")}.`)
  }
}

/** A verb's options over those of its groups and of the program. */
export function optionsOf(command: Command): Record<string, unknown> {
  const above = command.parent === null ? {} : optionsOf(command.parent)
  return { ...above, ...command.opts() }
}

function commonOptions(): Option[] {
  return [
    new Option("--hub <url|name>", topSettings.hub.help),
    new Option("-o, --output <format>", topSettings.output.help).choices(formats),
    new Option("--token-file <file>", hubSettings["token-file"].help),
    new Option("--ca-file <file>", hubSettings["ca-file"].help),
    new Option("--ca <file>", "as --ca-file").hideHelp(),
    new Option("--insecure", hubSettings.insecure.help),
    new Option("--color <when>", "auto, always or never").choices(["auto", "always", "never"]),
    new Option("--progress", "lines of progress where there is no terminal"),
  ]
}
