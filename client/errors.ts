// Everything that can go wrong for a scientist, as one error: what was wrong and where (message), what to do (hint).
// The table of exit codes is a contract (cah(1), EXIT STATUS); scripts rely on it, so a code is never given another meaning.
// No secret may ever be put into a message, a hint or the details.

import type { ErrorCode as HubCode } from "../proto/wire/codes.ts"
import { certificateAdvice, systemAdvice } from "./advice.ts"

/** gRPC's status codes by number. Its library would be loaded for them alone. */
const Status = {
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const

export type ErrorCode =
  // Found here, before a hub was asked.
  | "usage"
  | "bad_stagein"
  | "local"
  | "interrupted"
  | "timeout"
  | "jobs_failed"
  // Said by the hub, or about it.
  | HubCode
  // An older hub does not know what was asked.
  | "unimplemented"

export const exitCodes: Readonly<Record<ErrorCode, number>> = {
  jobs_failed: 1,
  internal: 1,
  unimplemented: 1,
  local: 1,
  aborted: 1,
  usage: 2,
  invalid_argument: 2,
  not_found: 3,
  unauthenticated: 4,
  permission_denied: 4,
  unavailable: 5,
  resource_exhausted: 6,
  failed_precondition: 6,
  already_exists: 6,
  bad_stagein: 7,
  data_loss: 7,
  timeout: 124,
  interrupted: 130,
}

/** What was wrong, where the code alone does not tell it: said by the hub. */
export type Reason = "no_node" | "container" | "reservation"

/** What an error of the hub's says beside its code and words. */
export interface Detail {
  readonly reason: Reason | null
  /** The same call can never go well. */
  readonly isFinal: boolean
}

export interface ErrorOptions {
  reason?: Reason | null
  /** What to do, as a sentence or a command to type. */
  hint?: string
  /** For machines: goes into the JSON form as it is. */
  details?: unknown
  /** When the exit code says more than the table: a job's own. */
  exitCode?: number
  cause?: unknown
}

export class ClientError extends Error {
  override readonly name = "ClientError"
  readonly code: ErrorCode
  readonly hint: string
  readonly reason: Reason | null
  readonly details: unknown
  readonly exitCode: number

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.hint = options.hint ?? ""
    this.reason = options.reason ?? null
    this.details = options.details ?? null
    this.exitCode = options.exitCode ?? exitCodes[code]
  }

  /** Whatever was thrown, as a ClientError. What nobody foresaw is "internal" and keeps its text: it is our own bug. */
  static from(thrown: unknown): ClientError {
    if (thrown instanceof ClientError) return thrown
    if (thrown instanceof Error && "code" in thrown && typeof thrown.code === "string" && "syscall" in thrown) {
      const path = "path" in thrown && typeof thrown.path === "string" ? thrown.path : undefined
      const { message, hint } = systemAdvice(thrown.code, path) ?? { message: thrown.message, hint: "" }
      return new ClientError("local", message, { cause: thrown, hint })
    }
    const text = thrown instanceof Error ? thrown.message : String(thrown)
    return new ClientError("internal", `cah itself failed: ${text}`, {
      cause: thrown,
      hint: "This is a defect of cah. Run the command again with CAH_DEBUG=1 and report what it prints.",
    })
  }
}

export function usage(message: string, hint = ""): ClientError {
  return new ClientError("usage", message, hint === "" ? {} : { hint })
}

/** The same error with a place before its message, for work that goes through many jobs. */
export function at(place: string, error: ClientError): ClientError {
  return new ClientError(error.code, `${place}: ${error.message}`, {
    hint: error.hint,
    reason: error.reason,
    details: error.details,
    exitCode: error.exitCode,
    cause: error,
  })
}

const byStatus: Readonly<Record<number, ErrorCode>> = {
  [Status.INVALID_ARGUMENT]: "invalid_argument",
  [Status.OUT_OF_RANGE]: "invalid_argument",
  [Status.NOT_FOUND]: "not_found",
  [Status.ALREADY_EXISTS]: "already_exists",
  [Status.PERMISSION_DENIED]: "permission_denied",
  [Status.UNAUTHENTICATED]: "unauthenticated",
  [Status.FAILED_PRECONDITION]: "failed_precondition",
  [Status.RESOURCE_EXHAUSTED]: "resource_exhausted",
  [Status.ABORTED]: "aborted",
  [Status.UNAVAILABLE]: "unavailable",
  // The hub may be alive and merely slow; for the caller it is the same: no answer.
  [Status.DEADLINE_EXCEEDED]: "unavailable",
  // A server that goes away mid-call resets its streams: the call is as cut as by a broken wire.
  [Status.CANCELLED]: "unavailable",
  [Status.DATA_LOSS]: "data_loss",
  [Status.UNIMPLEMENTED]: "unimplemented",
}

/** Texts of a connection that no second try can make better. */
const hopeless = /certificate|CERT_|altname|self.signed|wrong version number|packet length too long|EPROTO|ENOTFOUND/i

/** What grpc-js says, under several status codes, when the other side vanished in the middle of a call. */
const cutStream = /RST_STREAM|Stream removed|Connection dropped|Call ended without gRPC status/

const hints: Partial<Record<ErrorCode, (hub: string) => string>> = {
  unauthenticated: hub => `Log in again: cah login --hub ${hub}`,
  permission_denied: () => "See what your token may do with cah whoami; an operator can give you one that may do more.",
  unavailable: hub => `Is the hub running there? See what is wrong with: cah doctor --hub ${hub}`,
  resource_exhausted: () => "Wait until some of your work has ended (cah ls), or ask the operator for a larger share.",
}

export interface StatusLike {
  readonly code: number
  readonly details: string
}

/** A gRPC status as our error. `hub` is the URL that the user knows it by; `detail`: null where the hub itself did not say one. */
export function fromStatus(
  status: StatusLike,
  hub: string,
  cause: unknown,
  caFile: string | null = null,
  detail: Detail | null = null,
): ClientError {
  const code = cutStream.test(status.details) ? "unavailable" : (byStatus[status.code] ?? "internal")
  const reason = detail?.reason ?? null
  // Waiting does not help against what is too large for good.
  const hint = code === "resource_exhausted" && detail?.isFinal === true ? "" : (hints[code]?.(hub) ?? "")
  if (code !== "unavailable") {
    const said = decoded(status.details)
    const text = said === "" ? `status ${status.code} without a word` : said
    const message =
      code === "internal"
        ? `The hub failed: ${text}`
        : code === "unimplemented"
          ? `The hub at ${hub} does not know this yet: it is older than this cah.`
          : text
    return new ClientError(code, message, { hint, reason, cause })
  }
  if (detail !== null) {
    const said = decoded(status.details)
    return new ClientError(code, said, { hint: "Nothing was lost. Try again a little later.", reason, cause })
  }
  if (/certificate|CERT_|altname|self.signed/i.test(status.details)) {
    return new ClientError(code, `The hub at ${hub} could not prove who it is: ${why(status.details)}`, {
      hint: certificateAdvice(status.details, caFile),
      cause,
    })
  }
  if (/SSL routines|wrong version number/.test(status.details)) {
    return new ClientError(code, `What answers at ${hub} does not speak TLS.`, {
      hint: `If the hub is without TLS there, write ${hub.replace(/^https:/, "http:")}`,
      cause,
    })
  }
  const verb = status.code === Status.DEADLINE_EXCEEDED ? "did not answer in time" : "does not answer"
  return new ClientError(code, `The hub at ${hub} ${verb}: ${why(decoded(status.details))}.`, { hint, cause })
}

/** Whether the same call, made again a little later, may succeed. */
export function isTransient(error: ClientError): boolean {
  return error.code === "unavailable" && !hopeless.test(error.message)
}

/**
 * The hub (connect-node) percent-encodes a message wholly, grpc-js undoes that of whole URLs only (decodeURI), so that these
 * eleven characters are left over.
 */
function decoded(details: string): string {
  return details.replace(/%(?:3[ABDF]|2[346BCF]|40)/gi, triplet =>
    String.fromCharCode(Number.parseInt(triplet.slice(1), 16)),
  )
}

/** grpc-js wraps the reason that people need in several of its own; the innermost is wanted. */
function why(details: string): string {
  const inner = /Last error: (.*?)(?:\. Resolution note:.*)?$/s.exec(details)?.[1] ?? details
  if (/ECONNREFUSED/.test(inner)) return "connection refused"
  if (/ECONNRESET|EPIPE/.test(inner) || cutStream.test(inner)) return "the connection was cut"
  return inner === "" ? "no reason given" : inner.replace(/^Error: /, "").replace(/\.$/, "")
}
