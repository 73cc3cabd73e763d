// What the user has set, and where: flag > CAH_* > ./.cah.toml > user's file > system's file > last login > default.
// The only place that reads the environment. Each value keeps its origin, which `cah doctor` shows.
// A ./.cah.toml comes with a directory, perhaps a stranger's: it may choose a hub, but never a token, a CA or plain text.
import { readFile, stat } from "node:fs/promises"
import { homedir } from "node:os"
import { join } from "node:path"
import { isLoopback } from "../common/address.ts"
import {
  environmentLayer,
  type Layer,
  readSettings,
  setting,
  type Table,
  tomlIn,
  type ValuesOf,
} from "../common/settings/table.ts"
import { oneOf, truth, UsageError } from "../common/settings/values.ts"
import type { Credentials } from "./credentials.ts"
import { ClientError, usage } from "./errors.ts"
import { CONFIG_MAX_BYTES } from "./limits.ts"

export type Format = "table" | "json" | "ndjson" | "yaml" | "csv" | "quiet"
export type Color = "auto" | "always" | "never"
export type Environment = Readonly<Record<string, string | undefined>>

export interface Setting<T> {
  readonly value: T
  /** For people: "--hub", "CAH_HUB", a file's path, "the last login", "default". */
  readonly origin: string
}

export interface Flags {
  readonly hub?: string | undefined
  readonly tokenFile?: string | undefined
  readonly caFile?: string | undefined
  /** The same, as it was called in the agent. */
  readonly ca?: string | undefined
  readonly insecure?: boolean | undefined
  readonly output?: string | undefined
  readonly color?: string | undefined
  readonly progress?: boolean | undefined
}

export interface Config {
  readonly hub: Setting<URL>
  /** True if the hub was chosen by a file that anybody may have put into the directory. */
  readonly hubFromDirectory: boolean
  readonly output: Setting<Format>
  readonly project: Setting<string>
  readonly caFile: Setting<string | null>
  readonly tokenFile: Setting<string | null>
  /** CAH_TOKEN. The one secret here; never printed. */
  readonly token: string | null
  /** CAH_NOTIFY_SECRET, likewise. */
  readonly notifySecret: string | null
  readonly insecure: Setting<boolean>
  /** The program that `cah try` runs a job with. */
  readonly agent: Setting<string | null>
  /** Hubs that the files know by a name. */
  readonly contexts: readonly { readonly name: string; readonly url: string; readonly path: string }[]
  readonly color: Color
  readonly progress: boolean
  readonly debug: boolean
  readonly files: readonly { path: string; found: boolean }[]
  readonly paths: Paths
  readonly terminal: { noColor: boolean; dumb: boolean }
}

export interface Paths {
  readonly directoryFile: string
  readonly userFile: string
  readonly systemFile: string
  readonly credentials: string
  readonly cache: string
}

export const DEFAULT_HUB = "http://127.0.0.1:8080"
export const formats: readonly Format[] = ["table", "json", "ndjson", "yaml", "csv", "quiet"]
const colors: readonly Color[] = ["auto", "always", "never"]

/** What a file may say at its top, and flags and variables over it. */
export const topSettings = {
  hub: setting({ help: "the hub (that of the last login)", parse: text => text, otherwise: null }),
  output: setting({
    help: "table, json, ndjson, yaml, csv, or quiet: ids only",
    parse: oneOf(...formats),
    otherwise: "table",
  }),
  project: setting({ help: "of what is submitted", parse: text => text, otherwise: "" }),
}

/** What the user's or the system's file may say of a hub, and flags and variables over it. Never a directory's file. */
export const hubSettings = {
  "token-file": setting({ help: "read the token from a file of mode 0600", parse: text => text, otherwise: null }),
  "ca-file": setting({
    help: "trust these certificates, not the system's",
    formerly: "ca",
    parse: text => text,
    otherwise: null,
  }),
  insecure: setting({ help: "allow plain text to another machine", parse: truth, otherwise: false }),
  agent: setting({ help: "the program that runs a job of cah try", parse: text => text, otherwise: null }),
}

export function pathsFrom(environment: Environment, cwd: string): Paths {
  const home = environment.HOME ?? homedir()
  const under = (variable: string, ...fallback: string[]) => {
    const value = environment[variable]
    // XDG: a path that is not absolute is to be ignored.
    return join(value?.startsWith("/") ? value : join(home, ...fallback), "cah")
  }
  return {
    directoryFile: join(cwd, ".cah.toml"),
    userFile: join(under("XDG_CONFIG_HOME", ".config"), "config.toml"),
    systemFile: "/etc/cah/config.toml",
    credentials: join(under("XDG_STATE_HOME", ".local", "state"), "credentials"),
    cache: under("XDG_CACHE_HOME", ".cache"),
  }
}

export async function resolveConfig(
  flags: Flags,
  environment: Environment,
  cwd: string,
  loadCredentials: (path: string) => Promise<Credentials>,
): Promise<Config> {
  const paths = pathsFrom(environment, cwd)
  const directory = await readFileOf(paths.directoryFile, true)
  const user = await readFileOf(paths.userFile, false)
  const system = await readFileOf(paths.systemFile, false)
  const known = { ...system.hubs, ...user.hubs }
  const context = contextOf(environment, known)
  const flag = said(
    { ...flags, "token-file": flags.tokenFile, "ca-file": flags.caFile ?? flags.ca },
    option => `--${option}`,
  )
  const top = told(topSettings, [
    flag,
    environmentLayer(environment, topSettings),
    said({ hub: context }, () => "CAH_CONTEXT"),
    ...[directory, user, system].map(file => said(file.top, () => file.path)),
  ])
  let chosen = { value: top.hub.value ?? DEFAULT_HUB, origin: top.hub.origin }
  if (top.hub.value === null) {
    const { current } = await loadCredentials(paths.credentials)
    if (current !== null) chosen = { value: current, origin: "the last login" }
  }
  const entry = Object.hasOwn(known, chosen.value) ? known[chosen.value] : undefined
  const url = hubUrl(entry?.settings.url ?? chosen.value, entry === undefined ? chosen.origin : entry.path, known)
  // A hub that was named by its URL still has what the files say of that URL.
  const settings = entry ?? Object.values(known).find(other => sameUrl(other.settings.url, url))

  const ofHub = told(hubSettings, [
    flag,
    environmentLayer(environment, hubSettings),
    said({ ...settings?.settings }, () => settings?.path ?? ""),
  ])
  const color = flags.color ?? "auto"
  if (!includes(colors, color)) throw usage(`--color: "${color}" is not auto, always or never.`)
  return {
    hub: { value: url, origin: chosen.origin },
    hubFromDirectory: chosen.origin === paths.directoryFile,
    output: top.output,
    project: top.project,
    caFile: ofHub["ca-file"],
    tokenFile: ofHub["token-file"],
    token: given(environment.CAH_TOKEN)?.trim() ?? null,
    notifySecret: given(environment.CAH_NOTIFY_SECRET) ?? null,
    agent: ofHub.agent,
    contexts: Object.entries(known).map(([name, { settings, path }]) => ({ name, url: settings.url, path })),
    insecure: ofHub.insecure,
    color,
    progress: flags.progress ?? false,
    debug: given(environment.CAH_DEBUG) === "1",
    files: [directory, user, system].map(({ path, found }) => ({ path, found })),
    paths,
    terminal: { noColor: given(environment.NO_COLOR) !== undefined, dumb: environment.TERM === "dumb" },
  }
}

/** A name and nothing else: what stands there by mistake must not be taken for a hub elsewhere. */
function contextOf(environment: Environment, known: Readonly<Record<string, unknown>>): string | undefined {
  const name = given(environment.CAH_CONTEXT)
  if (name === undefined || Object.hasOwn(known, name)) return name
  const names = Object.keys(known).join(", ")
  throw usage(
    `CAH_CONTEXT: there is no context "${name}".`,
    names === "" ? "Make one: cah context add NAME URL" : `There are: ${names}.`,
  )
}

/** The URL of a hub: scheme, host and port, nothing else. Also takes "host:port" apart, to say what is missing. */
export function hubUrl(text: string, origin: string, known: Readonly<Record<string, unknown>> = {}): URL {
  if (!/^https?:\/\//.test(text)) {
    const names = Object.keys(known)
    const hubs = names.length === 0 ? "" : ` The hubs of your configuration are: ${names.join(", ")}.`
    throw usage(`${origin}: "${text}" is not a hub's URL.`, `Write it like https://hub.example.org:8080.${hubs}`)
  }
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw usage(`${origin}: "${text}" is not a valid URL.`, "Write it like https://hub.example.org:8080.")
  }
  if (url.username !== "" || url.password !== "") {
    throw usage(`${origin}: a hub's URL holds no user or password.`, "Use cah login to give the hub your token.")
  }
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") {
    throw usage(`${origin}: "${text}" has something after the host and port.`, `Write ${url.origin} alone.`)
  }
  return url
}

/** A token must not cross a network in plain text, unless the user insists. */
export function checkPlainText(config: Config): void {
  const url = config.hub.value
  if (url.protocol === "https:" || isLoopback(url.hostname) || config.insecure.value) return
  throw new ClientError(
    "usage",
    `${url.origin} is plain text to another machine: your token could be read on the way.`,
    {
      hint: "Use the hub's https URL. If the network between is yours alone, add --insecure (or CAH_INSECURE=1).",
    },
  )
}

interface HubSettings {
  url: string
  "ca-file"?: string
  "token-file"?: string
  insecure?: boolean
}

interface ConfigFile {
  readonly path: string
  readonly found: boolean
  readonly top: { hub?: string; output?: string; project?: string }
  readonly hubs: Record<string, { settings: HubSettings; path: string }>
}

async function readFileOf(path: string, fromDirectory: boolean): Promise<ConfigFile> {
  let text: string
  try {
    if ((await stat(path)).size > CONFIG_MAX_BYTES) throw usage(`${path} is larger than ${CONFIG_MAX_BYTES} bytes.`)
    text = await readFile(path, "utf8")
  } catch (thrown) {
    if (thrown instanceof Error && "code" in thrown && (thrown.code === "ENOENT" || thrown.code === "ENOTDIR")) {
      return { path, found: false, top: {}, hubs: {} }
    }
    throw ClientError.from(thrown)
  }
  let table: Record<string, unknown>
  try {
    table = tomlIn(path, text)
  } catch (thrown) {
    throw thrown instanceof UsageError ? usage(`${thrown.message}.`) : thrown
  }
  const { hubs, ...top } = table
  if (fromDirectory && hubs !== undefined) {
    throw usage(
      `${path} may not describe hubs: it comes with the directory.`,
      "Put [hubs.…] into your own config.toml.",
    )
  }
  const checked = check(path, "", top, { hub: "string", output: "string", project: "string" })
  const described: ConfigFile["hubs"] = {}
  for (const [name, value] of Object.entries(asTable(path, "hubs", hubs ?? {}))) {
    const place = `hubs.${name}.`
    const settings = check(path, place, asTable(path, place, value), {
      url: "string",
      "ca-file": "string",
      "token-file": "string",
      insecure: "boolean",
    })
    if (typeof settings.url !== "string") throw usage(`${path}: hubs.${name} has no url.`)
    described[name] = { settings: { ...settings, url: settings.url } as HubSettings, path }
  }
  return { path, found: true, top: checked as ConfigFile["top"], hubs: described }
}

function check(path: string, place: string, table: Record<string, unknown>, known: Record<string, string>) {
  for (const [key, value] of Object.entries(table)) {
    const type = Object.hasOwn(known, key) ? known[key] : undefined
    if (type === undefined) {
      throw usage(
        `${path}: ${place}${key} is not a setting here.`,
        `The settings are ${Object.keys(known).join(", ")}.`,
      )
    }
    if (typeof value !== type) throw usage(`${path}: ${place}${key} must be a ${type}.`)
  }
  return table
}

function asTable(path: string, place: string, value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw usage(`${path}: ${place} must be a table.`)
  return value as Record<string, unknown>
}

function said(values: Readonly<Record<string, unknown>>, origin: (option: string) => string): Layer {
  return {
    said: name => (values[name] === undefined ? undefined : { text: String(values[name]) }),
    origin,
  }
}

/** Each with where it was said. A wrong one is the client's own kind of error. */
function told<T extends Table>(
  table: T,
  layers: readonly Layer[],
): { readonly [K in keyof T]: Setting<ValuesOf<T>[K]> } {
  try {
    const { values, origins } = readSettings(table, layers)
    const named = Object.keys(table).map(name => [name, { value: values[name], origin: origins[name] }])
    return Object.fromEntries(named)
  } catch (thrown) {
    throw thrown instanceof UsageError ? usage(`${thrown.message}.`) : thrown
  }
}

function sameUrl(text: string, url: URL): boolean {
  return URL.canParse(text) && new URL(text).origin === url.origin
}

/** An empty variable is as good as none. */
function given(value: string | undefined): string | undefined {
  return value === "" ? undefined : value
}

function includes<T extends string>(all: readonly T[], text: string): text is T {
  return (all as readonly string[]).includes(text)
}
