// The launcher's composition root: finds out who started it (the BOINC client, a person, or QEMU for a relay), opens what is needed, wires it to the
// engine, runs, and ends with the exit code that whoever started it understands. No decisions of its own.
import { appendFileSync, existsSync, mkdirSync, rmSync, statSync } from "node:fs"
import { homedir, setPriority } from "node:os"
import { join } from "node:path"
import { allowanceOf } from "./boinc/allowance.ts"
import { BoincClient } from "./boinc/client.ts"
import { INIT_FILE, type InitData, readInit } from "./boinc/init.ts"
import { resolveLink, writeTemporaryExit } from "./boinc/slot.ts"
import { readVolunteer, VOLUNTEER_FILE } from "./boinc/volunteer.ts"
import { help, readConfig, UsageError } from "./config.ts"
import type { Ending } from "./core/model.ts"
import { type Allowance, type Client, type Clock, Failure, type HubProxy } from "./core/ports.ts"
import { Engine, type Network } from "./engine.ts"
import { Guest } from "./guest.ts"
import { openImage } from "./image/image.ts"
import { CONSOLE_LOG_MAX_BYTES, IDLE_MS, LOCK_WAIT_MS, RELAYS_MAX } from "./limits.ts"
import { lockDirectory } from "./lock.ts"
import { Memory, names, socketPath } from "./place.ts"
import { prepare, type Task } from "./prepare.ts"
import { probe } from "./probe.ts"
import { cpuMsOf } from "./process.ts"
import { Bucket } from "./relay/bucket.ts"
import { addressOfHub, dialHub } from "./relay/dial.ts"
import { Ledger } from "./relay/ledger.ts"
import { RELAY_VERB, runRelay } from "./relay/process.ts"
import { Relay } from "./relay/server.ts"
import { insideKey, selfCommand, version } from "./release.ts"
import { Terminal } from "./terminal.ts"

const OWN_MISTAKE_SECONDS = 600
/** As BOINC runs such programs. */
const OTHERS_FIRST = 10
const exitCodes = { fine: 0, failed: 1, usage: 2 } as const
/** The last lines of the guest's console, for the hub's operator. An optional output of the workunit. */
const CONSOLE_LOG = "launcher.log"

const clock: Clock = { nowMs: () => performance.now(), wallMs: () => Date.now() }
const toStderr = (text: string): void => {
  process.stderr.write(text)
}

/** Returns the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const [verb, ...rest] = argv
  try {
    if (verb === RELAY_VERB && rest[0] !== undefined) return await runRelay(rest[0])
    // The client may give a command line; a slot is a slot.
    if (existsSync(INIT_FILE) && verb !== "run" && verb !== "probe" && verb !== "verify")
      return await runInSlot(process.cwd())
    if ((verb === "run" || verb === "probe") && rest.includes("--help")) {
      process.stdout.write(`${help}\n`)
      return exitCodes.fine
    }
    if (verb === "run") return await runAtTerminal(rest)
    if (verb === "probe") return await probe(readConfig(rest, "probe"))
    if (verb === "verify") return await verify(rest)
    if (verb === "--version") process.stdout.write(`${version}\n`)
    else if (verb === undefined || verb === "--help" || verb === "help") process.stdout.write(`${help}\n`)
    else throw new UsageError(`"${verb}" is nothing that it can do; vmlauncher --help tells what there is`)
    return exitCodes.fine
  } catch (error) {
    const isKnown = error instanceof UsageError || error instanceof Failure
    toStderr(`vmlauncher: ${isKnown ? error.message : error instanceof Error ? error.stack : String(error)}\n`)
    return error instanceof UsageError ? exitCodes.usage : exitCodes.failed
  }
}

// ---- BOINC ------------------------------------------------------------------------------------------------------

async function runInSlot(directory: string): Promise<number> {
  const init = readInit(join(directory, INIT_FILE))
  let lock: { release(): void }
  try {
    lock = await lockDirectory(join(directory, names.lock), LOCK_WAIT_MS)
  } catch (error) {
    if (!(error instanceof Failure) || error.laterSeconds === null) throw error
    writeTemporaryExit(directory, error.laterSeconds, error.message)
    return exitCodes.fine
  }
  // Our own mistake is no failure of the task: its machine has died with us, and another try may fare better.
  process.on("uncaughtException", error => {
    toStderr(`${error.stack}\n`)
    writeTemporaryExit(directory, OWN_MISTAKE_SECONDS, "the launcher met an error of its own")
    process.exit(exitCodes.fine)
  })
  try {
    const volunteer = readVolunteer(resolveLink(directory, VOLUNTEER_FILE))
    const client = new BoincClient({ directory, init, clock, write: toStderr })
    return await launch(client, allowanceOf(init), init.proxy, {
      directory,
      title: init.resultName,
      locate: name => resolveLink(directory, name),
      releaseKeyPem: insideKey(),
      ...volunteer,
      hypervisor: "auto",
      allowsLan: false,
      memory: new Memory(memoryPath(init, directory)),
      consoleLog: resolveLink(directory, CONSOLE_LOG),
      idleMaxMs: IDLE_MS,
    })
  } finally {
    lock.release()
  }
}

/** Of the project's, so that a new task need not find out again what this computer can do. */
function memoryPath({ projectDirectory }: InitData, directory: string): string {
  return join(existsSync(projectDirectory) ? projectDirectory : directory, "vmlauncher_host.json")
}

// ---- a person ---------------------------------------------------------------------------------------------------

async function runAtTerminal(argv: readonly string[]): Promise<number> {
  const config = readConfig(argv, "run")
  const { state, appliance } = config
  mkdirSync(state, { recursive: true, mode: 0o700 })
  // Sockets' paths are short then.
  process.chdir(state)
  // The computer's owner comes first, as under BOINC. What we start inherits it.
  setPriority(OTHERS_FIRST)
  const lock = await lockDirectory(join(state, names.lock), 0)
  try {
    const client = new Terminal(clock, toStderr)
    if (process.getuid?.() === 0)
      client.say("this is root; the virtual machine would do as well under an ordinary user")
    return await launch(client, config.allowance, null, {
      directory: state,
      title: "",
      locate: name => join(appliance!, name),
      ...config,
      releaseKeyPem: config.releaseKeyPem ?? insideKey(),
      memory: new Memory(hostMemoryPath()),
      consoleLog: join(state, "console.log"),
      idleMaxMs: null,
    })
  } finally {
    lock.release()
  }
}

/** For whoever makes a release: whether volunteers' launchers will boot this image, before any of them has it. */
async function verify([directory, ...more]: readonly string[]): Promise<number> {
  if (directory === undefined || more.length > 0) throw new UsageError("say verify DIR, the directory of an image")
  const key = insideKey()
  if (key === null) {
    throw new UsageError(
      "there is no release key inside this launcher, so it boots nobody's image by itself: `npm run package -- vmlauncher --release-key FILE` puts one in",
    )
  }
  const { manifest } = await openImage(name => join(directory, name), key)
  process.stdout.write(`${manifest.name} ${manifest.version}: whole, and signed with the key inside this launcher\n`)
  return exitCodes.fine
}

export function hostMemoryPath(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "vmlauncher", "host.json")
}

// ---- both -------------------------------------------------------------------------------------------------------

interface Launch extends Omit<Task, "allowance" | "relayCommand" | "say"> {
  readonly consoleLog: string
  /** Where other projects wait for this computer. Null: whoever started it wants it there. */
  readonly idleMaxMs: number | null
}

async function launch(client: Client, first: Allowance, told: HubProxy | null, task: Launch): Promise<number> {
  let allowance = first
  let proxy = told
  const engineOf: { engine: Engine | null } = { engine: null }
  const post: Engine["post"] = event => engineOf.engine?.post(event)
  const ledger = new Ledger({
    path: join(task.directory, names.ledger),
    clock,
    budget: first.budget,
    onGate: isOpen => post({ kind: "NetworkGate", gate: "budget", isOpen }),
  })
  const [up, down] = [new Bucket(first.upBytesPerSecond), new Bucket(first.downBytesPerSecond)]
  const hub = addressOfHub(task.hub)
  const relay = new Relay({
    dial: signal => dialHub(hub, proxy, signal),
    up,
    down,
    ledger,
    clock,
    refused: join(task.directory, names.relayRefused),
    onHeard: () => post({ kind: "Dialled" }),
    onFlood: () => engineOf.engine?.flood(),
    onHub: trouble => client.say(trouble === null ? "the hub is there again" : `${trouble}; work goes on without it`),
  })
  const network: Network = {
    setOpen: isOpen => relay.setOpen(isOpen),
    drop: () => relay.drop(),
    allow(next) {
      allowance = next
      up.setRate(next.upBytesPerSecond)
      down.setRate(next.downBytesPerSecond)
      ledger.setBudget(next.budget)
    },
    reach(next) {
      if (JSON.stringify(next) === JSON.stringify(proxy)) return
      proxy = next
      client.say(
        next === null
          ? "the hub is reached without a proxy now"
          : `the hub is reached by ${next.host}:${next.port} now`,
      )
      relay.drop()
    },
    get sentBytes() {
      return ledger.sentBytes
    },
    get receivedBytes() {
      return ledger.receivedBytes
    },
  }
  const socket = socketPath(task.directory, names.relay)
  const say = (message: string): void => client.say(message)
  const engine = new Engine({
    client,
    network,
    guest: new Guest(),
    clock,
    ownCpuMs: () => cpuMsOf(process.pid),
    onConsole: consoleLog(task.consoleLog),
    idleMaxMs: task.idleMaxMs,
    prepare: async () => {
      rmSync(socket, { force: true })
      await relay.listen(socket)
      return await prepare({ ...task, allowance: () => allowance, relayCommand: [...selfCommand(), RELAY_VERB], say })
    },
  })
  engineOf.engine = engine
  ledger.look()
  const ending = await engine.run()
  await relay.close()
  ledger.close()
  clear(task.directory, ending)
  return await client.end(ending)
}

/** What a next run makes anew. What was saved, the scratch disk and the count of bytes stay, unless nobody comes back for them. */
function clear(directory: string, { kind }: Ending): void {
  const locks = Array.from({ length: RELAYS_MAX }, (_, n) => `${names.relayLock}${n}`)
  for (const name of [names.relay, names.relayRefused, names.settings, ...locks])
    rmSync(join(directory, name), { force: true })
  if (kind === "done" || kind === "broken") rmSync(join(directory, names.scratch), { force: true })
}

/** Bounded: when it is full the file begins anew. */
function consoleLog(path: string): (line: string) => void {
  let sizeBytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  return line => {
    try {
      if (sizeBytes + line.length > CONSOLE_LOG_MAX_BYTES) {
        rmSync(path, { force: true })
        sizeBytes = 0
      }
      appendFileSync(path, `${line}\n`, { mode: 0o600 })
      sizeBytes += line.length + 1
    } catch {
      // A full disk. Nothing depends on this file.
    }
  }
}
