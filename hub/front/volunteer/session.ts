// Who is logged in on the volunteer's page: a cookie that says which account until when, sealed with the hub's own key, so that
// nothing is stored and a restart logs nobody out. Raising the account's session number ends all of them. Every form that
// changes something carries a token derived from the cookie, which no other site can know.
import { timingSafeEqual } from "node:crypto"
import type { HubKey } from "../../auth/key.ts"
import type { Clock } from "../../core/ports.ts"
import type { VolunteerId, VolunteerRow } from "../../core/volunteers.ts"
import { WEB_SESSION_MS } from "../../limits.ts"
import type { Request } from "../../port.ts"
import { isEncrypted } from "../http.ts"

const COOKIE = "cah_volunteer"

export interface SessionParts {
  readonly key: HubKey
  readonly clock: Clock
  readonly accounts: { byId(id: VolunteerId): VolunteerRow | null }
  /** By which browsers know the hub where a proxy stands before it. */
  readonly publicUrl: string | null
}

export interface Session {
  readonly volunteer: VolunteerRow
  /** What forms of this session carry. */
  readonly formToken: string
}

export class Sessions {
  readonly #parts: SessionParts

  constructor(parts: SessionParts) {
    this.#parts = parts
  }

  /** The header that logs in. */
  begin(volunteer: VolunteerRow, request: Request): string {
    const expiresAt = this.#parts.clock.wallMs() + WEB_SESSION_MS
    const body = `${volunteer.id}.${volunteer.session}.${expiresAt}`
    return cookie(`${body}.${this.#seal(body)}`, WEB_SESSION_MS / 1_000, this.#isSecure(request))
  }

  /** The header that logs out. */
  end(request: Request): string {
    return cookie("", 0, this.#isSecure(request))
  }

  /** Null: nobody is logged in. */
  of(request: Request): Session | null {
    const value = cookieOf(request.headers.cookie)
    const parts = /^((\d{1,15})\.(\d{1,15})\.(\d{1,15}))\.([0-9a-f]{64})$/.exec(value ?? "")
    if (value === null || parts === null) return null
    const [, body = "", id, session, expiresAt, seal = ""] = parts
    if (!same(seal, this.#seal(body)) || Number(expiresAt) <= this.#parts.clock.wallMs()) return null
    const volunteer = this.#parts.accounts.byId(Number(id) as VolunteerId)
    if (volunteer === null || volunteer.session !== Number(session)) return null
    return { volunteer, formToken: this.#parts.key.derive("form", value).toString("hex") }
  }

  #isSecure(request: Request): boolean {
    return isEncrypted(request) || this.#parts.publicUrl?.startsWith("https:") === true
  }

  /** Browsers say where a form comes from; another site's is refused before anything is looked at. */
  isFromElsewhere({ headers }: Request): boolean {
    const site = headers["sec-fetch-site"]
    if (site !== undefined && site !== "same-origin" && site !== "none") return true
    const { origin } = headers
    if (origin === undefined) return false
    const host = (headers[":authority"] ?? headers.host ?? "") as string
    const ours = [
      host.replace(/:(?:80|443)$/, ""),
      this.#parts.publicUrl === null ? null : new URL(this.#parts.publicUrl).host,
    ]
    return !URL.canParse(origin) || !ours.includes(new URL(origin).host)
  }

  #seal(body: string): string {
    return this.#parts.key.derive("session", body).toString("hex")
  }
}

/** Whether the form came from a page of this session. */
export function isFormOf({ formToken }: Session, given: string): boolean {
  return same(given, formToken)
}

function same(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}

function cookie(value: string, seconds: number, isSecure: boolean): string {
  const secure = isSecure ? "; Secure" : ""
  return `${COOKIE}=${value}; Path=/volunteer; Max-Age=${seconds}; HttpOnly; SameSite=Strict${secure}`
}

function cookieOf(header: string | undefined): string | null {
  for (const part of (header ?? "").split(";")) {
    const [name, value] = part.trim().split("=", 2)
    if (name === COOKIE) return value ?? ""
  }
  return null
}
