// The one error that crosses a rim. Something expected that goes wrong in the world is a value (an outcome); an operation that
// failed throws CahError; a broken rule of our own is an assertion. Users read the message, operators the cause.

import type { ErrorCode } from "../../proto/wire/codes.ts"

export type { ErrorCode }

/** Whether asking again can help: never, later here, or at once elsewhere. */
export type Retry = "never" | "later" | "elsewhere"

/** What was wrong, where the code alone does not tell it: also a closed list. */
export type Reason = "no_node" | "container" | "reservation"

const defaultRetry: Record<ErrorCode, Retry> = {
  invalid_argument: "never",
  not_found: "never",
  already_exists: "never",
  permission_denied: "never",
  unauthenticated: "never",
  failed_precondition: "never",
  resource_exhausted: "later",
  aborted: "later",
  unavailable: "later",
  data_loss: "never",
  internal: "never",
}

export class CahError extends Error {
  override readonly name = "CahError"
  readonly code: ErrorCode
  readonly retry: Retry
  readonly reason: Reason | null

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; retry?: Retry; reason?: Reason } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.retry = options.retry ?? defaultRetry[code]
    this.reason = options.reason ?? null
  }

  /** Whatever was thrown, as a CahError: itself, or "internal" with the thing thrown as its cause. */
  static from(thrown: unknown): CahError {
    if (thrown instanceof CahError) return thrown
    return new CahError("internal", "something went wrong inside; the operator's log says what", { cause: thrown })
  }
}
