// Who may use the hub, and how much of it: tokens, enrolments and shares, as operators manage them. Each change is logged with who made it.
import type { Enrolments } from "../auth/enrolments.ts"
import type { Caller, Tokens } from "../auth/tokens.ts"
import { CahError } from "../core/errors.ts"
import type { OwnerShare } from "../core/placing/shares.ts"
import type { Engine, Log } from "../core/ports.ts"
import type { ScopeName, TokenRow } from "../core/rows.ts"
import { NAME_CHARACTERS_MAX, SHARE_MAX, SHARE_MIN } from "../limits.ts"

export interface AccessParts {
  readonly engine: Pick<Engine, "setShare" | "shares">
  readonly tokens: Tokens
  readonly enrolments: Enrolments
  readonly log: Log
}

/** A secret that is shown once. */
export interface Made {
  readonly secret: string
  readonly expiresAt: number
}

export class Access {
  readonly #parts: AccessParts

  constructor(parts: AccessParts) {
    this.#parts = parts
  }

  /** `lifetimeMs` null: until it is revoked. */
  async createToken(
    caller: Caller,
    given: { readonly principal: string; readonly scopes: readonly ScopeName[]; readonly lifetimeMs: number | null },
  ): Promise<{ readonly row: TokenRow; readonly secret: string }> {
    const { principal, scopes, lifetimeMs } = given
    checkName("principal", principal)
    if (scopes.length === 0) throw new CahError("invalid_argument", "no scopes: read, submit, cancel or admin")
    if (lifetimeMs !== null) checkLifetime(lifetimeMs)
    const made = await this.#parts.tokens.create(principal, [...new Set(scopes)], lifetimeMs)
    this.#note(caller, { token: made.row.id, principal }, "token created")
    return made
  }

  /** Oldest first. */
  tokens(): TokenRow[] {
    return this.#parts.tokens.list()
  }

  async revokeToken(caller: Caller, id: string): Promise<void> {
    await this.#parts.tokens.revoke(id)
    this.#note(caller, { token: id }, "token revoked")
  }

  /** Good for so many nodes of this account; 0: one. `lifetimeMs` null: as is usual. */
  async createEnrolment(
    caller: Caller,
    given: { readonly account: string; readonly uses: number; readonly lifetimeMs: number | null },
  ): Promise<Made> {
    const { account, uses, lifetimeMs } = given
    checkName("account", account)
    if (lifetimeMs !== null) checkLifetime(lifetimeMs)
    const made = await this.#parts.enrolments.create(account, uses === 0 ? 1 : uses, lifetimeMs ?? undefined)
    this.#note(caller, { account, uses }, "enrolment created")
    return made
  }

  async setShare(caller: Caller, owner: string, share: number): Promise<void> {
    checkName("owner", owner)
    if (!(share >= SHARE_MIN && share <= SHARE_MAX)) {
      throw new CahError("invalid_argument", `share ${share} is out of range: ${SHARE_MIN} to ${SHARE_MAX}`)
    }
    await this.#parts.engine.setShare(owner, share)
    this.#note(caller, { owner, share }, "share set")
  }

  shares(): OwnerShare[] {
    return this.#parts.engine.shares()
  }

  #note(caller: Caller, fields: object, message: string): void {
    this.#parts.log.info({ by: caller.principal, ...fields }, message)
  }
}

function checkName(field: string, name: string): void {
  if (name.trim() === "" || name.length > NAME_CHARACTERS_MAX || /[\p{Cc}/\\]/u.test(name)) {
    const message = `${field}: 1 to ${NAME_CHARACTERS_MAX} characters, without slashes and control characters`
    throw new CahError("invalid_argument", message)
  }
}

function checkLifetime(ms: number): void {
  if (!(ms > 0)) throw new CahError("invalid_argument", "lifetime must be above 0; leave it out for the default")
}
