// The hub as a program: reads the configuration, starts the hub, says in words how to use it, and stops at a signal. SIGTERM
// and SIGINT drain; a second one stops at once, and nothing acknowledged is lost by that either. SIGHUP reads the certificate
// anew, but at a terminal, where it means that the terminal was closed.
import { resolve } from "node:path"
import pino from "pino"
import { commands } from "./commands.ts"
import { type Config, readConfig } from "./config.ts"
import { CahError } from "./core/errors.ts"
import { type Hub, startHub } from "./hub.ts"
import { PRIVATE_UMASK } from "./private.ts"
import { quoted, typed } from "./typed.ts"
import { version } from "./version.ts"

export { type Hub, startHub } from "./hub.ts"

const WRONG_USAGE = 2
/** As it was at the start: after a hangup the terminal is gone. */
const isAtTerminal = process.stdin.isTTY === true

export async function main(argv: readonly string[] = process.argv.slice(2)): Promise<void> {
  // Before any file is made, by whatever library.
  process.umask(PRIVATE_UMASK)
  try {
    const [name = "", ...rest] = argv
    const command = Object.hasOwn(commands, name) ? commands[name] : undefined
    if (command !== undefined) {
      const { said, well } = await command.run(rest, process.env, pino({ level: "warn" }, pino.destination(2)))
      say(said)
      process.exit(well ? 0 : 1)
    }
    const asked = readConfig(argv, process.env)
    if (asked.kind === "help") return say(`${asked.text}\n${commandsText()}`)
    if (asked.kind === "print-config") return say(asked.text)
    if (asked.kind === "version") return say(`${version}\n`)
    const { logLevel } = asked.config
    const log = pino({ level: logLevel, serializers: { error: pino.stdSerializers.err } }, pino.destination(2))
    // Before anything is opened: a signal during the start stops after it.
    const asksToStop = signalled()
    const started: { hub: Hub | null } = { hub: null }
    // A terminal that is closed takes along what was started in it.
    if (!isAtTerminal) {
      process.on("SIGHUP", () => {
        log.info({}, "SIGHUP: what may change while the hub runs is read anew")
        started.hub?.reload()
      })
    }
    const hub = await startHub(asked.config, { log })
    started.hub = hub
    await greet(hub, asked.config)
    await asksToStop
    log.info({}, "the hub is stopping; a second signal stops it at once")
    await hub.stop()
    process.exit(0)
  } catch (thrown) {
    const error = CahError.from(thrown)
    process.stderr.write(`cah-hub: ${error.message}\n`)
    if (error.code === "internal") process.stderr.write(`${String((error.cause as Error)?.stack ?? error.cause)}\n`)
    process.exit(error.code === "invalid_argument" ? WRONG_USAGE : 1)
  }
}

function commandsText(): string {
  const lines = Object.values(commands).map(({ usage, help }) => `  cah-hub ${usage.padEnd(24)} ${help}`)
  return `Besides, with the hub stopped and with its own options:\n\n${lines.join("\n")}\n`
}

async function greet(hub: Hub, { data, release, publicUrl }: Config): Promise<void> {
  const searchPath = process.env.PATH ?? ""
  const invitation = await hub.invite("operator").catch(() => null)
  const agent =
    invitation === null
      ? "The hub cannot make an enrolment token now: its log says why."
      : `Start an agent (the token is good for one, for 15 minutes):\n\n    ${typed("cah-agent", searchPath)} --hub ${hub.url} --enroll ${invitation}\n`
  const volunteers =
    release === null
      ? ""
      : `Volunteers add ${publicUrl ?? hub.url} to their BOINC; their page is ${new URL("/volunteer", publicUrl ?? hub.url).href}\n`
  const made = hub.isNew
    ? `A new database was made in ${resolve(data)}: this hub knows no node, user or campaign yet.\n`
    : ""
  say(`
${made}The hub is at ${hub.url}, its status page too.
The first admin token is in ${hub.adminTokenPath}:

    ${typed("cah", searchPath)} login --hub ${hub.url} --token-file ${quoted(resolve(hub.adminTokenPath))}

${agent}
${volunteers}`)
}

function signalled(): Promise<void> {
  return new Promise(resolve => {
    let count = 0
    const onSignal = (signal: NodeJS.Signals) => {
      count += 1
      resolve()
      if (count > 1) process.exit(128 + (signal === "SIGINT" ? 2 : 15))
    }
    process.on("SIGTERM", onSignal)
    process.on("SIGINT", onSignal)
  })
}

function say(text: string): void {
  process.stdout.write(text)
}
