// The scientist's `cah`: from argv to an exit code. Here a thrown ClientError becomes words on stderr and
// an exit code of errors.ts, Ctrl-C becomes one abort signal for everything, and a closed pipe becomes a quiet end.
// No verb's logic lives here; nothing but this file calls process.exit.
import { setMaxListeners } from "node:events"
import { type Command, CommanderError } from "commander"
import { type Environment, type Flags, type Format, formats, resolveConfig } from "./config.ts"
import { Context, type Stdin } from "./context.ts"
import { loadCredentials } from "./credentials.ts"
import { ClientError, usage } from "./errors.ts"
import { Output, type Stream } from "./output.ts"
import { optionsOf, programOf } from "./tree.ts"
import type { Verb } from "./verb.ts"
import { foreignVerbs } from "./verbs.ts"

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
  let typed = "cah"
  const act = async (verb: Verb, command: Command) => {
    const flags: Flags = optionsOf(command)
    const config = await resolveConfig(flags, around.environment, around.cwd, loadCredentials)
    const { noColor, dumb } = config.terminal
    output = new Output({ ...around, format: config.output.value, color: config.color, noColor: noColor || dumb })
    context = new Context({ ...around, config, output })
    exitCode = await verb.run(context, command)
  }
  try {
    const program = await programOf(around.name ?? "cah", around.argv, act)
    quieten(program, around)
    typed = verbOf(program, around.argv)
    await program.parseAsync(around.argv, { from: "user" })
    return exitCode
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0
    const error = inOurWords(thrown, around.signal, context, typed)
    closeBar(context)
    output.error(error)
    if (around.environment.CAH_DEBUG === "1") around.stderr.write(`${debugText(error)}\n`)
    return error.exitCode
  } finally {
    closeBar(context)
  }
}

/** Errors of the command line are ours to print; help is data, and goes to stdout. */
function quieten(command: Command, around: Surroundings): void {
  command.exitOverride()
  command.configureOutput({
    writeOut: text => void around.stdout.write(text),
    writeErr: () => {},
    getOutHelpWidth: () => Math.max(60, around.stdout.columns ?? 80),
  })
  for (const inner of command.commands) quieten(inner, around)
}

/** "cah nodes drain": as far as verbs were typed. */
function verbOf(program: Command, argv: readonly string[]): string {
  const path = [program.name()]
  let command = program
  for (const word of argv) {
    if (word === "--") break
    const inner = command.commands.find(one => one.name() === word)
    if (inner === undefined) continue
    path.push(word)
    command = inner
  }
  return path.join(" ")
}

function inOurWords(thrown: unknown, signal: AbortSignal, context: Context | null, typed: string): ClientError {
  if (thrown instanceof CommanderError) {
    const [first = "", ...more] = thrown.message.replace(/^error: /, "").split("\n")
    if (thrown.code === "commander.help") return usage("Which verb?", `See them all: ${typed} --help`)
    const choice =
      /^[oO]ption '(?:(-\w), )?(--[\w-]+).*' argument '(.*)' is invalid\. Allowed choices are (.*)\.$/s.exec(first)
    if (choice !== null) {
      const [, short, long, value, choices] = choice
      const output = long === "--output" ? "What a job writes is read with cah logs." : `See: ${typed} --help`
      return usage(`${short ?? long}: "${value}" is none of ${choices}.`, output)
    }
    const foreign = /^unknown command '([\w-]+)'/.exec(first)?.[1] ?? ""
    const ours = typed === "cah" && Object.hasOwn(foreignVerbs, foreign) ? foreignVerbs[foreign] : undefined
    const hint = ours === undefined ? more.join(" ").replace(/[()]/g, "").trim() : `That is cah ${ours} here.`
    return usage(
      `${first.charAt(0).toUpperCase()}${first.slice(1)}.`.replace(/\.\.$/, "."),
      hint === "" ? `See: ${typed} --help` : hint,
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
  return formats.find(format => format === last) ?? "table"
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

/**
 * Called by bin/cah.mjs with the name it has there, and told when Ctrl-C is taken care of. Sets the exit code and lets the process end
 * by itself, so that no output is cut off.
 */
export async function main(name: string, onReady: () => void): Promise<void> {
  // A library's deprecated calls are no business of who types here.
  process.noDeprecation = true
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
  onReady()
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", error => {
      // Whoever read our output has seen enough (cah logs 12 | head): that is no failure.
      if ("code" in error && error.code === "EPIPE") process.exit(0)
      if (stream === process.stdout) {
        const { message, hint } = ClientError.from(error)
        process.stderr.write(`cah: The output could not be written. ${message}\n     ${hint}\n`)
      }
      process.exit(1)
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
