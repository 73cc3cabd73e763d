// cah doctor: everything that may stand between a scientist and the hub, checked one after the other, each with its cure.
// Goes on after a failure, because the second line often explains the first. Prints no secret, only where one was found.

import { readFileSync } from "node:fs"
import { stat } from "node:fs/promises"
import { request as plainRequest } from "node:http"
import { request as secureRequest } from "node:https"
import { TLSSocket } from "node:tls"
import type { Command } from "commander"
import type { Quota } from "../../proto/gen/cah/v1/scientist_pb.ts"
import { certificateAdvice } from "../advice.ts"
import type { Config } from "../config.ts"
import type { Context } from "../context.ts"
import { loadCredentials, octal } from "../credentials.ts"
import { ClientError } from "../errors.ts"
import type { Paint } from "../output.ts"
import { clean, padded, width } from "../output.ts"
import { showBytes, showDuration } from "../quantities.ts"
import { examples, type Verb } from "../verb.ts"
import { clientVersion } from "../version.ts"

interface Check {
  readonly name: string
  readonly state: "ok" | "warn" | "fail"
  readonly text: string
  readonly hint: string
  readonly exitCode: number
}

/** What package.json asks for. */
const NODE_MIN = [20, 19] as const
const PROBE_MS = 5_000
/** A clock further off than this makes ages and deadlines look wrong; TLS and tokens bear a little more. */
const SKEW_WARN_MS = 5_000
const CERTIFICATE_WARN_DAYS = 14

export const doctor: Verb = {
  define(command: Command): void {
    command
      .description("Check this machine, the configuration and the hub, and say what to do about what is wrong.")
      .addHelpText("after", examples("cah doctor", "cah doctor --hub https://hub.example.org -o json"))
  },

  async run(context: Context): Promise<number> {
    const { config, output } = context
    const checks = [
      node(),
      ...settings(config),
      await credentials(config),
      ...(await probe(config)),
      ...(await asWhom(context)),
    ]
    const marks: Record<Check["state"], [string, Paint]> = {
      ok: ["ok  ", output.colors.green],
      warn: ["warn", output.colors.yellow],
      fail: ["FAIL", output.colors.red],
    }
    const widest = Math.max(...checks.map(check => width(check.name)))
    await output.value(
      { checks: checks.map(({ name, state, text, hint }) => ({ name, state, text, hint })) },
      {
        table: () =>
          checks
            .map(({ name, state, text, hint }) => {
              const [mark, paint] = marks[state]
              const cure =
                hint === ""
                  ? ""
                  : `\n${" ".repeat(widest + 8)}→ ${clean(hint).replaceAll("\n", `\n${" ".repeat(widest + 10)}`)}`
              return `${paint(mark)}  ${padded(name, widest)}  ${clean(text)}${cure}`
            })
            .join("\n"),
        quiet: () =>
          checks
            .filter(check => check.state === "fail")
            .map(check => check.name)
            .join("\n"),
      },
    )
    return checks.find(check => check.state === "fail")?.exitCode ?? 0
  },
}

function ok(name: string, text: string): Check {
  return { name, state: "ok", text, hint: "", exitCode: 0 }
}

function warn(name: string, text: string, hint: string): Check {
  return { name, state: "warn", text, hint, exitCode: 0 }
}

function fail(name: string, error: ClientError): Check {
  return { name, state: "fail", text: error.message, hint: error.hint, exitCode: error.exitCode }
}

function node(): Check {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)
  const text = `cah ${clientVersion()} on Node.js ${process.versions.node}, ${process.platform} ${process.arch}`
  const [wantMajor, wantMinor] = NODE_MIN
  if (major > wantMajor || (major === wantMajor && minor >= wantMinor)) return ok("program", text)
  return fail(
    "program",
    new ClientError("local", text, { hint: `Install Node.js ${wantMajor}.${wantMinor} or newer.` }),
  )
}

function settings(config: Config): Check[] {
  const origin = (name: string, value: string, from: string) => ok(name, `${value}  (${from})`)
  return [
    origin("hub", config.hub.value.origin, config.hub.origin),
    origin("output", config.output.value, config.output.origin),
    ...(config.project.value === "" ? [] : [origin("project", config.project.value, config.project.origin)]),
    ...(config.caFile.value === null ? [] : [origin("ca file", config.caFile.value, config.caFile.origin)]),
    ...(config.insecure.value ? [warn("insecure", `plain text is allowed  (${config.insecure.origin})`, "")] : []),
    ok("files", config.files.map(file => `${file.path}${file.found ? "" : " (none)"}`).join(", ")),
  ]
}

async function credentials(config: Config): Promise<Check> {
  const name = "token"
  const url = config.hub.value.origin
  if (config.tokenFile.value !== null) {
    const path = config.tokenFile.value
    const status = await stat(path).catch(() => null)
    if (status === null)
      return fail(name, new ClientError("usage", `there is no file ${path}  (${config.tokenFile.origin})`))
    return ok(name, `${path}, mode ${octal(status.mode)}  (${config.tokenFile.origin})`)
  }
  if (config.token !== null) return ok(name, "from the environment  (CAH_TOKEN)")
  try {
    const { tokens } = await loadCredentials(config.paths.credentials)
    if (Object.hasOwn(tokens, url))
      return ok(name, `stored by login in ${config.paths.credentials}, readable by you alone`)
    return fail(name, new ClientError("unauthenticated", `none for ${url}`, { hint: `Type: cah login --hub ${url}` }))
  } catch (thrown) {
    return fail(name, ClientError.from(thrown))
  }
}

/** One plain HTTP request, apart from gRPC: says whether anything is there, over which TLS, and what time it is there. */
async function probe(config: Config): Promise<Check[]> {
  const url = config.hub.value
  const secure = url.protocol === "https:"
  try {
    const startedAt = Date.now()
    const answer = await ask(new URL("/healthz", url), config.caFile.value)
    const tookMs = Date.now() - startedAt
    const health = `${url.origin} answers in ${tookMs} ms (/healthz: ${answer.status})`
    const checks = [
      answer.status === 200 ? ok("reach", health) : warn("reach", health, "Something answers there; is it the hub?"),
    ]
    if (secure) checks.push(certificate(answer.validTo, answer.protocol))
    if (answer.date !== null) checks.push(clock(answer.date - (startedAt + tookMs / 2)))
    return checks
  } catch (thrown) {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown))
    const code = "code" in error ? String(error.code) : ""
    const hint = /CERT|SELF_SIGNED|ALTNAME|UNABLE_TO_VERIFY/.test(code)
      ? certificateAdvice(code, config.caFile.value)
      : code === "ECONNREFUSED"
        ? "Nothing listens there. Start the hub (cah-hub), or name the right one with --hub."
        : "Look at the address, and at what lies between: VPN, firewall, proxy."
    const text = error.message === "" ? code : error.message
    return [fail("reach", new ClientError("unavailable", `${url.origin} does not answer: ${text}`, { hint }))]
  }
}

interface Answer {
  readonly status: number
  /** Ms since 1970, by the hub's clock, cut to whole seconds. */
  readonly date: number | null
  readonly validTo: number | null
  readonly protocol: string
}

function ask(url: URL, caFile: string | null): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { agent: false, timeout: PROBE_MS, ...(caFile === null ? {} : { ca: readFileSync(caFile) }) }
    const request = (url.protocol === "https:" ? secureRequest : plainRequest)(url, options, response => {
      const { socket } = response
      const tls = socket instanceof TLSSocket ? socket : null
      const date = Date.parse(response.headers.date ?? "")
      resolve({
        status: response.statusCode ?? 0,
        date: Number.isNaN(date) ? null : date + 500,
        validTo: tls === null ? null : Date.parse(tls.getPeerCertificate().valid_to),
        protocol: tls?.getProtocol() ?? "",
      })
      response.destroy()
    })
    request.once("timeout", () => request.destroy(new Error(`no answer within ${PROBE_MS} ms`)))
    request.once("error", reject)
    request.end()
  })
}

function certificate(validTo: number | null, protocol: string): Check {
  const days = validTo === null ? Number.NaN : Math.floor((validTo - Date.now()) / 86_400_000)
  const text = `${protocol}, certificate valid for ${days} days more`
  if (days >= CERTIFICATE_WARN_DAYS) return ok("tls", text)
  return warn("tls", text, "Tell the operator to renew it.")
}

function clock(skewMs: number): Check {
  const off = `${showDuration(Math.abs(skewMs) / 1000)} ${skewMs > 0 ? "behind" : "ahead of"} the hub's`
  if (Math.abs(skewMs) < SKEW_WARN_MS) return ok("clock", "agrees with the hub's")
  return warn("clock", `this machine's clock is ${off}`, "Let NTP set it: timedatectl set-ntp true")
}

async function asWhom(context: Context): Promise<Check[]> {
  try {
    const hub = await context.hub()
    const who = await hub.whoAmI()
    const login = ok("login", `you are ${who.principal} at hub ${who.hubId}, version ${who.hubVersion}`)
    return who.quota === undefined ? [login] : [login, quotaCheck(who.quota)]
  } catch (thrown) {
    context.signal.throwIfAborted()
    return [fail("login", ClientError.from(thrown))]
  }
}

/** What the hub's operator allows one person, and how much of it is taken. */
function quotaCheck(quota: Quota): Check {
  const { jobs, jobsMax, bytes, bytesMax, watches, watchesMax, submitsPerSecondMax } = quota
  const text = `${jobs} of ${jobsMax} jobs under way, ${showBytes(bytes)} of ${showBytes(bytesMax)} uploaded, ${watches} of ${watchesMax} watches; ${submitsPerSecondMax} submits a second`
  const isNearlyFull = jobs * 10n >= jobsMax * 9n || bytes * 10n >= bytesMax * 9n || watches * 10 >= watchesMax * 9
  if (!isNearlyFull) return ok("quota", text)
  return warn(
    "quota",
    text,
    "Wait until jobs have ended, remove uploads (cah cache), or ask the hub's operator for more.",
  )
}
