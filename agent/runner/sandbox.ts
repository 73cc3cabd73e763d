// Walls around a job: bubblewrap gives it a user that is nobody, its own processes, no network, a read-only system and one directory to
// write to (docs/security.md, The sandbox). The arguments are a pure function. Without bubblewrap a job runs with the agent's own rights: that is
// for a machine which is a sandbox already, and is said aloud at start.
//
// Only bwrap's arguments carry the job's environment, never bwrap's own: a job's LD_PRELOAD must not be loaded out here.
import { execFile } from "node:child_process"
import { chown, mkdir, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { PROBE_MS, PROBE_TRIES_MAX, SANDBOX_TMP_BYTES } from "../limits.ts"
import { PATH, type Surroundings } from "./environment.ts"
import { innerLimits, resourceLimits } from "./rlimits.ts"
import { seccompFilter } from "./seccomp.ts"

/** What every job's walls are built from. Made by openSandbox(). */
export interface Sandbox {
  /** Where the sandbox's own files of /etc lie. */
  readonly etc: string
  /** The file with the filter of system calls; null for a processor whose calls we do not know by number. */
  readonly filter: string | null
  /** bwrap can forbid further namespaces of users itself: a second lock beside the filter. */
  readonly disablesUserns: boolean
}

export interface Walls {
  readonly command: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  /** On this side: what becomes /work, and the file that becomes the node file. */
  readonly work: string
  readonly nodeFile: string
  readonly sandbox: Sandbox
  /** Of /tmp and /dev/shm each: they lie in memory. */
  readonly tmpBytes?: number
  /** How many processes it may have; null where others see to it. */
  readonly processes?: number | null
  /** Whether we are root, who must become somebody else; others map themselves to nobody in a namespace of users. */
  readonly asRoot: boolean
}

/** How things are called inside. */
export const inside: Omit<Surroundings, "node"> = { work: "/work", nodeFile: "/run/cah/nodefile", scratch: "/tmp" }

/** Root's jobs run as this user, to whom their directory must belong. */
export const nobody = { uid: 65_534, gid: 65_534 }
const nobodyId = `${nobody.uid}`

/** Parts of /etc that programs in /usr need to work at all, and that say nothing about the volunteer. */
const sharedEtc = [
  "alternatives",
  "fonts",
  "povray",
  "ImageMagick-6",
  "java-11-openjdk",
  "java-17-openjdk",
  "ld.so.cache",
  "ld.so.conf",
  "ld.so.conf.d",
  "localtime",
  "magic",
  "mime.types",
  "OpenCL",
  "openmpi",
  "R",
  "python3",
]

/** File descriptor on which bwrap tells the pid of the sandbox's first process, and the exit code; and from which it reads the filter. */
export const STATUS_FD = 3
export const FILTER_FD = 4

export function bubblewrapArguments(walls: Walls): string[] {
  const { sandbox, tmpBytes = SANDBOX_TMP_BYTES } = walls
  return [
    ...["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"],
    ...["--die-with-parent", "--new-session", "--hostname", "cah", "--cap-drop", "ALL"],
    ...(walls.asRoot ? ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] : ["--unshare-user", ...asNobody]),
    ...(!walls.asRoot && sandbox.disablesUserns ? ["--disable-userns"] : []),
    ...(sandbox.filter === null ? [] : ["--seccomp", `${FILTER_FD}`]),
    ...["--ro-bind", "/usr", "/usr"],
    // bwrap would make them for itself alone.
    ...["/etc", "/run", "/run/cah"].flatMap(path => ["--perms", "0755", "--dir", path]),
    // Merged on Debian since 12; elsewhere they may be real directories.
    ...["bin", "sbin", "lib", "lib32", "lib64"].flatMap(name => ["--ro-bind-try", `/${name}`, `/${name}`]),
    ...sharedEtc.flatMap(name => ["--ro-bind-try", `/etc/${name}`, `/etc/${name}`]),
    ...Object.keys(ownEtc).flatMap(name => ["--ro-bind", join(sandbox.etc, name), `/etc/${name}`]),
    ...["--proc", "/proc", "--dev", "/dev"],
    ...["/tmp", "/dev/shm"].flatMap(path => ["--perms", "1777", "--size", `${tmpBytes}`, "--tmpfs", path]),
    ...["--ro-bind", walls.nodeFile, inside.nodeFile],
    ...["--bind", walls.work, inside.work, "--chdir", inside.work],
    // The sandbox's root lies in memory without a bound of its own.
    ...["--remount-ro", "/", "--clearenv", "--json-status-fd", `${STATUS_FD}`],
    ...(walls.asRoot ? becomeNobody(walls) : directly(walls)),
  ]
}

const asNobody = ["--uid", nobodyId, "--gid", nobodyId]

function directly({ command, environment, processes = null }: Walls): string[] {
  if (processes === null)
    return [...Object.entries(environment).flatMap(([name, value]) => ["--setenv", name, value]), "--", ...command]
  // Counted in the job's own namespace of users, so it must be said in there: outside it would count all that this user runs.
  return ["--", ...innerLimits(processes), ...withEnvironment(command, environment)]
}

/**
 * For root a namespace of users is no wall: "nobody" in it is root outside, who owns /proc/sys and may write to it without any
 * capability (tried: a job could set the host's core_pattern). So bwrap leaves users alone and setpriv turns root into nobody for
 * good. The job's environment comes after that, by env: a job's LD_PRELOAD must not be loaded while we are still root.
 */
function becomeNobody({ command, environment }: Walls): string[] {
  const drop = ["--reuid", nobodyId, "--regid", nobodyId, "--clear-groups", "--inh-caps=-all", "--no-new-privs"]
  return ["--", "/usr/bin/setpriv", ...drop, "--", ...withEnvironment(command, environment)]
}

function withEnvironment(command: readonly string[], environment: Walls["environment"]): string[] {
  const assignments = Object.entries(environment).map(([name, value]) => `${name}=${value}`)
  // What env would take for one more assignment goes through the shell, which does not.
  const program = command[0]?.includes("=") ? ["/bin/sh", "-c", 'exec "$0" "$@"', ...command] : command
  return [ENV_PROGRAM, "-i", "--", ...assignments, ...program]
}

/** Begins the complaint about a command that is not there, where bwrap does not start it itself. */
export const ENV_PROGRAM = "/usr/bin/env"

/** Written by us, so that a job sees no names of the volunteer's machine. */
const ownEtc: Record<string, string> = {
  passwd: `root:x:0:0:root:/root:/usr/sbin/nologin\nnobody:x:${nobodyId}:${nobodyId}:nobody:/work:/bin/sh\n`,
  group: `root:x:0:\nnogroup:x:${nobodyId}:\n`,
  hosts: "127.0.0.1 localhost cah\n::1 localhost cah\n",
  "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}

/** Writes the sandbox's own files below `directory`. Whether it works is another question: openSandbox(). */
export async function prepareSandbox(directory: string, architecture: string = process.arch): Promise<Sandbox> {
  const etc = join(directory, "sandbox-etc")
  await mkdir(etc, { recursive: true, mode: 0o755 })
  for (const [name, content] of Object.entries(ownEtc)) await writeFile(join(etc, name), content, { mode: 0o644 })
  const program = seccompFilter(architecture)
  const filter = program === null ? null : join(directory, "sandbox.bpf")
  if (filter !== null) await writeFile(filter, program!, { mode: 0o600 })
  return { etc, filter, disablesUserns: false }
}

/**
 * Walls that were seen to work, or why there are none here. Tried for real: installed is not allowed, allowed is not possible. A machine that
 * is slow today is not one without bubblewrap: what takes too long is tried again.
 */
export async function openSandbox(directory: string, path = PATH, patienceMs = PROBE_MS): Promise<Sandbox | string> {
  const sandbox = await prepareSandbox(directory)
  let verdict: Verdict = "slow"
  for (let tries = 0; tries < PROBE_TRIES_MAX && verdict === "slow"; tries++) {
    const patience = patienceMs * 2 ** tries
    const locked: Sandbox = { ...sandbox, disablesUserns: !isRoot() }
    verdict = await probe(directory, locked, path, patience)
    if (verdict === "works") return locked
    // bwrap before 0.8, or a machine that allows no second namespace: the filter forbids it as well.
    if (verdict !== "slow" && locked.disablesUserns) verdict = await probe(directory, sandbox, path, patience)
    if (verdict === "works") return sandbox
  }
  if (verdict !== "slow") return (verdict as Exclude<Verdict, string>).why
  return `it did not answer within ${Math.round((patienceMs * 2 ** (PROBE_TRIES_MAX - 1)) / 1_000)} s, the ${PROBE_TRIES_MAX}th time: this machine is too busy`
}

type Verdict = "works" | "slow" | { readonly why: string }

const isRoot = (): boolean => process.getuid?.() === 0

async function probe(directory: string, sandbox: Sandbox, path: string, patienceMs: number): Promise<Verdict> {
  const work = join(directory, "sandbox-probe")
  await mkdir(work, { recursive: true })
  const nodeFile = join(sandbox.etc, "hosts")
  const command = ["/bin/sh", "-c", "echo fine > fine && id -u && grep ^Seccomp: /proc/self/status"]
  const asRoot = isRoot()
  if (asRoot) await chown(work, nobody.uid, nobody.gid)
  const walls = bubblewrapArguments({ command, environment: { PATH }, work, nodeFile, sandbox, asRoot })
  // Nobody listens to the status of a probe. execFile passes no further descriptors on, so a shell opens the filter.
  const open = sandbox.filter === null ? 'exec "$@"' : `exec "$@" ${FILTER_FD}<"$0"`
  const probing = walls.filter((_, i) => walls[i] !== "--json-status-fd" && walls[i - 1] !== "--json-status-fd")
  const tried = ["-c", open, sandbox.filter ?? "sh", ...resourceLimits({ fileBytes: PROBE_FILE_BYTES }), "bwrap"]
  const verdict = await new Promise<Verdict>(resolve => {
    execFile(
      "/bin/sh",
      [...tried, ...probing],
      { timeout: patienceMs, killSignal: "SIGKILL", env: { PATH: path } },
      (error, stdout, stderr) => {
        const [user, filtered = ""] = stdout.trim().split("\n")
        if (error?.killed === true) resolve("slow")
        else if (error !== null) resolve({ why: complaint(stderr) || error.message })
        else if (user !== nobodyId) resolve({ why: "its jobs would not run as nobody" })
        else if (sandbox.filter !== null && !/\b2$/.test(filtered))
          resolve({ why: "its jobs' system calls would not be filtered" })
        else resolve("works")
      },
    )
  })
  await rm(work, { recursive: true, force: true })
  return verdict
}

/** Of the file that the probe may write. */
const PROBE_FILE_BYTES = 1024 ** 2

function complaint(stderr: string): string {
  if (/prlimit.*not found/.test(stderr)) return "util-linux's prlimit is not installed"
  if (/prlimit:.*bwrap/.test(stderr)) return "bubblewrap is not installed"
  return stderr.trim().split("\n").at(-1) ?? ""
}
