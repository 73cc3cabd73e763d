// What the agent was told: flag over environment (CAH_*) over a launcher's settings over TOML file over what the machine itself shows. Read
// once, checked, frozen, and passed on as a value; nothing else reads the environment.
import { availableParallelism, homedir, hostname, totalmem } from "node:os"
import { join, resolve } from "node:path"
import { isLoopback } from "../common/address.ts"
import { freeBytes } from "../common/disk.ts"
import { helpLines, printSettings } from "../common/settings/print.ts"
import {
  type Command,
  environmentLayer,
  fileLayer,
  type Layer,
  readFlags,
  readSettings,
  setting,
  type ValuesOf,
  variableOf,
} from "../common/settings/table.ts"
import {
  needed,
  nodeName,
  oneOf,
  pemFile,
  secret,
  size,
  truth,
  UsageError,
  url,
  wholeNumber,
  wrong,
} from "../common/settings/values.ts"
import { addressOf, type GuestImage } from "../proto/guest/settings.ts"
import { Failure } from "./core/ports.ts"
import { CACHE_FREE_SHARE, CACHE_MAX_BYTES, GUEST_DISK_SHARE, GUEST_SYSTEM_BYTES, NODE_SLOTS_MAX } from "./limits.ts"
import { detectedProperties } from "./machine.ts"
import { readGuestSettings } from "./settings.ts"

export interface Config {
  readonly hub: string
  /** Where to connect instead of the hub's own address. */
  readonly via: string | null
  /** One-use token for the first hello of this node. */
  readonly enroll: string | null
  readonly state: string
  readonly name: string
  readonly slots: number
  readonly memoryBytes: number
  readonly diskBytes: number
  readonly cacheBytes: number
  readonly properties: Readonly<Record<string, string>>
  readonly sandbox: "bwrap" | "none"
  /** The second word for jobs of root's rights: without a sandbox, and the agent is root. */
  readonly allowRootJobs: boolean
  readonly runner: "process" | "noop"
  /** PEM text of the authorities to trust. */
  readonly ca: string | null
  readonly insecure: boolean
  readonly logLevel: "debug" | "info" | "warn" | "error"
  /** In a virtual machine of a launcher: the appliance that it booted. */
  readonly image: GuestImage | null
}

export { UsageError }

/** Help or version was asked for and printed, or the configuration was. */
export class Printed extends Error {
  override readonly name = "Printed"
}

export interface World {
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  readonly isRoot: boolean
  readonly home: string
  readonly version: string
  print(text: string): void
}

const defaultFile = "/etc/cah/agent.toml"

/** The two whose defaults the world decides, before the others that may depend on them. */
function tableOf({ isRoot, env, home }: Pick<World, "isRoot" | "env" | "home">) {
  const freeOf = ({ state }: Readonly<Record<string, unknown>>) => freeBytes(state as string)
  return {
    hub: setting({
      value: "URL",
      help: "the hub's address, like https://hub.example.org",
      parse: text => url(text).href.replace(/\/$/, ""),
      otherwise: needed(`which hub? Say --hub URL, or set CAH_HUB, or hub in ${defaultFile}`),
    }),
    via: setting({
      value: "ADDRESS",
      help: "connect to this address, like 10.0.2.100:80, and speak to the hub through it",
      parse: text => (addressOf(text) !== null ? text : wrong("be an address like 10.0.2.100:80", text)),
      otherwise: null,
    }),
    enroll: setting({
      value: "TOKEN",
      help: "one-use token with which this node joins; @FILE reads it from a file. Not needed again afterwards",
      isSecret: true,
      parse: secret,
      otherwise: null,
    }),
    state: setting({
      value: "DIR",
      help: "where the node's key, journal, cache and jobs lie (root: /var/lib/cah-agent, else $XDG_STATE_HOME/cah-agent)",
      parse: text => resolve(text),
      otherwise: () =>
        isRoot ? "/var/lib/cah-agent" : join(env.XDG_STATE_HOME || join(home, ".local", "state"), "cah-agent"),
    }),
    name: setting({ value: "NAME", help: "how people call this node", parse: nodeName, otherwise: () => hostname() }),
    slots: setting({
      value: "N",
      help: "jobs of one processor that may run at once",
      parse: wholeNumber(1, NODE_SLOTS_MAX),
      otherwise: () => availableParallelism(),
    }),
    memory: setting({
      value: "SIZE",
      help: "memory for jobs, like 4GiB",
      parse: size(),
      // The system and the agent need some themselves.
      otherwise: () => Math.floor(totalmem() * 0.8),
    }),
    disk: setting({
      value: "SIZE",
      help: "disk for jobs, like 20GiB",
      parse: size(),
      otherwise: before => Math.floor(freeOf(before) / 2),
    }),
    "cache-size": setting({
      value: "SIZE",
      help: "disk for inputs kept for later jobs",
      parse: size(),
      otherwise: before => Math.floor(Math.min(CACHE_MAX_BYTES, freeOf(before) * CACHE_FREE_SHARE)),
    }),
    property: setting({
      value: "NAME=VALUE",
      help: "something that jobs may ask for, beside what is detected (repeatable; in the environment separated by commas)",
      variable: "CAH_PROPERTIES",
      isMany: true,
      parse: parseProperties,
      otherwise: () => ({}),
    }),
    sandbox: setting({
      value: "KIND",
      help: "bwrap: jobs run behind bubblewrap, or the agent does not start; none: with the agent's own rights",
      // What earlier agents called the default. It no longer goes on without.
      parse: text => (text === "auto" ? "bwrap" : oneOf("bwrap", "none")(text)),
      otherwise: "bwrap",
    }),
    "allow-root-jobs": setting({
      help: "with --sandbox none, as root: yes, every job may do anything to this machine",
      parse: truth,
      otherwise: false,
    }),
    runner: setting({
      value: "KIND",
      help: "process: runs jobs; noop: only says so, to measure everything else",
      parse: oneOf("process", "noop"),
      otherwise: "process",
    }),
    "ca-file": setting({
      value: "FILE",
      help: "certificates to trust instead of the system's, PEM",
      formerly: "ca",
      parse: pemFile("CERTIFICATE"),
      otherwise: null,
    }),
    insecure: setting({
      help: "allow http:// to another machine: everything can be read and changed on the way",
      parse: truth,
      otherwise: false,
    }),
    "log-level": setting({
      value: "LEVEL",
      help: "debug, info, warn or error",
      parse: oneOf("debug", "info", "warn", "error"),
      otherwise: "info",
    }),
  }
}

const commands: Readonly<Record<string, Command>> = {
  config: { value: "FILE", help: `TOML file with any of these (default: ${defaultFile}, if it is there)` },
  settings: {
    value: "DEVICE",
    help: "in a virtual machine: the disk from which to read what its launcher says [CAH_SETTINGS]",
  },
  "print-config": { help: "print what is configured, and from where, and end" },
  version: { help: "print the version" },
  help: { help: "print this" },
}

export const agentDescription =
  "Runs jobs of a clouds-at-home hub on this machine. It dials out; nothing ever connects to it."

/** Every flag with its help, for reading and for the manual. */
export const agentFlags: Readonly<Record<string, Command>> = {
  ...Object.fromEntries(
    Object.entries(tableOf({ isRoot: false, env: {}, home: "" })).map(([name, one]) => [
      name,
      { ...one, help: `${one.help} [${variableOf(name, one)}]` },
    ]),
  ),
  ...commands,
}

export function readConfig(world: World): Config {
  const table = tableOf(world)
  const flags = readFlags(world.argv, table, commands, "the agent takes options, and try before them")
  if (flags.command("help") !== undefined) throw printed(world, helpText())
  if (flags.command("version") !== undefined) throw printed(world, world.version)
  const guest = readGuest(flags.command("settings") ?? (world.env.CAH_SETTINGS || null))
  const file = fileLayer(flags.command("config") ?? (world.env.CAH_CONFIG || undefined), [defaultFile], table)
  const told = readSettings(table, [
    flags,
    environmentLayer(world.env, table),
    ...(guest === null ? [] : [guest.layer]),
    file,
  ])
  const config = fitted(configOf(told.values, guest), guest)
  refusePlainText(config)
  refuseRootJobs(config, world)
  if (flags.command("print-config") === undefined) return config
  const { memoryBytes: memory, diskBytes: disk, properties: property } = config
  throw printed(world, printSettings(table, { ...told, values: { ...told.values, memory, disk, property } }).trimEnd())
}

function printed(world: World, text: string): Printed {
  world.print(text)
  return new Printed()
}

function configOf(values: ValuesOf<ReturnType<typeof tableOf>>, guest: Guest | null): Config {
  return {
    hub: values.hub,
    via: values.via,
    enroll: values.enroll,
    state: values.state,
    name: values.name,
    slots: values.slots,
    memoryBytes: values.memory,
    diskBytes: values.disk,
    cacheBytes: values["cache-size"],
    properties: {
      ...detectedProperties(),
      ...values.property,
      // No other setting can say otherwise.
      ...(guest === null ? {} : imageProperties(guest.image)),
    },
    sandbox: values.sandbox,
    allowRootJobs: values["allow-root-jobs"],
    runner: values.runner,
    ca: values["ca-file"],
    insecure: values.insecure,
    logLevel: values["log-level"],
    image: guest?.image ?? null,
  }
}

function helpText(): string {
  return ["Usage: cah-agent [options]", "", agentDescription, "", ...helpLines(agentFlags, 24)].join("\n")
}

// ---- a guest ----------------------------------------------------------------------------------------------------

interface Guest {
  readonly layer: Layer
  readonly image: GuestImage
}

function readGuest(device: string | null): Guest | null {
  if (device === null) return null
  try {
    const { hub, via, enrolToken, name, slots, memoryBytes, diskBytes, image, caPem } = readGuestSettings(device)
    const values: Readonly<Record<string, unknown>> = {
      hub: hub.replace(/\/$/, ""),
      via,
      enroll: enrolToken === "" ? null : enrolToken,
      name,
      slots,
      memory: memoryBytes,
      disk: diskBytes,
      "ca-file": caPem,
      // Whether plain text will do is the launcher's to decide: all that leaves this machine goes through it.
      insecure: true,
    }
    return {
      layer: {
        said: setting => (Object.hasOwn(values, setting) ? { value: values[setting] } : undefined),
        origin: () => device,
      },
      image,
    }
  } catch (error) {
    if (error instanceof Failure) throw new UsageError(error.message)
    throw error
  }
}

function imageProperties({ name, version, digest }: GuestImage): Record<string, string> {
  return { image: digest, image_name: name, image_version: version }
}

/** A launcher says what the volunteer allows. What this machine has after its system and the agent took theirs may be less. */
function fitted(config: Config, guest: Guest | null): Config {
  if (guest === null) return Object.freeze(config)
  const roomBytes = Math.floor(freeBytes(config.state) * GUEST_DISK_SHARE)
  const memoryBytes = Math.min(config.memoryBytes, Math.max(1, totalmem() - GUEST_SYSTEM_BYTES))
  return Object.freeze({ ...config, memoryBytes, diskBytes: Math.min(config.diskBytes, roomBytes) })
}

// ---- what must not be -------------------------------------------------------------------------------------------

function refusePlainText({ hub, insecure }: Config): void {
  const { protocol, hostname: host } = new URL(hub)
  if (protocol === "http:" && !isLoopback(host) && !insecure) {
    throw new UsageError(
      `${hub} is in plain text and not on this machine; use https://, or say --insecure to do it all the same`,
    )
  }
}

function refuseRootJobs({ sandbox, runner, allowRootJobs }: Config, { isRoot }: World): void {
  if (!isRoot || sandbox !== "none" || runner === "noop" || allowRootJobs) return
  throw new UsageError(
    "without a sandbox, jobs would be root on this machine and could read this node's key; run the agent as another user, or say " +
      "--allow-root-jobs as well where nobody minds",
  )
}

function parseProperties(text: string): Record<string, string> {
  const properties: Record<string, string> = {}
  for (const pair of text.split(",").filter(part => part.trim() !== "")) {
    const match = /^\s*([a-z][a-z0-9_]{0,63})=(.{0,256})$/is.exec(pair)
    if (match === null) wrong("be name=value, the name of letters, digits and _", pair)
    properties[match[1]!.toLowerCase()] = match[2]!.trim()
  }
  return properties
}

/** The world as it is, for main.ts. */
export function realWorld(version: string): World {
  return {
    argv: process.argv.slice(2),
    env: process.env,
    isRoot: process.getuid?.() === 0,
    home: homedir(),
    version,
    print: text => void process.stdout.write(`${text}\n`),
  }
}
