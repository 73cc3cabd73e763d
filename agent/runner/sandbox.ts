// Walls around a job: bubblewrap gives it a user that is nobody, its own processes, no network, a read-only system and one directory to
// write to (SECURITY §6). The arguments are a pure function. Without bubblewrap a job runs with the agent's own rights: that is
// for a machine which is a sandbox already, and is said aloud at start.
//
// Only bwrap's arguments carry the job's environment, never bwrap's own: a job's LD_PRELOAD must not be loaded out here.
import { execFile } from "node:child_process"
import { lchown, mkdir, readdir, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { PROBE_MS, SANDBOX_TMP_BYTES, UNPACKED_MAX_BYTES } from "../limits.ts"
import { PATH, type Surroundings } from "./environment.ts"

export type SandboxKind = "bwrap" | "none"

export interface Walls {
  readonly command: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  /** On this side: what becomes /work, and the file that becomes the node file. */
  readonly work: string
  readonly nodeFile: string
  /** Where prepareSandbox() wrote its files. */
  readonly etc: string
  /** Whether we are root, who must become somebody else; others map themselves to nobody in a namespace of users. */
  readonly asRoot: boolean
}

/** How things are called inside. */
export const inside: Omit<Surroundings, "node"> = { work: "/work", nodeFile: "/run/cah/nodefile", scratch: "/tmp" }

const nobody = "65534"

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

/** File descriptor on which bwrap tells the pid of the sandbox's first process, and the exit code. */
export const STATUS_FD = 3

export function bubblewrapArguments(walls: Walls): string[] {
  return [
    ...["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"],
    ...["--die-with-parent", "--new-session", "--hostname", "cah", "--cap-drop", "ALL"],
    ...(walls.asRoot ? ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] : ["--unshare-user", ...asNobody]),
    ...["--ro-bind", "/usr", "/usr"],
    // bwrap would make them for itself alone.
    ...["/etc", "/run", "/run/cah"].flatMap(path => ["--perms", "0755", "--dir", path]),
    // Merged on Debian since 12; elsewhere they may be real directories.
    ...["bin", "sbin", "lib", "lib32", "lib64"].flatMap(name => ["--ro-bind-try", `/${name}`, `/${name}`]),
    ...sharedEtc.flatMap(name => ["--ro-bind-try", `/etc/${name}`, `/etc/${name}`]),
    ...Object.keys(ownEtc).flatMap(name => ["--ro-bind", join(walls.etc, name), `/etc/${name}`]),
    ...["--proc", "/proc", "--dev", "/dev"],
    ...["/tmp", "/dev/shm"].flatMap(path => ["--perms", "1777", "--size", `${SANDBOX_TMP_BYTES}`, "--tmpfs", path]),
    ...["--ro-bind", walls.nodeFile, inside.nodeFile],
    ...["--bind", walls.work, inside.work, "--chdir", inside.work],
    // The sandbox's root lies in memory without a bound of its own.
    ...["--remount-ro", "/", "--clearenv", "--json-status-fd", `${STATUS_FD}`],
    ...(walls.asRoot ? becomeNobody(walls) : directly(walls)),
  ]
}

const asNobody = ["--uid", nobody, "--gid", nobody]

function directly({ command, environment }: Walls): string[] {
  return [...Object.entries(environment).flatMap(([name, value]) => ["--setenv", name, value]), "--", ...command]
}

/**
 * For root a namespace of users is no wall: "nobody" in it is root outside, who owns /proc/sys and may write to it without any
 * capability (tried: a job could set the host's core_pattern). So bwrap leaves users alone and setpriv turns root into nobody for
 * good. The job's environment comes after that, by env: a job's LD_PRELOAD must not be loaded while we are still root.
 */
function becomeNobody({ command, environment }: Walls): string[] {
  const assignments = Object.entries(environment).map(([name, value]) => `${name}=${value}`)
  const drop = ["--reuid", nobody, "--regid", nobody, "--clear-groups", "--inh-caps=-all", "--no-new-privs"]
  // What env would take for one more assignment goes through the shell, which does not.
  const program = command[0]?.includes("=") ? ["/bin/sh", "-c", 'exec "$0" "$@"', ...command] : command
  return ["--", "/usr/bin/setpriv", ...drop, "--", ENV_PROGRAM, "-i", "--", ...assignments, ...program]
}

/** Begins the complaint about a command that is not there, when root runs the agent. */
export const ENV_PROGRAM = "/usr/bin/env"

/** Root's jobs run as nobody, to whom their directory must belong. Links are changed themselves, not what they lead to. */
export async function giveToNobody(path: string): Promise<void> {
  await lchown(path, Number(nobody), Number(nobody))
  const entries = await readdir(path, { withFileTypes: true })
  for (const entry of entries) {
    const below = join(path, entry.name)
    if (entry.isDirectory()) await giveToNobody(below)
    else await lchown(below, Number(nobody), Number(nobody))
  }
}

/**
 * What bwrap is put behind: util-linux's prlimit, which changes its own limits and becomes the next program. No core dumps, and no file
 * larger than the disk that the job asked for.
 */
export function resourceLimits(diskBytes: number): string[] {
  const file = diskBytes === 0 ? UNPACKED_MAX_BYTES : diskBytes
  return ["prlimit", "--core=0:0", `--fsize=${file}:${file}`, "--"]
}

/** Written by us, so that a job sees no names of the volunteer's machine. */
const ownEtc: Record<string, string> = {
  passwd: `root:x:0:0:root:/root:/usr/sbin/nologin\nnobody:x:${nobody}:${nobody}:nobody:/work:/bin/sh\n`,
  group: `root:x:0:\nnogroup:x:${nobody}:\n`,
  hosts: "127.0.0.1 localhost cah\n::1 localhost cah\n",
  "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}

/** Writes the sandbox's own files below `directory`. Returns where. */
export async function prepareSandbox(directory: string): Promise<string> {
  const etc = join(directory, "sandbox-etc")
  await mkdir(etc, { recursive: true, mode: 0o755 })
  for (const [name, content] of Object.entries(ownEtc)) await writeFile(join(etc, name), content, { mode: 0o644 })
  return etc
}

/** Null if bubblewrap works here, else why it does not. Tried for real: installed is not allowed, allowed is not possible. */
export async function probeSandbox(directory: string, path = PATH): Promise<string | null> {
  const etc = await prepareSandbox(directory)
  const work = join(directory, "sandbox-probe")
  await mkdir(work, { recursive: true })
  const nodeFile = join(etc, "hosts")
  const command = ["/bin/sh", "-c", "echo fine > fine && id -u"]
  const asRoot = process.getuid?.() === 0
  if (asRoot) await giveToNobody(work)
  const walls = bubblewrapArguments({ command, environment: { PATH }, work, nodeFile, etc, asRoot })
  // Nobody listens to the status of a probe, and execFile passes no further descriptors on.
  const probe = walls.filter((_, i) => walls[i] !== "--json-status-fd" && walls[i - 1] !== "--json-status-fd")
  const verdict = await new Promise<string | null>(resolve => {
    // Through prlimit, as jobs go.
    execFile(
      "prlimit",
      [...resourceLimits(0).slice(1), "bwrap", ...probe],
      { timeout: PROBE_MS, env: { PATH: path } },
      (error, stdout, stderr) => {
        if (error === null && stdout.trim() === nobody) resolve(null)
        else if ((error as NodeJS.ErrnoException | null)?.code === "ENOENT")
          resolve("util-linux's prlimit is not installed")
        else if (/prlimit:.*bwrap/.test(stderr)) resolve("bubblewrap is not installed")
        else resolve(stderr.trim().split("\n").at(-1) || error?.message || "its jobs would not run as nobody")
      },
    )
  })
  await rm(work, { recursive: true, force: true })
  return verdict
}
