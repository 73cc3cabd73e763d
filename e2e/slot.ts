// A BOINC data directory with one slot, as a client makes it for a volunteer's task, and the packaged launcher run in it: soft links, shared file,
// init_data.xml, stderr.txt. The client here is ours (vmlauncher/boinc/fixtures.ts); the stock one has a piece of its own.
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto"
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { join } from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import { isAlive, leaderOf } from "../common/processes.ts"
import manifest from "../package.json" with { type: "json" }
import { root } from "../scripts/files.ts"
import { FakeClient, type SlotChange } from "../vmlauncher/boinc/fixtures.ts"

const LOOK_EVERY_MS = 10
const HEARTBEAT_MS = 1_000

/** The launcher as it is handed out, with this key inside. */
export function packageLauncher(place: string, publicKeyPem: string): string {
  const key = join(place, "release-key.pem")
  writeFileSync(key, publicKeyPem)
  const make = ["--import", "tsx", "release/package.ts", "vmlauncher", "--release-key", key, "--out", place]
  execFileSync(process.execPath, make, { cwd: root, stdio: ["ignore", "inherit", "inherit"] })
  return join(place, `vmlauncher-${manifest.version}-${process.platform}-${process.arch}`)
}

export interface ReleaseKey {
  readonly publicPem: string
  readonly privateKey: KeyObject
}

export function releaseKey(): ReleaseKey {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519")
  return { publicPem: publicKey.export({ type: "spki", format: "pem" }) as string, privateKey }
}

/** Signs, or signs anew, the image in a directory. */
export function signImage(directory: string, { privateKey }: ReleaseKey): void {
  const bytes = readFileSync(join(directory, "manifest.json"))
  writeFileSync(join(directory, "manifest.json.sig"), sign(null, bytes, privateKey).toString("base64"))
}

export interface SlotOptions extends SlotChange {
  readonly launcher: string
  /** The image's directory. */
  readonly image: string
  readonly hub: string
  readonly enrolToken: string
  readonly name: string
}

export class Slot {
  readonly directory: string
  readonly client: FakeClient
  readonly #launcher: string
  #child: ChildProcess | null = null
  #ended: Promise<number | NodeJS.Signals> = Promise.resolve(0)
  #heartbeat: NodeJS.Timeout | null = null

  constructor(place: string, { launcher, image, hub, enrolToken, name, ...change }: SlotOptions) {
    const project = join(place, "projects", "hub.example.org")
    this.directory = join(place, "slots", "0")
    for (const directory of [project, this.directory]) mkdirSync(directory, { recursive: true })
    const link = (logical: string, target: string): void =>
      writeFileSync(join(this.directory, logical), `<soft_link>${target}</soft_link>\n`)
    for (const file of readdirSync(image)) link(file, join(image, file))
    writeFileSync(join(project, "volunteer_1.json"), JSON.stringify({ format: 1, hub, enrolToken, name, caPem: null }))
    link("volunteer.json", "../../projects/hub.example.org/volunteer_1.json")
    link("launcher.log", "../../projects/hub.example.org/launcher_1.log")
    this.client = new FakeClient(this.directory, { ...change, init: { project_dir: project, ...change.init } })
    this.#launcher = launcher
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  /** What a volunteer sees. */
  get stderr(): string {
    return readFileSync(join(this.directory, "stderr.txt"), "utf8")
  }

  get console(): string {
    const path = join(this.directory, "../../projects/hub.example.org/launcher_1.log")
    return existsSync(path) ? readFileSync(path, "utf8") : ""
  }

  start(): void {
    this.client.reset()
    const stderr = openSync(join(this.directory, "stderr.txt"), "a")
    const child = spawn(this.#launcher, [], { cwd: this.directory, stdio: ["ignore", "ignore", stderr] })
    closeSync(stderr)
    this.#child = child
    this.#ended = new Promise(resolve => child.once("exit", (code, signal) => resolve(signal ?? code!)))
    this.#heartbeat = setInterval(() => {
      this.client.send("heartbeat", "<heartbeat/>")
      this.client.take("status")
      this.client.take("trickleUp")
    }, HEARTBEAT_MS)
  }

  /** The exit code, or the signal. */
  async ended(): Promise<number | NodeJS.Signals> {
    const how = await this.#ended
    if (this.#heartbeat !== null) clearInterval(this.#heartbeat)
    return how
  }

  kill(): void {
    this.#child?.kill("SIGKILL")
  }

  async until(what: () => boolean, withinMs: number, name: string): Promise<number> {
    const beganMs = performance.now()
    while (!what()) {
      if (performance.now() - beganMs > withinMs) {
        throw new Error(
          `not within ${withinMs} ms: ${name}\n${this.stderr.slice(-2_000)}\n${this.console.slice(-2_000)}`,
        )
      }
      await wait(LOOK_EVERY_MS)
    }
    return performance.now() - beganMs
  }

  /** Sentences of the launcher with this in them, so far. */
  count(text: string): number {
    return this.stderr.split(text).length - 1
  }

  /** The number in the newest sentence that begins like this: "… (12.3 ms)". */
  newestMs(text: string): number {
    const found = [...this.stderr.matchAll(new RegExp(`${text} \\(([\\d.]+) ms\\)`, "g"))].at(-1)?.[1]
    if (found === undefined) throw new Error(`nothing says "${text} (… ms)"`)
    return Number(found)
  }

  /** QEMU, relays, anything: whoever stands in the slot, but not its launcher. */
  processes(): number[] {
    return readdirSync("/proc")
      .filter(name => /^\d+$/.test(name) && Number(name) !== this.pid)
      .filter(pid => placeOf(pid) === this.directory)
      .map(Number)
  }

  /** Relays among them, their gate passed. */
  relays(): number {
    return this.processes().filter(pid => argumentsOf(pid)[1] === "relay").length
  }

  /** Of a machine that runs: the file may be what a killed launcher left, and its process a zombie that nobody has buried yet. */
  get qemuPid(): number | null {
    try {
      const pid = Number(readFileSync(join(this.directory, "qemu.pid"), "utf8"))
      return pid > 0 && isAlive(leaderOf(pid)) ? pid : null
    } catch {
      // Not there, or removed between two looks.
      return null
    }
  }

  /** Files that are not the client's own. */
  leftovers(): string[] {
    const clients = [
      "init_data.xml",
      "boinc_mmap_file",
      "stderr.txt",
      "volunteer.json",
      "launcher.log",
      "trickle_up.xml",
    ]
    return readdirSync(this.directory).filter(
      name => !clients.includes(name) && !/^(manifest\.json(\.sig)?|kernel|initrd|root|appliance\.iso)$/.test(name),
    )
  }

  close(): void {
    this.kill()
    if (this.#heartbeat !== null) clearInterval(this.#heartbeat)
    this.client.close()
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
  }
}

function argumentsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0")
  } catch {
    return []
  }
}

function placeOf(pid: string): string | null {
  try {
    return readlinkSync(`/proc/${pid}/cwd`)
  } catch {
    // Gone meanwhile, or a zombie.
    return null
  }
}
