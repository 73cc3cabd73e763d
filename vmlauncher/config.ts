// What `vmlauncher run` and `probe` were told: flags over what this computer shows. One table of flags makes the help and the reading, so
// that they cannot disagree. Under BOINC nothing of this is read: there the client says it all.
import { readFileSync } from "node:fs"
import { availableParallelism, homedir, hostname, totalmem } from "node:os"
import { join, resolve } from "node:path"
import { parseArgs } from "node:util"
import { freeBytes } from "../common/disk.ts"
import type { Allowance } from "./core/ports.ts"
import { DISK_DEFAULT_BYTES, DISK_FREE_SHARE, DISK_MIN_BYTES, MEMORY_SHARE, PROCESSORS_MAX } from "./limits.ts"

export interface RunConfig {
  readonly hub: string
  readonly enrolToken: string
  readonly name: string
  readonly caPem: string | null
  /** Null: the image is not named, and only the hypervisors are looked at. */
  readonly appliance: string | null
  /** PEM; null: the one inside the executable. */
  readonly releaseKeyPem: string | null
  readonly state: string
  readonly allowance: Allowance
  readonly hypervisor: "auto" | "qemu" | "virtualbox"
  readonly allowsLan: boolean
}

/** Wrong use: the message is for people, the exit code is 2. */
export class UsageError extends Error {
  override readonly name = "UsageError"
}

const MIB = 1024 ** 2

const flags = [
  ["hub", "URL", "the hub, like https://hub.example.org"],
  ["enroll", "TOKEN", "joins that hub; @FILE reads it from a file. Not needed again"],
  ["appliance", "DIR", "directory of the image to boot"],
  ["release-key", "FILE", "who may have signed it (default: the key in this program)"],
  ["state", "DIR", "where the machine's disk and saved memory lie"],
  ["name", "NAME", "how the hub's people call this computer"],
  ["cpus", "N", "processors of the machine"],
  ["cpu-percent", "N", "share of each of them, 1 to 100"],
  ["memory", "SIZE", "memory of the machine, like 2GiB"],
  ["disk", "SIZE", "what its disk may grow to"],
  ["net-up", "RATE", "bytes a second to the hub, like 500K"],
  ["net-down", "RATE", "and from it"],
  ["net-budget", "SIZE", "bytes in 30 days, both ways together"],
  ["ca-file", "FILE", "certificates to trust for the hub, PEM"],
  ["hypervisor", "NAME", "qemu, virtualbox or auto"],
] as const

type Flag = (typeof flags)[number][0]

/** Fits a screen. */
export const help = `vmlauncher: runs a hub's jobs in a virtual machine that reaches that hub and nothing else.

  vmlauncher                 as the BOINC client starts it, in a slot
  vmlauncher run FLAGS       without BOINC; Ctrl-C saves the machine and ends
  vmlauncher probe [FLAGS]   what this computer can do, and what is missing
  vmlauncher verify DIR      whether an image is whole, and signed with the key inside

Flags of run, and of probe as far as they say anything there:
${flags.map(([name, value, text]) => `  ${`--${name} ${value}`.padEnd(21)} ${text}`).join("\n")}
  --allow-lan           VirtualBox only: accept that the machine reaches your home network

Examples:
  vmlauncher run --hub https://hub.example.org --enroll @token.txt --appliance appliance/base
  vmlauncher run --hub http://127.0.0.1:8080 --enroll cahe_… --appliance dist/appliance/base \\
    --cpus 2 --memory 1GiB --net-down 1M --net-up 200K --net-budget 20G
  vmlauncher probe --appliance dist/appliance/base`

export function readConfig(argv: readonly string[], verb: "run" | "probe"): RunConfig {
  const given = readFlags(argv)
  const at = <T>(flag: Flag, parse: (text: string) => T, otherwise: () => T): T => {
    const text = given[flag]
    if (text === undefined) return otherwise()
    try {
      return parse(text)
    } catch (error) {
      throw error instanceof UsageError ? new UsageError(`--${flag}: ${error.message}`) : error
    }
  }
  const must = (flag: Flag, why: string) => (): string => {
    if (verb === "probe") return ""
    throw new UsageError(`${why} Say --${flag}`)
  }
  const state = at("state", text => resolve(text), defaultState)
  const processors = availableParallelism()
  return {
    hub: at("hub", parseHub, must("hub", "which hub?")),
    enrolToken: at("enroll", parseToken, () => ""),
    name: at(
      "name",
      parseName,
      () =>
        hostname()
          .replace(/[^\w.-]/g, "-")
          .slice(0, 64) || "volunteer",
    ),
    caPem: at("ca-file", parsePem("-----BEGIN CERTIFICATE-----"), () => null as string | null),
    appliance: at(
      "appliance",
      text => resolve(text) as string | null,
      () => must("appliance", "which image?")() || null,
    ),
    releaseKeyPem: at("release-key", parsePem("-----BEGIN PUBLIC KEY-----"), () => null as string | null),
    state,
    allowance: {
      processors: at("cpus", wholeNumber(1, Math.min(processors, PROCESSORS_MAX)), () => Math.max(1, processors - 1)),
      processorPercent: at("cpu-percent", wholeNumber(1, 100), () => 100),
      memoryBytes: at("memory", parseSize(64 * MIB, totalmem()), () => floorMib(totalmem() * MEMORY_SHARE)),
      diskBytes: at("disk", parseSize(DISK_MIN_BYTES, 2 ** 50), () => defaultDisk(state)),
      upBytesPerSecond: at("net-up", parseSize(1_024, 2 ** 40), () => null as number | null),
      downBytesPerSecond: at("net-down", parseSize(1_024, 2 ** 40), () => null as number | null),
      budget: at(
        "net-budget",
        text => ({ bytes: parseSize(MIB, 2 ** 50)(text), days: 30 }),
        () => null as Allowance["budget"],
      ),
    },
    hypervisor: at("hypervisor", parseHypervisor, () => "auto"),
    allowsLan: given["allow-lan"] !== undefined,
  }
}

function readFlags(argv: readonly string[]): Partial<Record<Flag | "allow-lan", string>> {
  const options = Object.fromEntries(flags.map(([name]) => [name, { type: "string" as const }]))
  try {
    const { values } = parseArgs({
      // As earlier versions called it.
      args: argv.map(word => word.replace(/^--ca(?==|$)/, "--ca-file")),
      options: { ...options, "allow-lan": { type: "boolean" } },
      strict: true,
      allowPositionals: false,
    })
    return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)]))
  } catch (error) {
    throw new UsageError(`${(error as Error).message.split(". To specify")[0]}; vmlauncher --help tells what there is`)
  }
}

// ---- what values may be -----------------------------------------------------------------------------------------

function wrong(wanted: string, got: string): never {
  throw new UsageError(`must be ${wanted}, not "${got.length > 80 ? `${got.slice(0, 80)}…` : got}"`)
}

function parseHub(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : wrong("a URL like https://hub.example.org", text)
  if (!/^https?:$/.test(url.protocol)) wrong("a URL that begins with https:// or http://", text)
  if (url.username !== "" || url.password !== "") throw new UsageError("must not hold a name or a password")
  if (url.search + url.hash !== "" || url.pathname !== "/") wrong("a hub's address alone, without a path", text)
  return url.origin
}

function parseToken(text: string): string {
  const token = text.startsWith("@") ? readText(text.slice(1)).trim() : text
  return /^[\x21-\x7e]{1,512}$/.test(token) ? token : wrong("a token without spaces", "what it is")
}

function parseName(text: string): string {
  return /^[\w.-]{1,64}$/.test(text) ? text : wrong("1 to 64 letters, digits, dots or dashes", text)
}

function parsePem(head: string): (path: string) => string {
  return path => {
    const pem = readText(path)
    return pem.includes(head) ? pem : wrong(`a PEM file with ${head}`, path)
  }
}

function parseHypervisor(text: string): RunConfig["hypervisor"] {
  if (text === "auto" || text === "qemu" || text === "virtualbox") return text
  return wrong("qemu, virtualbox or auto", text)
}

function wholeNumber(min: number, max: number): (text: string) => number {
  return text => {
    const number = Number(text)
    return Number.isInteger(number) && number >= min && number <= max
      ? number
      : wrong(`a whole number from ${min} to ${max}`, text)
  }
}

/** "4GiB", "500M", "1000": powers of 1024 with or without the i, as people mean them. */
function parseSize(min: number, max: number): (text: string) => number {
  return text => {
    const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$/i.exec(text.trim())
    if (match === null) wrong('a size like "4GiB"', text)
    const bytes = Math.floor(Number(match[1]) * 1024 ** ["", "k", "m", "g", "t"].indexOf(match[2]!.toLowerCase()))
    if (bytes < min) wrong(`at least ${min} bytes`, text)
    return bytes > max ? wrong(`at most ${max} bytes, which is all there is`, text) : bytes
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8")
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const why = code === "ENOENT" ? "is not there" : code === "EACCES" ? "may not be read" : `cannot be read (${code})`
    throw new UsageError(`${path} ${why}`)
  }
}

// ---- what this computer shows -----------------------------------------------------------------------------------

function defaultState(): string {
  return join(process.env.XDG_STATE_HOME || join(homedir(), ".local", "state"), "vmlauncher")
}

function defaultDisk(state: string): number {
  const free = freeBytes(state) * DISK_FREE_SHARE
  return Math.max(DISK_MIN_BYTES, floorMib(Math.min(DISK_DEFAULT_BYTES, free)))
}

function floorMib(bytes: number): number {
  return Math.floor(bytes / MIB) * MIB
}
