// Programs of the building machine: whether they are there, and how they are run. What they say on stderr is kept for the error, since it
// alone tells why an image could not be built. Knows nothing of images.
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import type { Readable, Writable } from "node:stream"
import { ApplianceError } from "./errors.ts"

/** By program: the Debian package that brings it. */
const packages: Record<string, string> = {
  mmdebstrap: "mmdebstrap",
  "dpkg-deb": "dpkg",
  mksquashfs: "squashfs-tools",
  xz: "xz-utils",
  xorriso: "xorriso",
  newuidmap: "uidmap",
  "qemu-system-x86_64": "qemu-system-x86",
}

/** Refuses to begin what could not be ended. */
export function needTools(programs: readonly string[]): void {
  const missing = programs.filter(program => spawnSync("sh", ["-c", `command -v ${program}`]).status !== 0)
  if (missing.length === 0) return
  const wanted = missing.map(program => packages[program] ?? program)
  throw new ApplianceError(`${missing.join(", ")} not found; install: apt-get install ${wanted.join(" ")}`)
}

export interface Running {
  readonly stdin: Writable
  readonly stdout: Readable
  /** Rejects with ApplianceError when it fails, with its last words. */
  readonly ended: Promise<void>
}

export interface Run {
  readonly program: string
  readonly arguments: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Each line of stderr as it comes. */
  onLine?(line: string): void
}

/** Lines of stderr that an error repeats. */
const LAST_WORDS = 15

export function start({ program, arguments: words, environment = {}, cwd, onLine }: Run): Running {
  const child: ChildProcess = spawn(program, words, {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...passedOn(), LC_ALL: "C.UTF-8", ...environment },
    // A group of its own: mmdebstrap that fails ends its whole group, which must not be ours.
    detached: true,
    ...(cwd === undefined ? {} : { cwd }),
  })
  const abandon = (): void => {
    try {
      process.kill(-child.pid!, "SIGTERM")
    } catch {
      // It has ended already.
    }
  }
  process.once("exit", abandon)
  const last: string[] = []
  let rest = ""
  child.stderr!.on("data", (bytes: Buffer) => {
    const lines = (rest + bytes.toString()).split(/[\r\n]+/)
    rest = lines.pop() ?? ""
    for (const line of lines) {
      last.push(line)
      if (last.length > LAST_WORDS) last.shift()
      onLine?.(line)
    }
  })
  // Whoever writes to a program that has ended hears of it by `ended`, which says why.
  child.stdin!.on("error", () => {})
  const ended = (async () => {
    const [code, signal] = (await once(child, "close")) as [number | null, string | null]
    process.off("exit", abandon)
    if (code !== 0) {
      const words = [...last, rest].join("\n").trim()
      throw new ApplianceError(`${program} failed (${signal ?? `code ${code}`})${words === "" ? "" : `:\n${words}`}`)
    }
  })()
  ended.catch(() => {})
  return { stdin: child.stdin!, stdout: child.stdout!, ended }
}

/** What an image is made of must not depend on who builds it, so of the environment only the way to the programs and to the network goes on. */
function passedOn(): Record<string, string> {
  const names = Object.keys(process.env).filter(name => /^(PATH|HOME|TMPDIR|\w+_proxy)$/i.test(name))
  return Object.fromEntries(names.map(name => [name, process.env[name] ?? ""]))
}

/** Its whole stdout; `input`, if given, is what it reads. */
export async function output(run: Run, input: Uint8Array = new Uint8Array(0)): Promise<Buffer> {
  const { stdin, stdout, ended } = start(run)
  stdin.end(input)
  const chunks: Buffer[] = []
  for await (const chunk of stdout as AsyncIterable<Buffer>) chunks.push(chunk)
  await ended
  return Buffer.concat(chunks)
}
