// The scientist's `cah`: the tree of verbs, from argv to an exit code. Here a thrown ClientError becomes words on stderr and
// a code of UX §2, Ctrl-C becomes one abort signal for everything, and a closed pipe becomes a quiet end.
// No verb's logic lives here; nothing but this file calls process.exit.
import { setMaxListeners } from "node:events"
import { Command, CommanderError, Option } from "commander"
import { completion } from "./commands/completion.ts"
import { del } from "./commands/del.ts"
import { doctor } from "./commands/doctor.ts"
import { get } from "./commands/get.ts"
import { hold, resume } from "./commands/hold.ts"
import { login } from "./commands/login.ts"
import { logout } from "./commands/logout.ts"
import { logs } from "./commands/logs.ts"
import { ls } from "./commands/ls.ts"
import { nodes } from "./commands/nodes.ts"
import { resub } from "./commands/resub.ts"
import { show } from "./commands/show.ts"
import { sub } from "./commands/sub.ts"
import { top } from "./commands/top.ts"
import { version } from "./commands/version.ts"
import { wait } from "./commands/wait.ts"
import { whoami } from "./commands/whoami.ts"
import { type Environment, type Flags, type Format, resolveConfig } from "./config.ts"
import { Context, type Stdin } from "./context.ts"
import { loadCredentials } from "./credentials.ts"
import { ClientError, usage } from "./errors.ts"
import { oardel } from "./oar/oardel.ts"
import { oarhold, oarresume } from "./oar/oarhold.ts"
import { oarnodes } from "./oar/oarnodes.ts"
import { oarstat } from "./oar/oarstat.ts"
import { oarsub } from "./oar/oarsub.ts"
import { Output, type Stream } from "./output.ts"
import type { Verb } from "./verb.ts"
import { clientVersion } from "./version.ts"

const verbs: Readonly<Record<string, Verb>> = {
  sub,
  ls,
  show,
  wait,
  top,
  get,
  logs,
  del,
  hold,
  resume,
  resub,
  nodes,
  login,
  logout,
  whoami,
  doctor,
  completion,
  version,
}

/** Programs of their own name, for hands that are used to OAR's. */
const oarVerbs: Readonly<Record<string, Verb>> = { oarsub, oarstat, oardel, oarhold, oarresume, oarnodes }

export interface Surroundings {
  /** By which we were called. Anything but a name of OAR's means cah. */
  readonly name?: string
  readonly argv: readonly string[]
  readonly environment: Environment
  readonly cwd: string
  readonly stdin: Stdin
  readonly stdout: Stream
  readonly stderr: Stream
  readonly signal: AbortSignal
}

/** One run of `cah`. Never throws: what goes wrong is told on stderr, and is the exit code. */
export async function run(around: Surroundings): Promise<number> {
  let output = new Output({ ...around, format: askedFormat(around), color: "auto", noColor: true })
  let context: Context | null = null
  let exitCode = 0
  const act = async (verb: Verb, command: Command) => {
    const flags: Flags = { ...program.opts<Flags>(), ...command.opts<Flags>() }
    const config = await resolveConfig(flags, around.environment, around.cwd, loadCredentials)
    const { noColor, dumb } = config.terminal
    output = new Output({ ...around, format: config.output.value, color: config.color, noColor: noColor || dumb })
    context = new Context({ ...around, config, output })
    exitCode = await verb.run(context, command)
  }
  const program = programOf(around.name ?? "cah", act)
  quieten(program, around)
  try {
    await program.parseAsync(around.argv, { from: "user" })
    return exitCode
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0
    const error = inOurWords(thrown, around.signal, context)
    closeBar(context)
    output.error(error)
    if (around.environment.CAH_DEBUG === "1") around.stderr.write(`${debugText(error)}\n`)
    return error.exitCode
  } finally {
    closeBar(context)
  }
}

type Act = (verb: Verb, command: Command) => Promise<void>

function programOf(name: string, act: Act): Command {
  const verb = Object.hasOwn(oarVerbs, name) ? oarVerbs[name] : undefined
  if (verb === undefined) return tree(act)
  const program = new Command(name)
  verb.define(program)
  program.version(clientVersion(), "-V, --version", "print the version")
  for (const option of program.options) if (option.long === "--version") option.hideHelp()
  for (const option of commonOptions()) program.addOption(option.hideHelp())
  program.helpOption("-h, --help", "explain it")
  program.addHelpText("after", "\nIt takes --hub and the other flags of cah too: see cah --help, and docs/from-oar.md")
  program.action(() => act(verb, program))
  return program
}

/** The whole tree, each verb calling `act`. */
export function tree(act: Act): Command {
  const program = new Command("cah")
    .description("Run one command a million times on computers that people lend you.")
    .version(clientVersion(), "-V, --version", "print the version")
    .enablePositionalOptions()
    .showSuggestionAfterError(true)
    .helpCommand("help [verb]", "explain a verb")
    .configureHelp({ showGlobalOptions: false })
    .addHelpText(
      "after",
      `
First steps:
  cah login --hub https://hub.example.org
  cah sub --array 10 -- echo hello
  cah wait last && cah get last

Exit: 0 ok, 1 a job failed, 2 usage, 3 not found, 4 denied, 5 hub unreachable, 6 refused by quota or rule,
      7 bad stagein or checksum, 124 timeout, 130 Ctrl-C.
Settings: flags, then CAH_HUB CAH_TOKEN CAH_TOKEN_FILE CAH_CA_FILE CAH_OUTPUT CAH_PROJECT, then ./.cah.toml,
      ~/.config/cah/config.toml, /etc/cah/config.toml. See where each comes from: cah doctor`,
    )
  for (const option of commonOptions()) program.addOption(option)
  for (const [name, verb] of Object.entries(verbs)) {
    const command = program.command(name)
    verb.define(command)
    for (const option of commonOptions()) command.addOption(option.hideHelp())
    command.helpOption("-h, --help", "explain this verb")
    command.addHelpText("after", "\nEvery verb takes --hub, -o json and more: see cah --help")
    command.action(() => act(verb, command))
  }
  return program
}

function commonOptions(): Option[] {
  return [
    new Option("--hub <url|name>", "the hub (the last login, or http://127.0.0.1:8080)"),
    new Option("-o, --output <format>", "table for people, json, ndjson, or quiet: ids only").choices([
      "table",
      "json",
      "ndjson",
      "quiet",
    ]),
    new Option("--token-file <file>", "read the token from a file of mode 0600"),
    new Option("--ca-file <file>", "trust these PEM certificates in place of the system's"),
    new Option("--insecure", "allow plain text to a hub on another machine"),
    new Option("--color <when>", "auto, always or never").choices(["auto", "always", "never"]),
    new Option("--progress", "a line of progress every 10 s where there is no terminal"),
  ]
}

/** Errors of the command line are ours to print; help is data, and goes to stdout. */
function quieten(program: Command, around: Surroundings): void {
  for (const command of [program, ...program.commands]) {
    command.exitOverride()
    command.configureOutput({
      writeOut: text => void around.stdout.write(text),
      writeErr: () => {},
      getOutHelpWidth: () => Math.max(60, around.stdout.columns ?? 110),
    })
  }
}

function inOurWords(thrown: unknown, signal: AbortSignal, context: Context | null): ClientError {
  if (thrown instanceof CommanderError) {
    const [first = "", ...more] = thrown.message.replace(/^error: /, "").split("\n")
    if (thrown.code === "commander.help") return usage("Which verb?", "See them all: cah --help")
    const hint = more.join(" ").replace(/[()]/g, "").trim()
    return usage(
      `${first.charAt(0).toUpperCase()}${first.slice(1)}.`.replace(/\.\.$/, "."),
      hint === "" ? "See: cah --help" : hint,
    )
  }
  const error = ClientError.from(signal.aborted ? signal.reason : thrown)
  if (error.code !== "interrupted" || context === null) return error
  return new ClientError(error.code, error.message, { hint: context.onInterrupt, exitCode: error.exitCode })
}

/** Errors of the command line itself come before the configuration is known, but -o json was typed all the same. */
function askedFormat(around: Surroundings): Format {
  const { argv, environment } = around
  const end = argv.indexOf("--")
  const flags = end === -1 ? argv : argv.slice(0, end)
  const asked = flags.flatMap((word, index) => {
    if (word === "-o" || word === "--output") return [flags[index + 1] ?? ""]
    const joined = /^(?:-o|--output=)(.+)$/.exec(word)
    return joined === null ? [] : [joined[1] ?? ""]
  })
  const last = asked.at(-1) ?? environment.CAH_OUTPUT
  return last === "json" || last === "ndjson" || last === "quiet" ? last : "table"
}

function closeBar(context: Context | null): void {
  context?.close()
}

function debugText(error: ClientError): string {
  const stacks: string[] = []
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause)
    stacks.push(cause.stack ?? cause.message)
  return stacks.join("\ncaused by ")
}

/** Called by bin/cah.mjs with the name it has there. Sets the exit code and lets the process end by itself, so that no output is cut off. */
export async function main(name: string): Promise<void> {
  const interrupt = new AbortController()
  // Parallel transfers all listen; their number is bounded elsewhere.
  setMaxListeners(0, interrupt.signal)
  for (const [name, exitCode] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const) {
    process.on(name, () => {
      // The second time the user means it.
      if (interrupt.signal.aborted) process.exit(exitCode)
      interrupt.abort(new ClientError("interrupted", "Interrupted.", { exitCode }))
    })
  }
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", error => {
      // Whoever read our output has seen enough (cah logs 12 | head): that is no failure.
      process.exit("code" in error && error.code === "EPIPE" ? 0 : 1)
    })
  }
  process.exitCode = await run({
    name,
    argv: process.argv.slice(2),
    environment: process.env,
    cwd: process.cwd(),
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    signal: interrupt.signal,
  })
  // A stdin that was asked something would keep the process waiting for more.
  process.stdin.unref?.()
}
