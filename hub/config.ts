// How the hub was asked to run, in one validated frozen value: flags, then CAH_* variables, then a TOML file, then defaults. Read once;
// nothing else looks at the environment.
import { isLoopback } from "../common/address.ts"
import { defaultText, helpLines, printSettings } from "../common/settings/print.ts"
import {
  environmentLayer,
  type Flags,
  fileLayer,
  readFlags,
  readSettings,
  setting,
  type ValuesOf,
} from "../common/settings/table.ts"
import {
  hubUrl,
  oneOf,
  path,
  pemFile,
  readText,
  size,
  truth,
  UsageError,
  wholeNumber,
  words,
  wrong,
} from "../common/settings/values.ts"
import { CahError } from "./core/errors.ts"
import { DISK_FLOOR_BYTES, QUOTA_BYTES, QUOTA_JOBS, QUOTA_SUBMITS_PER_SECOND, QUOTA_WATCHES } from "./limits.ts"
import type { MailServer } from "./notify/smtp.ts"
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
  /** The program that takes mail; null: none is sent that way. */
  readonly sendmail: string | null
  /** The server that takes mail; null: none is sent that way. */
  readonly smtp: MailServer | null
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

const webhookKinds = ["none", "public", "any"] as const
const levels = ["debug", "info", "warn", "error"] as const

function days(text: string): number | "forever" {
  if (text === "forever") return text
  const number = text.trim() === "" ? Number.NaN : Number(text)
  return number > 0 && Number.isFinite(number) ? number : wrong('be a number of days above 0, or "forever"', text)
}

/** smtp://[user@]host[:port] or smtps://…: nothing else, and above all no password. */
function smtpUrl(text: string): string {
  const example = "be a URL like smtp://ada@mail.example.org:587 or smtps://mail.example.org"
  // What is typed may hold a password, which must not be repeated.
  const shown = text.replace(/:[^:@/]*@/, ":…@")
  const url = URL.canParse(text) ? new URL(text) : wrong(example, shown)
  if (url.password !== "") throw new UsageError("must not hold a password: put it into a file for --smtp-password-file")
  const isPlain = /^smtps?:$/.test(url.protocol) && url.hostname !== "" && /^\/?$/.test(url.pathname)
  if (!isPlain || url.search + url.hash !== "" || url.port === "0") wrong(example, shown)
  return url.href
}

function networks(text: string): readonly string[] {
  try {
    return text
      .split(/[\s,]+/)
      .filter(each => each !== "")
      .map(checkNetwork)
  } catch (thrown) {
    return wrong(`name addresses or networks: ${CahError.from(thrown).message};`, text)
  }
}

const table = {
  host: setting({
    parse: words(1, 255),
    otherwise: "127.0.0.1",
    value: "ADDRESS",
    help: "where to listen; beyond this machine it takes TLS, or --insecure",
  }),
  port: setting({
    parse: wholeNumber(0, 65_535),
    otherwise: 8080,
    value: "NUMBER",
    help: "the one port for everything; 0 lets the system choose",
  }),
  data: setting({
    parse: path("a directory"),
    otherwise: "data",
    value: "DIRECTORY",
    help: "database, blobs and the admin token; made if it is not there",
  }),
  init: setting({ parse: truth, otherwise: false, help: "a new hub is meant: do not ask where the old one's data is" }),
  "tls-cert": setting({
    parse: path("a file"),
    otherwise: null,
    value: "FILE",
    help: "certificate chain in PEM; plain text stays for loopback",
  }),
  "tls-key": setting({ parse: path("a file"), otherwise: null, value: "FILE", help: "its private key in PEM" }),
  insecure: setting({
    parse: truth,
    otherwise: false,
    help: "serve plain text beyond loopback: tokens can be read on the way",
  }),
  "log-level": setting({
    parse: oneOf(...levels),
    otherwise: "info",
    value: "LEVEL",
    help: `${levels.join(", ")}; the log goes to stderr`,
  }),
  "disk-floor": setting({
    parse: size(),
    otherwise: DISK_FLOOR_BYTES,
    value: "SIZE",
    help: "free space below which no upload is taken",
  }),
  "quota-jobs": setting({
    parse: wholeNumber(1),
    otherwise: QUOTA_JOBS,
    value: "NUMBER",
    help: "jobs that one owner's campaigns under way may have",
  }),
  "quota-submits": setting({
    parse: wholeNumber(1),
    otherwise: QUOTA_SUBMITS_PER_SECOND,
    value: "NUMBER",
    help: "an owner's submits a second",
  }),
  "quota-bytes": setting({
    parse: size(),
    otherwise: QUOTA_BYTES,
    value: "SIZE",
    help: "of uploads that one owner may keep here",
  }),
  "quota-watches": setting({
    parse: wholeNumber(1),
    otherwise: QUOTA_WATCHES,
    value: "NUMBER",
    help: "campaigns watched and logs followed by one owner at once",
  }),
  retention: setting({
    parse: days,
    otherwise: "forever" as const,
    value: "DAYS",
    help: "how long campaigns that have ended are kept with their results; a twentieth of those there are goes in one hour at most",
  }),
  "node-retention": setting({
    parse: days,
    otherwise: 90,
    value: "DAYS",
    help: "how long nodes are known that do not come; then they want a new enrolment token",
  }),
  backups: setting({
    parse: path("a directory"),
    otherwise: null,
    value: "DIRECTORY",
    help: "where `cah admin backup` writes, best on another disk; without it none are made",
  }),
  sendmail: setting({
    parse: path("a file"),
    otherwise: null,
    value: "FILE",
    help: "program that takes mail, as /usr/sbin/sendmail does; without it or --smtp no notice is mailed",
  }),
  smtp: setting({
    parse: smtpUrl,
    otherwise: null,
    value: "URL",
    help: "mail server instead: smtp://ada@mail.example.org (with STARTTLS, port 587) or smtps:// (port 465)",
  }),
  "smtp-password-file": setting({
    parse: path("a file"),
    otherwise: null,
    value: "FILE",
    help: "with the password of the user in --smtp",
  }),
  "smtp-ca-file": setting({
    parse: path("a file"),
    otherwise: null,
    value: "FILE",
    help: "certificates to trust for --smtp instead of the system's, PEM",
  }),
  "mail-from": setting({
    parse: text => (/^[^\s<>@]+@[^\s<>@]+$/.test(text) ? text : wrong("be a mail address", text)),
    otherwise: "clouds-at-home@localhost",
    value: "ADDRESS",
    help: "whom mail comes from",
  }),
  webhooks: setting({
    parse: oneOf(...webhookKinds),
    otherwise: "public",
    value: "WHICH",
    help: "where notices may be posted: none, public (https only), or any: also within your own network",
  }),
  release: setting({
    parse: path("a directory"),
    otherwise: null,
    value: "DIRECTORY",
    help: "what volunteers' computers get: made by `npm run boinc -- sign`",
  }),
  "public-url": setting({
    parse: text => hubUrl(text).href,
    otherwise: null,
    value: "URL",
    help: "by which volunteers reach the hub, if a proxy stands before it",
  }),
  "trusted-proxy": setting({
    parse: networks,
    isMany: true,
    otherwise: null,
    value: "ADDRESS",
    help: "of a proxy before the hub, or its network (10.0.0.0/8), or several with commas: it is believed who asks through it",
  }),
  "project-name": setting({
    parse: text => words(1, 60)(text.trim()),
    otherwise: "Clouds at Home",
    value: "NAME",
    help: "what volunteers read",
  }),
  about: setting({
    parse: words(0, 4_000),
    otherwise: "",
    value: "TEXT",
    help: "what is computed here, for whom, whom to ask: volunteers read it at the hub's address",
  }),
}

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
  try {
    return read(argv, environment, files)
  } catch (thrown) {
    throw thrown instanceof UsageError ? new CahError("invalid_argument", thrown.message, { cause: thrown }) : thrown
  }
}

function read(argv: readonly string[], environment: NodeJS.ProcessEnv, files: readonly string[]): Asked {
  const flags = readFlags(argv, table, commands, "the hub takes options, and restore or admin-token before them")
  if (flags.command("help") !== undefined) return { kind: "help", text: helpText() }
  if (flags.command("version") !== undefined) return { kind: "version" }
  applyListen(flags)
  const file = fileLayer(flags.command("config") ?? (environment.CAH_CONFIG || undefined), files, table)
  const told = readSettings(table, [flags, environmentLayer(environment, table), file])
  const config = freeze(told.values)
  const isPrinted = flags.command("print-config") !== undefined
  return isPrinted ? { kind: "print-config", text: printSettings(table, told) } : { kind: "run", config }
}

/** --listen is --host and --port in one. */
function applyListen(flags: Flags): void {
  const listen = flags.command("listen")
  if (listen === undefined) return
  const parts = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(listen)
  if (parts === null) {
    throw new UsageError(`--listen must be ADDRESS:PORT, as 127.0.0.1:8080 or [::1]:8080, not "${listen}"`)
  }
  flags.set("host", parts[1] ?? parts[2] ?? "", "--listen")
  flags.set("port", parts[3] ?? "", "--listen")
}

/** What no setting can see alone. */
function check({ "tls-cert": cert, "tls-key": key, host, insecure }: ValuesOf<typeof table>): void {
  if ((cert === null) !== (key === null)) {
    throw new UsageError(
      cert === null ? "--tls-key needs --tls-cert beside it" : "--tls-cert needs --tls-key beside it",
    )
  }
  if (cert === null && !insecure && !isLoopback(host)) {
    throw new UsageError(
      `plain text on ${host} is refused, for tokens could be read on the way: give --tls-cert and --tls-key, or say --insecure`,
    )
  }
}

function mailServerOf({
  sendmail,
  smtp,
  "smtp-password-file": passwordFile,
  "smtp-ca-file": caFile,
}: ValuesOf<typeof table>): MailServer | null {
  if (smtp === null) {
    const alone = passwordFile !== null ? "--smtp-password-file" : caFile !== null ? "--smtp-ca-file" : null
    if (alone !== null) throw new UsageError(`${alone} needs --smtp beside it`)
    return null
  }
  if (sendmail !== null) throw new UsageError("mail leaves by --sendmail or by --smtp: give one of them")
  const url = new URL(smtp)
  const user = decodeURIComponent(url.username)
  if (user !== "" && passwordFile === null) {
    throw new UsageError(`--smtp names the user ${user}: give the password with --smtp-password-file`)
  }
  if (user === "" && passwordFile !== null) {
    throw new UsageError("--smtp-password-file is for a user: name one in --smtp, as smtp://ada@mail.example.org")
  }
  const isTls = url.protocol === "smtps:"
  return Object.freeze({
    host: url.hostname,
    port: url.port === "" ? (isTls ? 465 : 587) : Number(url.port),
    isTls,
    login: passwordFile === null ? null : Object.freeze({ user, password: passwordIn(passwordFile) }),
    ca: caFile === null ? null : told("--smtp-ca-file", () => pemFile("CERTIFICATE")(caFile)),
  })
}

function passwordIn(file: string): string {
  const password = told("--smtp-password-file", () => readText(file)).replace(/\r?\n$/, "")
  if (password === "" || /[\r\n\0]/.test(password)) {
    throw new UsageError(`--smtp-password-file: ${file} must hold the password on one line, and nothing else`)
  }
  return password
}

function told<T>(flag: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(`${flag}: ${error.message}`)
    throw error
  }
}

function freeze(values: ValuesOf<typeof table>): Config {
  check(values)
  const { "tls-cert": cert, "tls-key": key } = values
  return Object.freeze({
    host: values.host,
    port: values.port,
    data: values.data,
    init: values.init,
    tls: cert === null || key === null ? null : Object.freeze({ cert, key }),
    insecure: values.insecure,
    logLevel: values["log-level"],
    diskFloorBytes: values["disk-floor"],
    quotas: Object.freeze({
      jobs: values["quota-jobs"],
      submitsPerSecond: values["quota-submits"],
      bytes: values["quota-bytes"],
      watches: values["quota-watches"],
    }),
    retentionMs: millisecondsOf(values.retention),
    nodeRetentionMs: millisecondsOf(values["node-retention"]),
    backups: values.backups,
    sendmail: values.sendmail,
    smtp: mailServerOf(values),
    mailFrom: values["mail-from"],
    webhooks: values.webhooks,
    release: values.release,
    publicUrl: values["public-url"],
    trustedProxies: values["trusted-proxy"] ?? [],
    projectName: values["project-name"],
    about: values.about,
  })
}

function millisecondsOf(given: number | "forever"): number | null {
  return given === "forever" ? null : given * 86_400_000
}

function helpText(): string {
  return [
    "cah-hub: the hub of clouds-at-home. Without options it serves this machine, with its data in ./data.",
    "",
    ...helpLines(table, 24, name => defaultText(table[name as keyof typeof table])),
    ...helpLines(commands, 24),
    "",
    "Each option is also a variable (CAH_DISK_FLOOR) and a key of the file (disk-floor = …). Flags win over variables,",
    "variables over the file.",
    "",
  ].join("\n")
}
