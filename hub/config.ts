// How the hub was asked to run: flags, then CAH_* variables, then a TOML file, then defaults, in one validated frozen value
// with the origin of each part. Read once; nobody else looks at the environment. One name for each thing: --disk-floor,
// CAH_DISK_FLOOR and disk-floor = … are the same.
import { readFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { parse as parseToml } from "smol-toml"
import { z } from "zod"
import { isLoopback } from "../common/address.ts"
import { nearest } from "../common/spelling.ts"
import { CahError } from "./core/errors.ts"
import { DISK_FLOOR_BYTES, QUOTA_BYTES, QUOTA_JOBS, QUOTA_SUBMITS_PER_SECOND, QUOTA_WATCHES } from "./limits.ts"
import { checkNetwork } from "./peers.ts"

export interface Config {
  readonly host: string
  readonly port: number
  readonly data: string
  /** A new hub is meant: nobody need ask whether its data lies elsewhere. */
  readonly init: boolean
  /** Paths of PEM files. */
  readonly tls: { readonly cert: string; readonly key: string } | null
  readonly insecure: boolean
  readonly logLevel: "debug" | "info" | "warn" | "error"
  readonly diskFloorBytes: number
  /** What one owner may have at once. */
  readonly quotas: {
    readonly jobs: number
    readonly submitsPerSecond: number
    readonly bytes: number
    readonly watches: number
  }
  /** How long campaigns that have ended are kept; null: until their owner forgets them. */
  readonly retentionMs: number | null
  /** The program that takes mail; null: none is sent. */
  readonly sendmail: string | null
  readonly mailFrom: string
  readonly webhooks: (typeof webhookKinds)[number]
  /** How long nodes that are not connected are known; null: until somebody forgets them. */
  readonly nodeRetentionMs: number | null
  /** Where `cah admin backup` writes. Null: backups are refused. */
  readonly backups: string | null
  /** A directory made by `npm run boinc -- sign`. Null: nothing for volunteers. */
  readonly release: string | null
  /** By which others reach the hub, with a slash at its end. Null: as each caller names it. */
  readonly publicUrl: string | null
  /** Addresses and networks of proxies that may say for whom they speak. */
  readonly trustedProxies: readonly string[]
  /** What volunteers read as the project's name. */
  readonly projectName: string
  /** What is computed here, in words for volunteers; "": nothing is said. */
  readonly about: string
}

const sizeUnits: Readonly<Record<string, number>> = { "": 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 }

const size = z.union([z.number(), z.string()]).transform((given, context) => {
  const parts = /^(\d+(?:\.\d+)?) ?(?:([kmgt])i?b?|b)?$/i.exec(String(given))
  if (parts !== null) return Math.floor(Number(parts[1]) * (sizeUnits[(parts[2] ?? "").toLowerCase()] ?? 1))
  context.addIssue({ code: "custom", message: 'must be a size like 512MiB or "1 GiB", or a number of bytes' })
  return z.NEVER
})
const truth = z.union(
  [z.boolean(), z.enum(["true", "false", "1", "0"]).transform(word => word === "true" || word === "1")],
  {
    error: "must be true or false",
  },
)
const days = z.union([
  z.literal("forever"),
  z.coerce.number({ error: 'must be a number of days, or "forever"' }).positive('must be above 0, or "forever"'),
])
const whole = z.coerce
  .number({ error: "must be a number" })
  .int("must be a whole number")
  .min(1, "must be at least 1")
  .max(Number.MAX_SAFE_INTEGER, "is too large")
const path = z.string().min(1, "must name a file")
const webhookKinds = ["none", "public", "any"] as const
const publicUrl = z.string().transform((given, context) => {
  const url = URL.canParse(given) ? new URL(given) : null
  const isPlain = url !== null && url.username === "" && url.search === "" && url.hash === "" && url.pathname === "/"
  if (isPlain && (url.protocol === "https:" || url.protocol === "http:")) return url.href
  context.addIssue({ code: "custom", message: "must be a URL like https://hub.example.org" })
  return z.NEVER
})
const networks = z.union([z.string(), z.array(z.string())]).transform((given, context) => {
  try {
    return (typeof given === "string" ? given.split(/[\s,]+/) : given).filter(each => each !== "").map(checkNetwork)
  } catch (thrown) {
    context.addIssue({ code: "custom", message: `must name addresses or networks: ${CahError.from(thrown).message};` })
    return z.NEVER
  }
})
const levels = ["debug", "info", "warn", "error"] as const

interface Option {
  readonly schema: z.ZodType
  /** Undefined: not set. */
  readonly fallback: string | number | boolean | undefined
  /** What follows the flag; none for switches. */
  readonly value?: string
  readonly help: string
}

const options = {
  host: {
    schema: z.string().min(1, "must be an address or a name"),
    fallback: "127.0.0.1",
    value: "ADDRESS",
    help: "where to listen; beyond this machine it takes TLS, or --insecure",
  },
  port: {
    schema: z.coerce
      .number({ error: "must be a number" })
      .int()
      .min(0, "must be 0 to 65535")
      .max(65535, "must be 0 to 65535"),
    fallback: 8080,
    value: "NUMBER",
    help: "the one port for everything; 0 lets the system choose",
  },
  data: {
    schema: z.string().min(1, "must name a directory"),
    fallback: "data",
    value: "DIRECTORY",
    help: "database, blobs and the admin token; made if it is not there",
  },
  init: { schema: truth, fallback: false, help: "a new hub is meant: do not ask where the old one's data is" },
  "tls-cert": {
    schema: path,
    fallback: undefined,
    value: "FILE",
    help: "certificate chain in PEM; plain text stays for loopback",
  },
  "tls-key": { schema: path, fallback: undefined, value: "FILE", help: "its private key in PEM" },
  insecure: { schema: truth, fallback: false, help: "serve plain text beyond loopback: tokens can be read on the way" },
  "log-level": {
    schema: z.enum(levels, { error: `must be one of ${levels.join(", ")}` }),
    fallback: "info",
    value: "LEVEL",
    help: `${levels.join(", ")}; the log goes to stderr`,
  },
  "disk-floor": {
    schema: size,
    fallback: DISK_FLOOR_BYTES,
    value: "SIZE",
    help: "free space below which no upload is taken",
  },
  "quota-jobs": {
    schema: whole,
    fallback: QUOTA_JOBS,
    value: "NUMBER",
    help: "jobs that one owner's campaigns under way may have",
  },
  "quota-submits": {
    schema: whole,
    fallback: QUOTA_SUBMITS_PER_SECOND,
    value: "NUMBER",
    help: "an owner's submits a second",
  },
  "quota-bytes": {
    schema: size,
    fallback: QUOTA_BYTES,
    value: "SIZE",
    help: "of uploads that one owner may keep here",
  },
  "quota-watches": {
    schema: whole,
    fallback: QUOTA_WATCHES,
    value: "NUMBER",
    help: "campaigns watched and logs followed by one owner at once",
  },
  retention: {
    schema: days,
    fallback: "forever",
    value: "DAYS",
    help: "how long campaigns that have ended are kept with their results; a twentieth of those there are goes in one hour at most",
  },
  "node-retention": {
    schema: days,
    fallback: 90,
    value: "DAYS",
    help: "how long nodes are known that do not come; then they want a new enrolment token",
  },
  backups: {
    schema: z.string().min(1, "must name a directory"),
    fallback: undefined,
    value: "DIRECTORY",
    help: "where `cah admin backup` writes, best on another disk; without it none are made",
  },
  sendmail: {
    schema: path,
    fallback: undefined,
    value: "FILE",
    help: "program that takes mail, as /usr/sbin/sendmail does; without it no notice is mailed",
  },
  "mail-from": {
    schema: z.string().regex(/^[^\s<>@]+@[^\s<>@]+$/, "must be a mail address"),
    fallback: "clouds-at-home@localhost",
    value: "ADDRESS",
    help: "whom mail comes from",
  },
  webhooks: {
    schema: z.enum(webhookKinds, { error: `must be one of ${webhookKinds.join(", ")}` }),
    fallback: "public",
    value: "WHICH",
    help: "where notices may be posted: none, public (https only), or any: also within your own network",
  },
  release: {
    schema: z.string().min(1, "must name a directory"),
    fallback: undefined,
    value: "DIRECTORY",
    help: "what volunteers' computers get: made by `npm run boinc -- sign`",
  },
  "public-url": {
    schema: publicUrl,
    fallback: undefined,
    value: "URL",
    help: "by which volunteers reach the hub, if a proxy stands before it",
  },
  "trusted-proxy": {
    schema: networks,
    fallback: undefined,
    value: "ADDRESS",
    help: "of a proxy before the hub, or its network (10.0.0.0/8), or several with commas: it is believed who asks through it",
  },
  "project-name": {
    schema: z.string().trim().min(1, "must not be empty").max(60, "must have at most 60 characters"),
    fallback: "Clouds at Home",
    value: "NAME",
    help: "what volunteers read",
  },
  about: {
    schema: z.string().max(4_000, "must have at most 4000 characters"),
    fallback: "",
    value: "TEXT",
    help: "what is computed here, for whom, whom to ask: volunteers read it at the hub's address",
  },
} as const satisfies Record<string, Option>

type Name = keyof typeof options
const names = Object.keys(options) as Name[]

/** Only as flags. */
const commands = {
  listen: { value: "ADDRESS:PORT", help: "--host and --port in one" },
  config: { value: "FILE", help: "TOML; else /etc/cah/hub.toml, else ./hub.toml" },
  "print-config": { help: "show each value and where it comes from, and stop" },
  version: { help: "show the version, and stop" },
  help: { help: "show this, and stop" },
} as const

const configFiles = ["/etc/cah/hub.toml", "hub.toml"]

export type Asked =
  | { readonly kind: "run"; readonly config: Config }
  | { readonly kind: "print-config"; readonly text: string }
  | { readonly kind: "help"; readonly text: string }
  | { readonly kind: "version" }

/** CahError invalid_argument, with a sentence for whoever typed it. */
export function readConfig(argv: readonly string[], environment: NodeJS.ProcessEnv, files = configFiles): Asked {
  const flags = readFlags(argv)
  if (flags.has("help")) return { kind: "help", text: helpText() }
  if (flags.has("version")) return { kind: "version" }
  const given: Layer[] = [
    {
      values: flags,
      origin: name => (flags.has("listen") && (name === "host" || name === "port") ? "--listen" : `--${name}`),
    },
    { values: readEnvironment(environment), origin: variable },
    readFile(flags.get("config") ?? environment.CAH_CONFIG, files),
    { values: new Map(names.map(name => [name, options[name].fallback])), origin: () => "default" },
  ]
  const chosen = new Map(names.map(name => [name, choose(name, given)]))
  const config = freeze(chosen)
  return flags.has("print-config") ? { kind: "print-config", text: print(chosen) } : { kind: "run", config }
}

interface Layer {
  readonly values: ReadonlyMap<string, unknown>
  origin(name: Name): string
}

interface Chosen {
  readonly value: unknown
  readonly origin: string
}

function choose(name: Name, layers: readonly Layer[]): Chosen {
  const layer = layers.find(each => each.values.get(name) !== undefined)
  if (layer === undefined) return { value: undefined, origin: "not set" }
  const origin = layer.origin(name)
  const parsed = options[name].schema.safeParse(layer.values.get(name))
  if (parsed.success) return { value: parsed.data, origin }
  const message = parsed.error.issues[0]?.message ?? "is not valid"
  throw invalid(
    `${origin === `--${name}` ? origin : `${name} (from ${origin})`} ${message}, not ${JSON.stringify(layer.values.get(name))}`,
  )
}

function freeze(chosen: ReadonlyMap<Name, Chosen>): Config {
  const value = <T>(name: Name) => chosen.get(name)?.value as T
  const [cert, key] = [value<string | undefined>("tls-cert"), value<string | undefined>("tls-key")]
  if ((cert === undefined) !== (key === undefined)) {
    throw invalid(cert === undefined ? "--tls-key needs --tls-cert beside it" : "--tls-cert needs --tls-key beside it")
  }
  const [host, insecure] = [value<string>("host"), value<boolean>("insecure")]
  if (cert === undefined && !insecure && !isLoopback(host)) {
    throw invalid(
      `plain text on ${host} is refused, for tokens could be read on the way: give --tls-cert and --tls-key, or say --insecure`,
    )
  }
  const daysOf = (name: Name) => {
    const given = value<number | "forever">(name)
    return given === "forever" ? null : given * 86_400_000
  }
  return Object.freeze({
    host,
    port: value<number>("port"),
    data: value<string>("data"),
    init: value<boolean>("init"),
    tls: cert === undefined || key === undefined ? null : Object.freeze({ cert, key }),
    insecure,
    logLevel: value<Config["logLevel"]>("log-level"),
    diskFloorBytes: value<number>("disk-floor"),
    quotas: Object.freeze({
      jobs: value<number>("quota-jobs"),
      submitsPerSecond: value<number>("quota-submits"),
      bytes: value<number>("quota-bytes"),
      watches: value<number>("quota-watches"),
    }),
    retentionMs: daysOf("retention"),
    nodeRetentionMs: daysOf("node-retention"),
    backups: value<string | undefined>("backups") ?? null,
    sendmail: value<string | undefined>("sendmail") ?? null,
    mailFrom: value<string>("mail-from"),
    webhooks: value<Config["webhooks"]>("webhooks"),
    release: value<string | undefined>("release") ?? null,
    publicUrl: value<string | undefined>("public-url") ?? null,
    trustedProxies: value<string[] | undefined>("trusted-proxy") ?? [],
    projectName: value<string>("project-name"),
    about: value<string>("about"),
  })
}

// ---- layers ---------------------------------------------------------------------------------------------------

function readFlags(argv: readonly string[]): Map<string, string | boolean> {
  const known: Record<string, { type: "string" | "boolean"; short?: string }> = {}
  for (const [name, option] of Object.entries({ ...options, ...commands })) {
    known[name] = { type: "value" in option ? "string" : "boolean", ...(name === "help" ? { short: "h" } : {}) }
  }
  const { tokens } = parseArgs({ args: [...argv], options: known, strict: false, tokens: true })
  const flags = new Map<string, string | boolean>()
  for (const token of tokens) {
    if (token.kind === "positional")
      throw invalid(
        `unexpected "${token.value}": the hub takes options, and restore or admin-token before them; see --help`,
      )
    if (token.kind !== "option") continue
    const option = known[token.name]
    if (option === undefined)
      throw invalid(`unknown option ${token.rawName}${suggestion(token.name, Object.keys(known), "--")}`)
    if (option.type === "string" && (token.value === undefined || token.value.startsWith("--"))) {
      throw invalid(`--${token.name} needs a value; see --help`)
    }
    if (option.type === "boolean" && token.value !== undefined) throw invalid(`--${token.name} takes no value`)
    flags.set(token.name, token.value ?? true)
  }
  const listen = flags.get("listen")
  if (typeof listen === "string") {
    const parts = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(listen)
    if (parts === null) throw invalid(`--listen must be ADDRESS:PORT, as 127.0.0.1:8080 or [::1]:8080, not "${listen}"`)
    flags.set("host", parts[1] ?? parts[2] ?? "")
    flags.set("port", parts[3] ?? "")
  }
  return flags
}

function variable(name: string): string {
  return `CAH_${name.toUpperCase().replaceAll("-", "_")}`
}

function readEnvironment(environment: NodeJS.ProcessEnv): ReadonlyMap<string, unknown> {
  return new Map(names.map(name => [name, environment[variable(name)] || undefined]))
}

function readFile(named: string | boolean | undefined, files: readonly string[]): Layer {
  for (const file of typeof named === "string" ? [named] : files) {
    let text: string
    try {
      text = readFileSync(file, "utf8")
    } catch (cause) {
      if (typeof named !== "string" && (cause as NodeJS.ErrnoException).code === "ENOENT") continue
      throw invalid(`the configuration file ${file} cannot be read: ${(cause as Error).message}`, cause)
    }
    return { values: readToml(file, text), origin: () => file }
  }
  return { values: new Map(), origin: () => "no file" }
}

function readToml(file: string, text: string): ReadonlyMap<string, unknown> {
  let table: Record<string, unknown>
  try {
    table = parseToml(text)
  } catch (cause) {
    throw invalid(`${file} is not TOML: ${(cause as Error).message.split("\n")[0]}`, cause)
  }
  const wrong = Object.keys(table).find(key => !Object.hasOwn(options, key))
  if (wrong !== undefined) throw invalid(`${file}: unknown key "${wrong}"${suggestion(wrong, names, "")}`)
  return new Map(Object.entries(table))
}

// ---- words ----------------------------------------------------------------------------------------------------

function helpText(): string {
  const line = (name: string, option: { value?: string; help: string; fallback?: unknown }) => {
    const left = `  --${name}${option.value === undefined ? "" : ` ${option.value}`}`
    const fallback = option.fallback === undefined || option.fallback === false ? "" : ` (${String(option.fallback)})`
    return `${left.padEnd(26)} ${option.help}${fallback}`
  }
  return [
    "cah-hub: the hub of clouds-at-home. Without options it serves this machine, with its data in ./data.",
    "",
    ...Object.entries<{ value?: string; help: string }>({ ...options, ...commands }).map(([name, option]) =>
      line(name, option),
    ),
    "",
    "Each option is also a variable (CAH_DISK_FLOOR) and a key of the file (disk-floor = …). Flags win over variables,",
    "variables over the file.",
    "",
  ].join("\n")
}

function print(chosen: ReadonlyMap<Name, Chosen>): string {
  const lines = [...chosen].map(([name, { value, origin }]) =>
    value === undefined ? `# ${name} is not set` : `${`${name} = ${JSON.stringify(value)}`.padEnd(34)} # ${origin}`,
  )
  return `${lines.join("\n")}\n`
}

function suggestion(wrong: string, known: readonly string[], prefix: string): string {
  const word = nearest(wrong, known)
  return word === null ? "; see --help" : `: did you mean ${prefix}${word}?`
}

function invalid(message: string, cause?: unknown): CahError {
  return new CahError("invalid_argument", message, cause === undefined ? {} : { cause })
}
