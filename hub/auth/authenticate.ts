// Who calls, told by an Authorization header and an address alone: the one place for every front, whatever it speaks. Failed logins
// are counted here, all by the same rule: a valid token always gets through, and whoever guesses is told nothing after a few tries.
import { CahError } from "../core/errors.ts"
import type { ScopeName } from "../core/rows.ts"
import type { Failures } from "./failures.ts"
import { allows, type Caller, type Denied, type Tokens } from "./tokens.ts"

export interface AuthenticatorParts {
  readonly tokens: Pick<Tokens, "authenticate">
  readonly failures: Failures
  /** Told of each failed login beyond what its address may have. */
  onLimited?(): void
}

export const denied: Readonly<Record<Denied, string>> = {
  malformed: "the token is not complete: it begins with cah_ and was shown once when it was made",
  unknown: "the hub does not know this token: ask its operator for one, then run `cah login`",
  revoked: "the token was revoked: ask the hub's operator for another, then run `cah login`",
  expired: "the token has expired: ask the hub's operator for another, then run `cah login`",
}

const NO_TOKEN = "no token: run `cah login`, or send `Authorization: Bearer cah_…`"

export class Authenticator {
  readonly #parts: AuthenticatorParts

  constructor(parts: AuthenticatorParts) {
    this.#parts = parts
  }

  /** The caller behind a header. CahError unauthenticated, or what failed() makes of it; the failure is counted. */
  authenticate(header: string | null, address: string): Caller {
    const secret = header === null ? null : secretOf(header)
    const caller = secret === null ? null : this.#parts.tokens.authenticate(secret)
    if (caller !== null && typeof caller !== "string") return caller
    throw this.failed(address, caller === null ? NO_TOKEN : denied[caller])
  }

  /** Counts a failed login, of whatever kind, and says what its caller is told: CahError resource_exhausted when there were too many. */
  failed(address: string, message: string): CahError {
    if (this.#parts.failures.count(address)) return new CahError("unauthenticated", message)
    this.#parts.onLimited?.()
    return new CahError("resource_exhausted", "too many failed logins from your address: wait a minute")
  }
}

/** CahError permission_denied if the caller's token has not this scope. */
export function mustAllow(caller: Caller, scope: ScopeName): void {
  if (allows(caller, scope)) return
  throw new CahError("permission_denied", `this token may not ${scope}: it may ${caller.scopes.join(", ")}`)
}

/**
 * The token in a header: after "Bearer", or as the password of "Basic" beside any name, which is what browsers and old programs send.
 * "": none is in it. Browsers send Basic by themselves, also with other sites' forms: a front that takes forms looks where they are from.
 */
function secretOf(header: string): string {
  const [, scheme = "", value = ""] = /^(Bearer|Basic) +(\S+)$/i.exec(header) ?? []
  if (scheme.toLowerCase() !== "basic") return value
  const pair = Buffer.from(value, "base64").toString()
  return pair.includes(":") ? pair.slice(pair.indexOf(":") + 1) : ""
}
