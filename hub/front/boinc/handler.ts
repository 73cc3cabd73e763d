// Everything that volunteers and their BOINC clients ask over HTTP, by path, on the hub's one port: the page at the hub's address, the
// project's description, accounts, the scheduler, files down and up, statistics, and the volunteer's own page.
import type { Accounts } from "../../auth/accounts.ts"
import type { Authenticator } from "../../auth/authenticate.ts"
import type { Failures } from "../../auth/failures.ts"
import type { HubKey } from "../../auth/key.ts"
import type { Computers } from "../../cases/computers.ts"
import { CahError } from "../../core/errors.ts"
import type { Clock, Engine, Log, StoreReader } from "../../core/ports.ts"
import {
  BOINC_REQUEST_BYTES_MAX,
  BOINC_REQUESTS_MAX,
  BOINC_REQUESTS_PER_ADDRESS_MAX,
  UPLOAD_BODY_MS,
} from "../../limits.ts"
import type { Metrics } from "../../metrics.ts"
import { peerOf } from "../../peers.ts"
import type { Request, Response } from "../../port.ts"
import { Shares } from "../../shares.ts"
import type { SparingLog } from "../../sparing.ts"
import { type Answer, addressOf, baseUrlOf, readBody, send, text, xml } from "../http.ts"
import { pageHeaders } from "../layout.ts"
import { createAccount, failure, lookUpAccount, projectConfig, unavailable } from "./accounts.ts"
import { download } from "./download.ts"
import { masterPage } from "./master.ts"
import type { Release } from "./release.ts"
import { schedule } from "./scheduler.ts"
import { Stats } from "./stats.ts"
import type { Uploads } from "./upload.ts"
import { visitorOf } from "./visitor.ts"

export interface BoincParts {
  readonly store: Pick<StoreReader, "volunteers">
  readonly engine: Pick<Engine, "node" | "campaign" | "job" | "health">
  readonly accounts: Accounts
  readonly computers: Computers
  readonly uploads: Uploads
  readonly key: HubKey
  /** Null: there is nothing for volunteers, and all of this says so. */
  readonly release: Release | null
  /** With a slash at its end. Null: each caller's own. */
  readonly publicUrl: string | null
  readonly projectName: string
  /** The operator's words for volunteers: what is computed here. "": none. */
  readonly about: string
  /** Wrong keys are counted with all other failed logins. */
  readonly authenticator: Authenticator
  readonly logins: Failures
  readonly signups: Failures
  readonly clock: Clock
  readonly metrics: Metrics
  readonly log: Log
  /** For what fails inside for as long as somebody asks. */
  readonly faults: SparingLog
  /** How long a body may take; shorter in tests. */
  readonly bodyMs?: number
  /** The volunteers' own pages (hub/front/volunteer). */
  readonly pages: Pages
}

/** Of a path below /volunteer; `base` is the hub's address as the caller knows it. */
export type Pages = (request: Request, path: string, query: URLSearchParams, base: string) => Promise<Answer>

export const SCHEDULER_PATH = "scheduler"

/** As the caller knows the hub; null while there is nothing for volunteers. */
export function schedulerUrl(parts: Pick<BoincParts, "release" | "publicUrl">, request: Request): string | null {
  const base = baseUrlOf(request, parts.publicUrl)
  return parts.release === null || base === null ? null : `${base}${SCHEDULER_PATH}`
}

/** Answers the request and says true, or says false: not one of these paths. */
export function boincHandler(parts: BoincParts): (request: Request, response: Response) => boolean {
  const { bodyMs } = parts
  const stats = new Stats({ ...parts, applicationName: parts.release?.title ?? "" })
  const reading = new Shares(BOINC_REQUESTS_MAX, BOINC_REQUESTS_PER_ADDRESS_MAX)
  const uploading = new Shares(BOINC_REQUESTS_MAX, BOINC_REQUESTS_PER_ADDRESS_MAX)

  /** While a body is read: one of its address's places, or none is left. The body gives way to those of other addresses. */
  async function inPlace<T>(places: Shares, request: Request, read: () => Promise<T>): Promise<T | null> {
    const giveBack = places.take(placeOf(request), () => request.destroy())
    if (giveBack === null) return null
    try {
      return await read()
    } finally {
      giveBack()
    }
  }

  async function answer(request: Request, path: string, query: URLSearchParams): Promise<Answer | null> {
    const base = baseUrlOf(request, parts.publicUrl)
    if (base === null) return text(400, "the request does not say which host it is for\n")
    if (path === "/volunteer" || path.startsWith("/volunteer/")) return parts.pages(request, path, query, base)
    if (path === `/${SCHEDULER_PATH}`)
      return request.method === "POST"
        ? scheduler(request, base)
        : text(405, "POST, from a BOINC client\n", { Allow: "POST" })
    if (path === "/file_upload_handler") {
      return request.method === "POST" ? upload(request) : text(405, "POST, from a BOINC client\n", { Allow: "POST" })
    }
    if (request.method !== "GET" && request.method !== "HEAD") return text(405, "GET or HEAD\n", { Allow: "GET, HEAD" })
    switch (path) {
      case "/": {
        const { running, staging, offered, queued } = parts.engine.health().counts
        const body = masterPage({
          masterUrl: base,
          projectName: parts.projectName,
          schedulerUrl: schedulerUrl(parts, request),
          platforms: [...new Set((parts.release?.appVersions ?? []).map(({ platform }) => platform))],
          visitor: visitorOf(`${request.headers["user-agent"] ?? ""}`),
          about: parts.about,
          jobs: { running: running + staging + offered, waiting: queued },
        })
        return { status: 200, type: "text/html", body, headers: pageHeaders }
      }
      case "/favicon.ico":
        return { status: 204, type: "image/x-icon", body: "" }
      // Where the BOINC Manager's own buttons lead.
      case "/account_finish.php":
      case "/get_passwd.php":
      case "/home.php":
      case "/prefs.php":
        return { ...text(303, "see /volunteer\n"), headers: { Location: "/volunteer" } }
      case "/get_project_config.php":
        return xml(projectConfig(parts, base))
      case "/lookup_account.php":
        return xml(await accountAnswer(() => lookUpAccount(parts, query, request)))
      case "/create_account.php":
        return xml(await accountAnswer(() => createAccount(parts, query, request)))
      default:
        return path.startsWith("/stats/") ? stats.file(path.slice("/stats/".length)) : null
    }
  }

  /** Never an account key before it is on disk, nor a hub in trouble that looks like a wrong password. */
  async function accountAnswer(ask: () => Promise<string>): Promise<string> {
    try {
      return await ask()
    } catch (thrown) {
      const error = CahError.from(thrown)
      if (error.code === "internal") throw thrown
      return error.code === "unavailable" ? unavailable(`${error.message}.`) : failure(-1, `${error.message}.`)
    }
  }

  async function scheduler(request: Request, base: string): Promise<Answer> {
    const read = await inPlace(reading, request, async () => ({
      body: await readBody(request, BOINC_REQUEST_BYTES_MAX, bodyMs),
    }))
    if (read === null) return tooManyAtOnce()
    const { body } = read
    if (body === null) return text(413, `a request has at most ${BOINC_REQUEST_BYTES_MAX} bytes\n`)
    try {
      const said = await schedule(parts, body.toString("utf8"), base)
      if (said.kind !== "wrong key") return xml(said.body)
      // BOINC has words of its own for a wrong key, as long as it is told which.
      const { code, message } = parts.authenticator.failed(addressOf(request), said.kind)
      return code === "unauthenticated" ? xml(said.body) : text(429, `${message}\n`, { "Retry-After": "60" })
    } catch (thrown) {
      const error = CahError.from(thrown)
      if (error.code === "invalid_argument") return text(400, `${error.message}\n`)
      // The client tries again by itself, later and later.
      if (error.code === "unavailable") return text(503, `${error.message}\n`, { "Retry-After": "60" })
      throw thrown
    }
  }

  async function upload(request: Request): Promise<Answer> {
    // What came is kept: a client that gives way, or is late, goes on where it was.
    const late = setTimeout(() => request.destroy(), UPLOAD_BODY_MS)
    try {
      const said = await inPlace(uploading, request, () => parts.uploads.handle(request))
      return said === null ? tooManyAtOnce() : text(200, said)
    } finally {
      clearTimeout(late)
    }
  }

  return (request, response) => {
    const [path = "", query = ""] = (request.url ?? "").split("?", 2)
    if (!isOurs(path)) return false
    if (path.startsWith("/download/")) {
      if (request.method === "GET" || request.method === "HEAD") {
        download(parts, path.slice("/download/".length), request, response)
      } else send(request, response, text(405, "GET or HEAD\n", { Allow: "GET, HEAD" }))
      return true
    }
    answer(request, path, new URLSearchParams(query))
      .then(made => send(request, response, made ?? text(404, "not found\n")))
      .catch(error => {
        if (request.destroyed || response.destroyed) {
          // The peer went away in the middle of what it said.
          parts.log.debug({ path, error }, "a request ended early")
          response.destroy()
          return
        }
        parts.faults.say("error", path, "a request of a volunteer's failed", { path, error })
        if (response.headersSent) response.destroy()
        else send(request, response, text(500, "something went wrong inside; the hub's log says what\n"))
      })
    return true
  }
}

function tooManyAtOnce(): Answer {
  return text(503, "too many at once: try again in a minute\n", { "Retry-After": "60" })
}

/** Where the address says nothing of who asks, each connection is somebody else. */
function placeOf(request: Request): string {
  const { block, isCounted } = peerOf(request)
  return isCounted ? block : `${block} ${request.socket.remotePort}`
}

const paths: ReadonlySet<string> = new Set([
  "/",
  "/favicon.ico",
  "/volunteer",
  `/${SCHEDULER_PATH}`,
  "/file_upload_handler",
  "/account_finish.php",
  "/get_passwd.php",
  "/home.php",
  "/prefs.php",
  "/get_project_config.php",
  "/lookup_account.php",
  "/create_account.php",
])

function isOurs(path: string): boolean {
  return paths.has(path) || ["/volunteer/", "/download/", "/stats/"].some(start => path.startsWith(start))
}
