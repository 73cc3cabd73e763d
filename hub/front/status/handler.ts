// The operator's endpoints over plain HTTP: /healthz and /readyz for everybody, the page, the API and /metrics for whoever
// sits at the hub's own machine, elsewhere for holders of a token with the read scope. All of it only reads.

import { type Authenticator, mustAllow } from "../../auth/authenticate.ts"
import { allows } from "../../auth/tokens.ts"
import { CahError } from "../../core/errors.ts"
import type { Log } from "../../core/ports.ts"
import { peerOf } from "../../peers.ts"
import type { Request, Response } from "../../port.ts"
import type { SparingLog } from "../../sparing.ts"
import { gather, readiness, type StatusParts } from "./gather.ts"
import { contentSecurityPolicy, page } from "./page.ts"

export interface StatusHandlerParts extends StatusParts {
  readonly authenticator: Authenticator
  readonly log: Log
  /** For what fails inside for as long as somebody asks. */
  readonly faults: SparingLog
  /** By which BOINC clients ask for work, as the caller knows the hub; null while there is nothing for them. */
  readonly schedulerUrl: (request: Request) => string | null
}

interface Answer {
  readonly status: number
  readonly type: "text/plain" | "text/html" | "application/json" | string
  readonly body: string
  readonly headers?: Readonly<Record<string, string>>
}

/** What somebody without a token may do, on this machine: see all. */
type Viewer = "all" | "some"

/** Answers the request and says true, or says false: not one of these paths. */
export function statusHandler(parts: StatusHandlerParts): (request: Request, response: Response) => boolean {
  const open: Record<string, (verbose: boolean) => Promise<Answer>> = {
    "/healthz": async () => text(200, "ok\n"),
    "/readyz": async verbose => {
      const { ready, checks } = await readiness(parts)
      if (verbose) return json(ready ? 200 : 503, { ready, checks })
      const failing = checks.filter(check => !check.ok).map(check => `${check.name}: ${check.detail}\n`)
      return text(ready ? 200 : 503, ready ? "ready\n" : failing.join(""))
    },
  }
  const statusPage = async (viewer: Viewer, request: Request): Promise<Answer> => {
    const body = page(await gather(parts, viewer === "all"), { scheduler: parts.schedulerUrl(request) })
    return { status: 200, type: "text/html", body }
  }
  const guarded: Record<string, (viewer: Viewer, request: Request) => Promise<Answer>> = {
    "/": statusPage,
    "/status": statusPage,
    "/api/v1/status": async viewer => json(200, await gather(parts, viewer === "all")),
    "/metrics": async () => {
      const { registry } = parts.metrics
      return { status: 200, type: registry.contentType, body: await registry.metrics() }
    },
  }

  async function answer(request: Request, path: string, query: string): Promise<Answer> {
    if (request.method !== "GET" && request.method !== "HEAD") {
      return text(405, "read only: GET or HEAD\n", { Allow: "GET, HEAD" })
    }
    if (open[path] !== undefined) return open[path](new URLSearchParams(query).has("verbose"))
    const viewer = viewerOf(parts, request)
    return typeof viewer === "string" ? guarded[path]!(viewer, request) : viewer
  }

  return (request, response) => {
    const [path = "", query = ""] = (request.url ?? "").split("?", 2)
    if (!Object.hasOwn(open, path) && !Object.hasOwn(guarded, path)) return false
    // The hub's own address is what volunteers give to BOINC, and what they look at first.
    if (path === "/" && isStranger(request)) return false
    answer(request, path, query)
      .catch(error => {
        parts.faults.say("error", path, "a status request failed", { path, error })
        return text(500, "something went wrong inside; the log says what\n")
      })
      .then(made => send(response, withStrictTransport(request, made)))
      .catch(error => parts.log.debug({ path, error }, "a status answer could not be sent"))
    return true
  }
}

function viewerOf({ authenticator }: StatusHandlerParts, request: Request): Viewer | Answer {
  const { address, isOperator } = peerOf(request)
  const { authorization = null } = request.headers
  if (authorization === null && isOperator) return "all"
  try {
    const caller = authenticator.authenticate(authorization, address)
    mustAllow(caller, "read")
    return allows(caller, "admin") ? "all" : "some"
  } catch (thrown) {
    const { code, message } = CahError.from(thrown)
    if (code === "permission_denied")
      return text(
        403,
        `${message}
`,
      )
    if (code === "resource_exhausted")
      return text(
        429,
        `${message}
`,
        { "Retry-After": "60" },
      )
    if (code !== "unauthenticated") throw thrown
    // Basic too, with the token as password: browsers ask for it by themselves, and everything here only reads.
    const challenge = { "WWW-Authenticate": 'Basic realm="clouds-at-home: any name, the token as password", Bearer' }
    return text(
      401,
      `a token with the read scope, please: ${message}
`,
      challenge,
    )
  }
}

/** Neither at the machine nor with anything to show. */
function isStranger(request: Request): boolean {
  return request.headers.authorization === undefined && !peerOf(request).isOperator
}

/** Browsers that came by TLS come by TLS from now on; not on the hub's own machine, whose name other programs share. */
function withStrictTransport(request: Request, answer: Answer): Answer {
  const { isEncrypted, isOperator } = peerOf(request)
  if (!isEncrypted || isOperator) return answer
  return { ...answer, headers: { ...answer.headers, "Strict-Transport-Security": "max-age=31536000" } }
}

function send(response: Response, { status, type, body, headers }: Answer): void {
  const bytes = Buffer.from(body)
  response.writeHead(status, {
    "Content-Type": type.startsWith("text/") && !type.includes(";") ? `${type}; charset=utf-8` : type,
    "Content-Length": bytes.byteLength,
    "Content-Security-Policy": contentSecurityPolicy,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    ...headers,
  })
  // A HEAD request has no body: both versions of HTTP leave it out by themselves.
  response.end(bytes)
}

function text(status: number, body: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, type: "text/plain", body, headers }
}

function json(status: number, value: unknown): Answer {
  return { status, type: "application/json", body: `${JSON.stringify(value)}\n` }
}
