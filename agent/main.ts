// The agent's composition root: reads the configuration, opens what is on disk, wires adapters to the engine, starts, and stops when told. No
// decisions of its own. The first SIGTERM or SIGINT gives running work up in order, so that the hub need not wait for
// leases; a second one ends at once, and the journal takes care of the rest.
import { chmod, mkdir, rm } from "node:fs/promises"
import { join } from "node:path"
import { type Logger, pino } from "pino"
import manifest from "../package.json" with { type: "json" }
import { factsOf } from "../proto/wire/property.ts"
import { openCache } from "./cache/cache.ts"
import { type Config, Printed, readConfig, realWorld, UsageError } from "./config.ts"
import { type Clock, Failure } from "./core/ports.ts"
import { Engine } from "./engine.ts"
import { createGuest, type Guest } from "./guest.ts"
import { openJournal } from "./journal.ts"
import { LapseWatch, outsideClock } from "./lapse.ts"
import { createLink, type DialledLink } from "./link/dial.ts"
import { openIdentity } from "./link/identity.ts"
import { openMembership } from "./link/membership.ts"
import { lockState } from "./lock.ts"
import { type ControlGroups, openControlGroups } from "./runner/cgroup.ts"
import { noopRunner } from "./runner/noop.ts"
import { processRunner } from "./runner/process.ts"
import { closeInherited } from "./runner/processes.ts"
import type { Runner } from "./runner/runner.ts"
import { openSandbox } from "./runner/sandbox.ts"
import { tryOnce } from "./try.ts"
import { workshop } from "./work.ts"
import { openWorkplace } from "./workplace.ts"

/** Not read at run time: a bundle has no package.json beside it. */
const { version } = manifest

const exitCodes = { fine: 0, failed: 1, usage: 2, sentAway: 4 } as const

/** Runs until told to stop. Returns the exit code. */
export async function main(): Promise<number> {
  const [verb, ...rest] = process.argv.slice(2)
  if (verb === "try") return tryOnce(rest)
  let config: Config
  try {
    config = readConfig(realWorld(version))
  } catch (error) {
    if (error instanceof Printed) return exitCodes.fine
    if (!(error instanceof UsageError)) throw error
    process.stderr.write(`cah-agent: ${error.message}\n`)
    // Before the settings were read, only the way they were asked for says that this is a guest.
    if (process.env.CAH_SETTINGS) toConsole(`cah: fatal ${error.message}\n`)
    return exitCodes.usage
  }
  const log = pino({ name: "cah-agent", level: config.logLevel }, pino.destination({ dest: 2, sync: true }))
  try {
    return await run(config, log)
  } catch (error) {
    if (error instanceof Failure) log.debug({ err: error }, "could not start")
    else log.fatal({ err: error }, "the agent cannot go on")
    process.stderr.write(`cah-agent: ${error instanceof Error ? error.message : String(error)}\n`)
    return exitCodes.failed
  }
}

async function run(config: Config, log: Logger): Promise<number> {
  closeInherited()
  await openState(config.state)
  const lock = await lockState(config.state)
  try {
    const place = await openWorkplace(config.state)
    const guest = config.image === null ? null : createGuest(toConsole, log)
    const { runner, sandbox, limits } = await chooseRunner(config, log)
    const killed = await runner.killLeftovers(place.root)
    if (killed > 0) log.warn({ processes: killed }, "ended what an earlier run of the agent left behind")
    const { journal, entries, damaged } = await openJournal(join(config.state, "journal"))
    for (const { file, why } of damaged) log.error({ file, why }, "a journal file is damaged; its attempt is lost")
    const swept = await place.sweep(entries.map(entry => entry.name))
    if (swept.length > 0) log.info({ directories: swept.length }, "removed what no journal entry answers for")
    const cache = await openCache(join(config.state, "cache"), config.cacheBytes)
    const identity = await openIdentity(config.state)
    const membership = openMembership(config.state)

    const { slots, memoryBytes, diskBytes } = config
    const capacity = { slots, memoryBytes, diskBytes }
    const properties = { ...config.properties, sandbox, limits }
    const facts = factsOf({ id: identity.nodeId, name: config.name, ...capacity, properties })
    const engine = new Engine({
      capacity,
      ...(config.image === null ? {} : { facts }),
      workshop: workshop({ cache, runner, place }),
      journal,
      clock,
      log,
      ...(guest === null ? {} : { onIdle: isIdle => guest.idle(isIdle) }),
    })
    const stopped = whenToldToStop(log)
    const link = createLink({
      hubUrl: config.hub,
      via: config.via,
      insecure: config.insecure,
      ca: config.ca,
      identity,
      membership,
      agentVersion: version,
      enrolToken: config.enroll,
      node: () => ({ name: config.name, ...capacity, properties }),
      holdings: () => engine.holdings(),
      onEvent: event => engine.post(event),
      onWelcome: hubMs => {
        guest?.welcomed()
        if (hubMs !== null) guest?.setClock(hubMs)
      },
      onDoubtfulClock: reason => guest?.doubtfulClock(reason),
      logSource: engine.logSource,
      onFinal: (reason, revoked) => stopped.now({ code: exitCodes.sentAway, reason, revoked }),
      clock,
      log,
      random: Math.random,
    })
    const lapses = watchLapses(link, guest, log)
    engine.start(link, entries)
    link.start()
    lapses.start()
    log.info(
      { node: identity.nodeId, hub: config.hub, state: config.state, ...capacity, sandbox, held: entries.length },
      "the agent is up",
    )

    const { code, reason, revoked } = await stopped.promise
    log.info({ reason }, "stopping: running work is given up and reported")
    lapses.stop()
    await engine.leave()
    await link.close()
    if (code === exitCodes.sentAway) {
      process.stderr.write(`cah-agent: the hub sent this node away: ${reason}\n`)
      if (revoked) guest?.dismissed(reason)
      else guest?.fatal(`the hub sent this node away: ${reason}`)
    }
    return code
  } finally {
    lock.release()
  }
}

/** Stdout of an agent in a guest is its console. */
function toConsole(line: string): void {
  process.stdout.write(line)
}

function watchLapses(link: DialledLink, guest: Guest | null, log: Logger): LapseWatch {
  return new LapseWatch(clock, outsideClock(clock), ({ lostMs, wallMs }) => {
    log.warn({ lostMs: Math.round(lostMs) }, "this machine stood still; asking whether the hub still knows it")
    // Certificates are judged by the clock, so it is set before the hub can tell the time.
    guest?.setClock(wallMs)
    link.lapsed()
  })
}

const clock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
}

/** Nobody else's: jobs, keys and inputs lie in there. And tried, since a disk that cannot be written to is better found out now. */
async function openState(state: string): Promise<void> {
  try {
    await mkdir(state, { recursive: true, mode: 0o700 })
    await chmod(state, 0o700)
    await mkdir(join(state, ".tried"), { recursive: true })
    await rm(join(state, ".tried"), { recursive: true })
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    const why = code === "ENOSPC" ? "its disk is full" : code === "EACCES" ? "permission denied" : String(cause)
    throw new Failure(`the state directory ${state} cannot be used: ${why}; choose another with --state`, {
      final: true,
      cause,
    })
  }
}

/** What jobs run in, and what the node says of it to scientists. */
interface Chosen {
  readonly runner: Runner
  readonly sandbox: "bwrap" | "none"
  readonly limits: "cgroup" | "rlimit" | "none"
}

/** No sandbox, no agent, unless it was said: jobs are strangers' programs. */
async function chooseRunner(config: Config, log: Logger): Promise<Chosen> {
  if (config.runner === "noop") {
    log.warn({}, "the noop runner is on: jobs are not run, only said to have ended")
    return { runner: noopRunner, sandbox: "none", limits: "none" }
  }
  const opened = config.sandbox === "none" ? null : await openSandbox(config.state)
  if (typeof opened === "string") {
    const advice =
      "install bubblewrap and allow user namespaces, or say --sandbox none on a machine that is a sandbox itself"
    throw new Failure(`bubblewrap does not work here (${opened}), and jobs run behind it or not at all; ${advice}`, {
      final: true,
    })
  }
  if (opened === null) log.warn({ sandbox: "none" }, "JOBS RUN WITHOUT A SANDBOX, with all rights of this agent")
  else {
    const words = "jobs run behind bubblewrap: as nobody, without network, in a directory of their own"
    log.info({ sandbox: "bwrap", seccomp: opened.filter !== null }, words)
    if (opened.filter === null)
      log.warn({ arch: process.arch }, "system calls of jobs are not filtered: none are known for this processor")
  }
  const controlGroups = await chooseControlGroups(config, log)
  const { name: node, slots, memoryBytes, state } = config
  const runner = processRunner({
    ...{ node, sandbox: opened, controlGroups, shares: { slots, memoryBytes } },
    pipes: join(state, "pipes"),
  })
  return { runner, sandbox: opened === null ? "none" : "bwrap", limits: controlGroups === null ? "rlimit" : "cgroup" }
}

async function chooseControlGroups({ memoryBytes }: Config, log: Logger): Promise<ControlGroups | null> {
  const opened = await openControlGroups(memoryBytes)
  if (typeof opened !== "string") return opened
  log.warn(
    { limits: "rlimit", why: opened },
    "no control groups: each process of a job is limited, and the agent watches what they use together",
  )
  return null
}

interface Stop {
  readonly code: number
  readonly reason: string
  readonly revoked: boolean
}

function whenToldToStop(log: Logger): { readonly promise: Promise<Stop>; now(stop: Stop): void } {
  let now = (_: Stop): void => {}
  const promise = new Promise<Stop>(resolve => {
    now = resolve
  })
  let told = 0
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    process.on(name, () => {
      told++
      if (told > 1) {
        log.warn({ signal: name }, "told twice: ending at once")
        process.exit(exitCodes.failed)
      }
      now({ code: exitCodes.fine, reason: name, revoked: false })
    })
  }
  return { promise, now }
}
