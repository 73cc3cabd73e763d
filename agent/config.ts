// What the agent was told: flag over environment (CAH_*) over a launcher's settings over TOML file over what the machine itself shows. Read
// once, checked, frozen, and passed on as a value; nothing else reads the environment. Every setting is one line of a table, so
// that the help, the ways to give it and --print-config cannot disagree.
import { existsSync, readFileSync } from "node:fs"
import { availableParallelism, homedir, hostname, totalmem } from "node:os"
import { join, resolve } from "node:path"
import { Command, CommanderError } from "commander"
import { parse as parseToml, TomlError } from "smol-toml"
import { isLoopback } from "../common/address.ts"
import { freeBytes } from "../common/disk.ts"
import { addressOf, type GuestImage } from "../proto/guest/settings.ts"
import { Failure } from "./core/ports.ts"
import { CACHE_FREE_SHARE, CACHE_MAX_BYTES, GUEST_DISK_SHARE, GUEST_SYSTEM_BYTES, NODE_SLOTS_MAX } from "./limits.ts"
import { detectedProperties } from "./machine.ts"
import { readSettings } from "./settings.ts"

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

/** Wrong use: the message is for people, the exit code is 2. */
export class UsageError extends Error {
  override readonly name = "UsageError"
}

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

type Origin = "flag" | "environment" | "settings" | "file" | "detected" | "default"

interface Setting<T> {
  readonly flag: string
  readonly env: string
  readonly help: string
  readonly isSecret?: boolean
  /** Null: must be given. */
  readonly otherwise: ((config: Partial<Config>, world: World) => T) | null
  readonly detected?: true
  parse(text: string): T
}

const defaultFile = "/etc/cah/agent.toml"

type Settings = { readonly [K in Exclude<keyof Config, "image">]: Setting<Config[K]> }

/** In the order in which they may depend on each other. */
const settings: Settings = {
  hub: {
    flag: "--hub <url>",
    env: "CAH_HUB",
    help: "the hub's address, like https://hub.example.org",
    otherwise: null,
    parse: parseHub,
  },
  via: {
    flag: "--via <address>",
    env: "CAH_VIA",
    help: "connect to this address, like 10.0.2.100:80, and speak to the hub through it",
    otherwise: () => null,
    parse: text => (addressOf(text) !== null ? text : wrong("an address like 10.0.2.100:80", text)),
  },
  enroll: {
    flag: "--enroll <token>",
    env: "CAH_ENROLL",
    help: "one-use token with which this node joins; @FILE reads it from a file. Not needed again afterwards",
    isSecret: true,
    otherwise: () => null,
    parse: text => (text.startsWith("@") ? readText(text.slice(1)).trim() : text),
  },
  state: {
    flag: "--state <dir>",
    env: "CAH_STATE",
    help: "where the node's key, journal, cache and jobs lie (root: /var/lib/cah-agent, else $XDG_STATE_HOME/cah-agent)",
    otherwise: (_, { isRoot, env, home }) =>
      isRoot ? "/var/lib/cah-agent" : join(env.XDG_STATE_HOME || join(home, ".local", "state"), "cah-agent"),
    parse: text => resolve(text),
  },
  name: {
    flag: "--name <name>",
    env: "CAH_NAME",
    help: "how people call this node",
    detected: true,
    otherwise: () => hostname(),
    parse: text => (/^[\w.-]{1,64}$/.test(text) ? text : wrong("1 to 64 letters, digits, dots or dashes", text)),
  },
  slots: {
    flag: "--slots <n>",
    env: "CAH_SLOTS",
    help: "jobs of one processor that may run at once",
    detected: true,
    otherwise: () => availableParallelism(),
    parse: text => wholeNumber(text, 1, NODE_SLOTS_MAX),
  },
  memoryBytes: {
    flag: "--memory <size>",
    env: "CAH_MEMORY",
    help: "memory for jobs, like 4GiB",
    detected: true,
    // The system and the agent need some themselves.
    otherwise: () => Math.floor(totalmem() * 0.8),
    parse: parseSize,
  },
  diskBytes: {
    flag: "--disk <size>",
    env: "CAH_DISK",
    help: "disk for jobs, like 20GiB",
    detected: true,
    otherwise: ({ state }) => Math.floor(freeBytes(state!) / 2),
    parse: parseSize,
  },
  cacheBytes: {
    flag: "--cache-size <size>",
    env: "CAH_CACHE_SIZE",
    help: "disk for inputs kept for later jobs",
    detected: true,
    otherwise: ({ state }) => Math.floor(Math.min(CACHE_MAX_BYTES, freeBytes(state!) * CACHE_FREE_SHARE)),
    parse: parseSize,
  },
  properties: {
    flag: "--property <name=value>",
    env: "CAH_PROPERTIES",
    help: "something that jobs may ask for, beside what is detected (repeatable; in the environment separated by commas)",
    detected: true,
    otherwise: () => ({}),
    parse: parseProperties,
  },
  sandbox: {
    flag: "--sandbox <kind>",
    env: "CAH_SANDBOX",
    help: "bwrap: jobs run behind bubblewrap, or the agent does not start; none: with the agent's own rights",
    otherwise: () => "bwrap",
    // What earlier agents called the default. It no longer goes on without.
    parse: text => (text === "auto" ? "bwrap" : oneOf("bwrap", "none")(text)),
  },
  allowRootJobs: {
    flag: "--allow-root-jobs",
    env: "CAH_ALLOW_ROOT_JOBS",
    help: "with --sandbox none, as root: yes, every job may do anything to this machine",
    otherwise: () => false,
    parse: oneOfBooleans,
  },
  runner: {
    flag: "--runner <kind>",
    env: "CAH_RUNNER",
    help: "process: runs jobs; noop: only says so, to measure everything else",
    otherwise: () => "process",
    parse: oneOf("process", "noop"),
  },
  ca: {
    flag: "--ca-file <file>",
    env: "CAH_CA_FILE",
    help: "certificates to trust instead of the system's, PEM",
    otherwise: () => null,
    parse: text => {
      const pem = readText(text)
      return pem.includes("-----BEGIN CERTIFICATE-----") ? pem : wrong("a file with PEM certificates", text)
    },
  },
  insecure: {
    flag: "--insecure",
    env: "CAH_INSECURE",
    help: "allow http:// to another machine: everything can be read and changed on the way",
    otherwise: () => false,
    parse: oneOfBooleans,
  },
  logLevel: {
    flag: "--log-level <level>",
    env: "CAH_LOG_LEVEL",
    help: "debug, info, warn or error",
    otherwise: () => "info",
    parse: oneOf("debug", "info", "warn", "error"),
  },
}

export function readConfig(world: World): Config {
  const flags = readFlags(world)
  const file = readFile(flags, world)
  const guest = readGuest(flags, world)
  const config: Record<string, unknown> = {}
  const origins: Record<string, Origin> = {}
  for (const key of Object.keys(settings) as (keyof Settings)[]) {
    const setting = settings[key] as Setting<unknown>
    const [text, origin, where] = given(key, setting, flags, file, world)
    if (guest !== null && key in guest.config && origin !== "flag" && origin !== "environment") {
      config[key] = guest.config[key]
      origins[key] = "settings"
    } else if (text !== null) {
      config[key] = parsed(setting, text, where)
      origins[key] = origin
    } else if (setting.otherwise !== null) {
      config[key] = setting.otherwise(config as Partial<Config>, world)
      origins[key] = setting.detected ? "detected" : "default"
    } else {
      throw new UsageError(
        `which hub? Say ${setting.flag}, or set ${setting.env}, or ${tomlKey(setting)} in ${defaultFile}`,
      )
    }
  }
  if (guest !== null) fitIntoGuest(config as { -readonly [K in keyof Config]: Config[K] })
  config.image = guest?.image ?? null
  config.properties = {
    ...detectedProperties(),
    ...(config.properties as Config["properties"]),
    // No other setting can say otherwise.
    ...(guest === null ? {} : imageProperties(guest.image)),
  }
  const ready = Object.freeze(config) as unknown as Config
  refusePlainText(ready)
  refuseRootJobs(ready, world)
  if (flags.printConfig === true) {
    world.print(describe(ready, origins))
    throw new Printed()
  }
  return ready
}

// ---- where values come from -------------------------------------------------------------------------------------

type Flags = Record<string, string | boolean | string[] | undefined>

/** The command line, for reading it and for the manual. */
export function agentCommand(version: string): Command {
  const command = new Command("cah-agent")
    .description("Runs jobs of a clouds-at-home hub on this machine. It dials out; nothing ever connects to it.")
    .version(version, "--version", "print the version")
    .helpOption("--help", "print this")
    .allowExcessArguments(false)
    .exitOverride()
    .option("--config <file>", `TOML file with any of these (default: ${defaultFile}, if it is there)`)
    .option(
      "--settings <device>",
      "in a virtual machine: the disk from which to read what its launcher says [CAH_SETTINGS]",
    )
    .option("--print-config", "print what is configured, and from where, and end")
  for (const { flag, env, help } of Object.values(settings)) {
    if (flag.startsWith("--property")) command.option(flag, `${help} [${env}]`, collect)
    else command.option(flag, `${help} [${env}]`)
  }
  return command
}

function readFlags(world: World): Flags {
  let said = ""
  const command = agentCommand(world.version)
  command.configureOutput({ writeOut: text => world.print(text.trimEnd()), writeErr: text => (said += text) })
  try {
    command.parse(world.argv.map(newName), { from: "user" })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode === 0) throw new Printed()
    throw new UsageError(said.trim().replace(/^error: /, "") || error.message)
  }
  return command.opts<Flags>()
}

/** As earlier versions called it. */
function newName(word: string): string {
  return word.replace(/^--ca(?==|$)/, "--ca-file")
}

function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value]
}

interface ConfigFile {
  readonly path: string
  readonly values: Record<string, unknown>
}

function readFile(flags: Flags, world: World): ConfigFile | null {
  const path = (flags.config as string | undefined) ?? (world.env.CAH_CONFIG || null)
  if (path === null && !existsSync(defaultFile)) return null
  const from = path ?? defaultFile
  let values: Record<string, unknown>
  try {
    values = parseToml(readText(from))
  } catch (error) {
    if (error instanceof TomlError) throw new UsageError(`${from}, line ${error.line}: ${error.message.split("\n")[0]}`)
    throw error
  }
  if ("ca" in values) values = { "ca-file": values.ca, ...values, ca: undefined }
  const known = [...Object.values(settings).map(tomlKey), "ca"]
  const unknown = Object.keys(values).find(key => !known.includes(key))
  if (unknown !== undefined)
    throw new UsageError(`${from}: unknown setting "${unknown}"; there are ${known.join(", ")}`)
  return { path: from, values }
}

interface Guest {
  readonly config: Partial<Config>
  readonly image: GuestImage
}

function readGuest(flags: Flags, world: World): Guest | null {
  const device = (flags.settings as string | undefined) ?? (world.env.CAH_SETTINGS || null)
  if (device === null) return null
  try {
    const { hub, via, enrolToken, name, slots, memoryBytes, diskBytes, image, caPem } = readSettings(device)
    return {
      config: {
        hub: hub.replace(/\/$/, ""),
        via,
        enroll: enrolToken === "" ? null : enrolToken,
        name,
        slots,
        memoryBytes,
        diskBytes,
        ca: caPem,
        // Whether plain text will do is the launcher's to decide: all that leaves this machine goes through it.
        insecure: true,
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
function fitIntoGuest(config: { -readonly [K in keyof Config]: Config[K] }): void {
  const roomBytes = Math.floor(freeBytes(config.state) * GUEST_DISK_SHARE)
  config.memoryBytes = Math.min(config.memoryBytes, Math.max(1, totalmem() - GUEST_SYSTEM_BYTES))
  config.diskBytes = Math.min(config.diskBytes, roomBytes)
}

/** "--cache-size <size>" is cache-size in the file. */
function tomlKey(setting: Setting<unknown>): string {
  return setting.flag.split(" ")[0]!.slice(2)
}

function given(
  key: string,
  setting: Setting<unknown>,
  flags: Flags,
  file: ConfigFile | null,
  world: World,
): [text: string | null, origin: Origin, where: string] {
  const name = tomlKey(setting)
  const flag = flags[name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())]
  if (flag !== undefined) return [Array.isArray(flag) ? flag.join(",") : String(flag), "flag", `--${name}`]
  const env = world.env[setting.env] ?? (setting.env === "CAH_CA_FILE" ? world.env.CAH_CA : undefined)
  if (env !== undefined && env !== "") return [env, "environment", setting.env]
  const value = file?.values[name]
  if (value === undefined) return [null, "default", ""]
  const where = `${file!.path}: ${name}`
  if (key === "properties" && typeof value === "object" && value !== null && !Array.isArray(value)) {
    return [
      Object.entries(value)
        .map(([k, v]) => `${k}=${String(v)}`)
        .join(","),
      "file",
      where,
    ]
  }
  if (!["string", "number", "boolean"].includes(typeof value)) throw new UsageError(`${where}: must be one value`)
  return [String(value), "file", where]
}

function parsed(setting: Setting<unknown>, text: string, where: string): unknown {
  try {
    return setting.parse(text)
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(`${where}: ${error.message}`)
    throw error
  }
}

// ---- what values may be -----------------------------------------------------------------------------------------

function wrong(wanted: string, got: string): never {
  throw new UsageError(`must be ${wanted}, not "${got.length > 80 ? `${got.slice(0, 80)}…` : got}"`)
}

function parseHub(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : wrong("a URL like https://hub.example.org:8080", text)
  if (url.protocol !== "https:" && url.protocol !== "http:") wrong("a URL that begins with https:// or http://", text)
  if (url.username !== "" || url.password !== "") throw new UsageError("must not hold a name or a password")
  return url.href.replace(/\/$/, "")
}

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

/** "4GiB", "500M", "1000": powers of 1024 with or without the i, as people mean them of memory. */
function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$/i.exec(text.trim())
  if (match === null) wrong('a size like "4GiB"', text)
  return Math.floor(Number(match[1]) * 1024 ** ["", "k", "m", "g", "t"].indexOf(match[2]!.toLowerCase()))
}

function wholeNumber(text: string, min: number, max: number): number {
  const number = Number(text)
  if (!Number.isInteger(number) || number < min || number > max) wrong(`a whole number from ${min} to ${max}`, text)
  return number
}

function oneOf<T extends string>(...words: T[]): (text: string) => T {
  return text => words.find(word => word === text) ?? wrong(`one of ${words.join(", ")}`, text)
}

function oneOfBooleans(text: string): boolean {
  if (text === "true" || text === "1") return true
  return text === "false" || text === "0" ? false : wrong("true or false", text)
}

function parseProperties(text: string): Record<string, string> {
  const properties: Record<string, string> = {}
  for (const pair of text.split(",").filter(part => part.trim() !== "")) {
    const match = /^\s*([a-z][a-z0-9_]{0,63})=(.{0,256})$/is.exec(pair)
    if (match === null) wrong("name=value, the name of letters, digits and _", pair)
    properties[match[1]!.toLowerCase()] = match[2]!.trim()
  }
  return properties
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

// ---- --print-config ---------------------------------------------------------------------------------------------

function describe(config: Config, origins: Record<string, Origin>): string {
  return (Object.keys(settings) as (keyof Settings)[])
    .map(key => {
      const setting = settings[key] as Setting<unknown>
      const value = config[key]
      const shown = setting.isSecret && value !== null ? "(given)" : JSON.stringify(value)
      return `${tomlKey(setting)} = ${shown}  # ${origins[key]}`
    })
    .join("\n")
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
