// What this machine shows of itself: the properties that scientists may ask for. Looks only, and once: what it says goes into the
// configuration.
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { availableParallelism, cpus, machine, platform, release } from "node:os"

/** What a scientist may ask for with --property, in OAR's spirit: lower case, plain values. */
export function detectedProperties(): Record<string, string> {
  const has = (program: string): string => {
    try {
      execFileSync("/bin/sh", ["-c", `command -v ${program}`], { stdio: "ignore" })
      return "yes"
    } catch {
      return "no"
    }
  }
  return {
    os: platform(),
    kernel: release(),
    // As uname says it, and as people type it: x86_64, not the x64 of Node.
    arch: machine(),
    cores: `${availableParallelism()}`,
    cpu_model: cpus()[0]?.model.trim() || "unknown",
    cpu_flags: cpuFlags(),
    has_povray: has("povray"),
    has_ffmpeg: has("ffmpeg"),
  }
}

/** Those that programs are compiled for; the whole list is a hundred words. */
const tellingFlags = ["sse4_2", "avx", "avx2", "avx512f", "fma", "aes", "sha_ni", "neon", "asimd", "sve"]

function cpuFlags(): string {
  try {
    const line = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? ""
    const all = new Set(line.split(" "))
    return tellingFlags.filter(flag => all.has(flag)).join(" ")
  } catch {
    // Not Linux: nothing is known, and nothing is claimed.
    return ""
  }
}
