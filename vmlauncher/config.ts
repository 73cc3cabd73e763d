// What `vmlauncher run` and `probe` were told: flags over what this computer shows. One table of flags makes the help and the reading, so
// that they cannot disagree. Under BOINC nothing of this is read: there the client says it all.
import { availableParallelism, homedir, hostname, totalmem } from "node:os"
import { join, resolve } from "node:path"
import { freeBytes } from "../common/disk.ts"
import { helpLines } from "../common/settings/print.ts"
import { readFlags, readSettings, setting } from "../common/settings/table.ts"
import {
  hubUrl,
  needed,
  nodeName,
  oneOf,
  pemFile,
  secret,
  size,
  truth,
  UsageError,
  wholeNumber,
} from "../common/settings/values.ts"
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

export { UsageError }

const MIB = 1024 ** 2

function tableOf(processors: number) {
  return {
    hub: setting({
      value: "URL",
      help: "the hub, like https://hub.example.org",
      parse: text => hubUrl(text).origin,
      otherwise: needed("which hub? Say --hub"),
    }),
    enroll: setting({
      value: "TOKEN",
      help: "joins that hub; @FILE reads it from a file. Not needed again",
      isSecret: true,
      parse: secret,
      otherwise: "",
    }),
    appliance: setting({
      value: "DIR",
      help: "directory of the image to boot",
      parse: text => resolve(text),
      otherwise: needed("which image? Say --appliance"),
    }),
    "release-key": setting({
      value: "FILE",
      help: "who may have signed it (default: the key in this program)",
      parse: pemFile("PUBLIC KEY"),
      otherwise: null,
    }),
    state: setting({
      value: "DIR",
      help: "where the machine's disk and saved memory lie",
      parse: text => resolve(text),
      otherwise: defaultState,
    }),
    name: setting({
      value: "NAME",
      help: "how the hub's people call this computer",
      parse: nodeName,
      otherwise: defaultName,
    }),
    cpus: setting({
      value: "N",
      help: "processors of the machine",
      parse: wholeNumber(1, Math.min(processors, PROCESSORS_MAX)),
      otherwise: () => Math.max(1, processors - 1),
    }),
    "cpu-percent": setting({
      value: "N",
      help: "share of each of them, 1 to 100",
      parse: wholeNumber(1, 100),
      otherwise: 100,
    }),
    memory: setting({
      value: "SIZE",
      help: "memory of the machine, like 2GiB",
      parse: size(64 * MIB, totalmem()),
      otherwise: () => floorMib(totalmem() * MEMORY_SHARE),
    }),
    disk: setting({
      value: "SIZE",
      help: "what its disk may grow to",
      parse: size(DISK_MIN_BYTES, 2 ** 50),
      otherwise: ({ state }) => defaultDisk(state as string),
    }),
    "net-up": setting({
      value: "RATE",
      help: "bytes a second to the hub, like 500K",
      parse: size(1_024, 2 ** 40),
      otherwise: null,
    }),
    "net-down": setting({ value: "RATE", help: "and from it", parse: size(1_024, 2 ** 40), otherwise: null }),
    "net-budget": setting({
      value: "SIZE",
      help: "bytes in 30 days, both ways together",
      parse: size(MIB, 2 ** 50),
      otherwise: null,
    }),
    "ca-file": setting({
      value: "FILE",
      help: "certificates to trust for the hub, PEM",
      formerly: "ca",
      parse: pemFile("CERTIFICATE"),
      otherwise: null,
    }),
    hypervisor: setting({
      value: "NAME",
      help: "qemu, virtualbox or auto",
      parse: oneOf("auto", "qemu", "virtualbox"),
      otherwise: "auto",
    }),
    "allow-lan": setting({
      help: "VirtualBox only: accept that the machine reaches your home network",
      parse: truth,
      otherwise: false,
    }),
  }
}

/** Fits a screen. */
export const help = `vmlauncher: runs a hub's jobs in a virtual machine that reaches that hub and nothing else.

  vmlauncher                 as the BOINC client starts it, in a slot
  vmlauncher run FLAGS       without BOINC; Ctrl-C saves the machine and ends
  vmlauncher probe [FLAGS]   what this computer can do, and what is missing
  vmlauncher verify DIR      whether an image is whole, and signed with the key inside

Flags of run, and of probe as far as they say anything there:
${helpLines(tableOf(1), 21).join("\n")}

Examples:
  vmlauncher run --hub https://hub.example.org --enroll @token.txt --appliance appliance/base
  vmlauncher run --hub http://127.0.0.1:8080 --enroll cahe_… --appliance dist/appliance/base \\
    --cpus 2 --memory 1GiB --net-down 1M --net-up 200K --net-budget 20G
  vmlauncher probe --appliance dist/appliance/base`

export function readConfig(argv: readonly string[], verb: "run" | "probe"): RunConfig {
  const all = tableOf(availableParallelism())
  // A look at this computer needs neither; the image is looked at if it is named.
  const table =
    verb === "run"
      ? all
      : { ...all, hub: { ...all.hub, otherwise: "" }, appliance: { ...all.appliance, otherwise: "" } }
  const flags = readFlags(argv, table, {}, `${verb} takes flags only`)
  const { values } = readSettings(table, [flags])
  const budget = values["net-budget"]
  return {
    hub: values.hub,
    enrolToken: values.enroll,
    name: values.name,
    caPem: values["ca-file"],
    appliance: values.appliance || null,
    releaseKeyPem: values["release-key"],
    state: values.state,
    allowance: {
      processors: values.cpus,
      processorPercent: values["cpu-percent"],
      memoryBytes: values.memory,
      diskBytes: values.disk,
      upBytesPerSecond: values["net-up"],
      downBytesPerSecond: values["net-down"],
      budget: budget === null ? null : { bytes: budget, days: 30 },
    },
    hypervisor: values.hypervisor,
    allowsLan: values["allow-lan"],
  }
}

// ---- what this computer shows -----------------------------------------------------------------------------------

function defaultState(): string {
  return join(process.env.XDG_STATE_HOME || join(homedir(), ".local", "state"), "vmlauncher")
}

function defaultName(): string {
  const name = hostname().replace(/[^\w.-]/g, "-")
  return name.slice(0, 64) || "volunteer"
}

function defaultDisk(state: string): number {
  const free = freeBytes(state) * DISK_FREE_SHARE
  return Math.max(DISK_MIN_BYTES, floorMib(Math.min(DISK_DEFAULT_BYTES, free)))
}

function floorMib(bytes: number): number {
  return Math.floor(bytes / MIB) * MIB
}
