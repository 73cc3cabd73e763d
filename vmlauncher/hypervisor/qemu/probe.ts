// Does KVM work here? That /dev/kvm is there proves nothing: on some machines it opens, makes a virtual machine, and then a kernel never gets
// through its boot. So the appliance's own kernel is booted, with a time limit; the answer is remembered for this QEMU on this
// kernel and processor.
import { spawn } from "node:child_process"
import { accessSync, constants, readFileSync, statSync } from "node:fs"
import { cpus, release, userInfo } from "node:os"
import { setTimeout as wait } from "node:timers/promises"
import { PROBE_LONGEST_MS, PROBE_MEMORY_BYTES, PROBE_MS } from "../../limits.ts"
import type { Memory } from "../../place.ts"
import { waitedMsOf } from "../../process.ts"
import { Lines } from "../lines.ts"
import { type Acceleration, probeArguments, wrapper } from "./arguments.ts"

/** What was found, and the sentence for people. */
export interface Probed {
  readonly acceleration: Acceleration
  readonly why: string
}

export interface ProbeImage {
  readonly kernel: string
  readonly initrd: string | null
  readonly command: string
}

const KVM = "/dev/kvm"
/** Read and write, for its group. */
const GROUP_MAY = 0o060
/** A no is asked again after this: kernels are updated, and settings of a BIOS changed. */
const NO_MAX_AGE_MS = 30 * 86_400_000
/** Lines that a kernel prints when it is through with itself: its user space speaks, or it complains that there is none. */
const isThrough =
  /^cah: |Run \/\S*init as init process|Freeing unused kernel|Kernel panic - not syncing: (VFS|Attempted to kill init|No working init)/

const emulated = "the virtual machine is emulated, which is slower"

export async function probeKvm(program: string, version: string, image: ProbeImage, memory: Memory): Promise<Probed> {
  const closed = whyClosed()
  if (closed !== null) return { acceleration: "tcg", why: `${closed}; ${emulated}` }
  const key = `QEMU ${version}, Linux ${release()}, ${cpus()[0]?.model.trim() ?? "unknown processor"}`
  const known = remembered(memory.get(key))
  if (known !== null) return known
  const trouble = await boot(program, image)
  const probed: Probed =
    trouble === null
      ? { acceleration: "kvm", why: "KVM works: a kernel was booted with it" }
      : { acceleration: "tcg", why: `/dev/kvm is there, but KVM does not work (${trouble}); ${emulated}` }
  memory.set(key, { ...probed, atMs: Date.now() })
  return probed
}

function whyClosed(): string | null {
  if (process.platform !== "linux") return "this system has no KVM"
  try {
    accessSync(KVM, constants.R_OK | constants.W_OK)
    return null
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === "ENOENT") return "there is no /dev/kvm (virtualisation may be switched off in the BIOS)"
    return whyForbidden(userInfo().username, groupOfKvm())
  }
}

/** `group` is whom the device is open to; null: to root alone. */
export function whyForbidden(user: string, group: string | null): string {
  if (group === null) return `the user ${user} may not use /dev/kvm, which is open to root alone`
  const mend = `sudo usermod -aG ${group} ${user}`
  return `the user ${user} may not use /dev/kvm: say "${mend}", and then restart BOINC ("sudo systemctl restart boinc-client") or log in anew`
}

function groupOfKvm(): string | null {
  try {
    const { mode, gid } = statSync(KVM)
    const isOpen = (mode & GROUP_MAY) === GROUP_MAY && gid !== 0
    const named = readFileSync("/etc/group", "utf8")
      .split("\n")
      .find(line => line.split(":")[2] === `${gid}`)
    return isOpen ? (named?.split(":")[0] ?? null) : null
  } catch {
    // Gone in between, or a system that keeps its groups elsewhere.
    return null
  }
}

function remembered(value: unknown): Probed | null {
  if (typeof value !== "object" || value === null) return null
  const { acceleration, why, atMs } = value as { acceleration?: unknown; why?: unknown; atMs?: unknown }
  if (typeof why !== "string" || typeof atMs !== "number") return null
  if (acceleration === "kvm") return { acceleration, why }
  const age = Date.now() - atMs
  return acceleration === "tcg" && age >= 0 && age < NO_MAX_AGE_MS ? { acceleration, why } : null
}

/** Null: it got through. */
async function boot(program: string, { kernel, initrd, command }: ProbeImage): Promise<string | null> {
  // Loud, whatever the appliance's own command line says: what is looked for are the kernel's own lines.
  const loud = `${command.replace(/(^| )(quiet|loglevel=\d+)(?= |$)/g, "")} panic=1`.trim()
  const args = probeArguments({ kernel, initrd }, loud, PROBE_MEMORY_BYTES)
  const child = spawn(wrapper[0], [...wrapper.slice(1), program, ...args], { stdio: ["ignore", "pipe", "pipe"] })
  let complaint = ""
  child.stderr.on("data", (chunk: Buffer) => {
    complaint = (complaint + chunk.toString("latin1")).slice(-2_000)
  })
  try {
    return await new Promise<string | null>(resolve => {
      const lines = new Lines(line => {
        if (isThrough.test(line)) resolve(null)
      })
      child.stdout.on("data", (chunk: Buffer) => {
        lines.write(chunk)
        if (/KVM internal error/.test(complaint)) resolve("KVM internal error")
      })
      child.once("error", error => resolve(error.message))
      child.once("close", () => resolve(said(complaint)))
      void patience(child.pid ?? 0).then(() =>
        resolve(`a kernel did not get through its boot in ${PROBE_MS / 1_000} s`),
      )
    })
  } finally {
    child.kill("SIGKILL")
  }
}

/** What counts is time in which it had a processor or wanted none: on a busy computer a boot takes longer, and is no proof against KVM. */
async function patience(pid: number): Promise<void> {
  const beganMs = performance.now()
  for (let leftMs = PROBE_MS; leftMs > 0; ) {
    await wait(leftMs, undefined, { ref: false })
    const waitedMs = waitedMsOf(pid)
    leftMs = Math.min(PROBE_MS + waitedMs, PROBE_LONGEST_MS) - (performance.now() - beganMs)
  }
}

/** Of QEMU's complaints the first that is no warning. */
export function said(complaint: string): string {
  const lines = complaint.split("\n").map(line => line.replace(/^qemu-\S+: /, "").trim())
  return lines.find(line => line !== "" && !line.startsWith("warning:")) ?? "QEMU ended without a word"
}
