// Who may call: the tokens of scientists and operators, all in memory, so that no request touches the database. A change is
// committed before it is answered, but a revocation counts from the moment it is asked for, whatever the disk says.
import { setMaxListeners } from "node:events"
import { CahError } from "../core/errors.ts"
import type { Clock, Engine, Log, StoreReader } from "../core/ports.ts"
import type { ScopeName, TokenRow } from "../core/rows.ts"
import { LAST_USED_EVERY_MS, TOKEN_KEPT_MS, TOKENS_MAX, TOKENS_PAGE } from "../limits.ts"
import { idOfSecret, mintSecret, secretMatches } from "./secret.ts"

/** Who calls, for as long as the call lasts. */
export interface Caller {
  readonly token: string
  readonly principal: string
  readonly scopes: readonly ScopeName[]
  /** Wall time, ms. */
  readonly expiresAt: number | null
  /** Aborted when the token is revoked. */
  readonly revoked: AbortSignal
}

/** Admin is everything. */
export function allows(caller: Caller, scope: ScopeName): boolean {
  return caller.scopes.includes(scope) || caller.scopes.includes("admin")
}

/** What callers without a valid token are told apart by, for their message only: the outcome is the same. */
export type Denied = "malformed" | "unknown" | "revoked" | "expired"

interface Known {
  row: TokenRow
  readonly end: AbortController
}

export interface TokenParts {
  readonly store: Pick<StoreReader, "tokens">
  readonly engine: Pick<Engine, "commit">
  readonly clock: Clock
  readonly log: Log
}

export class Tokens {
  private readonly parts: TokenParts
  private readonly known = new Map<string, Known>()

  constructor(parts: TokenParts) {
    this.parts = parts
    for (const row of parts.store.tokens()) this.remember(row)
  }

  /** The caller behind a secret, or why there is none. */
  authenticate(secret: string): Caller | Denied {
    const id = idOfSecret("cah", secret)
    if (id === null) return "malformed"
    const known = this.known.get(id)
    if (known === undefined || !secretMatches(secret, known.row.hash)) return "unknown"
    const { row, end } = known
    const now = this.parts.clock.wallMs()
    if (row.revokedAt !== null) return "revoked"
    if (row.expiresAt !== null && row.expiresAt <= now) return "expired"
    this.used(known, now)
    return {
      token: row.id,
      principal: row.principal,
      scopes: row.scopes,
      expiresAt: row.expiresAt,
      revoked: end.signal,
    }
  }

  async create(
    principal: string,
    scopes: readonly ScopeName[],
    lifetimeMs: number | null,
  ): Promise<{ row: TokenRow; secret: string }> {
    const ended = this.ended().length
    // What has ended is no token any more. The first admin's is made beyond any number: a hub that nobody can manage is none.
    if (this.known.size - ended >= TOKENS_MAX) {
      const message = `there are ${TOKENS_MAX} tokens already: revoke some, \`cah admin token ls\` lists them`
      throw new CahError("resource_exhausted", message, { retry: "never" })
    }
    if (ended >= TOKENS_MAX) await this.drop(ended - TOKENS_MAX + TOKENS_PAGE)
    const made = this.prepare(principal, scopes, lifetimeMs)
    await this.keep(made.row)
    return made
  }

  /** A token that opens nothing until it is kept. */
  prepare(
    principal: string,
    scopes: readonly ScopeName[],
    lifetimeMs: number | null,
  ): { row: TokenRow; secret: string } {
    const { id, secret, hash } = mintSecret("cah")
    const createdAt = this.parts.clock.wallMs()
    const expiresAt = lifetimeMs === null ? null : createdAt + lifetimeMs
    const row: TokenRow = {
      id,
      hash,
      principal,
      scopes: [...scopes],
      createdAt,
      expiresAt,
      revokedAt: null,
      lastUsedAt: null,
    }
    return { row, secret }
  }

  async keep(row: TokenRow): Promise<void> {
    await this.parts.engine.commit([{ kind: "token", row }])
    this.remember(row)
  }

  /** Its next call is refused and its open streams end. Revoked once is revoked: again changes nothing. */
  async revoke(id: string): Promise<void> {
    const known = this.known.get(id)
    if (known === undefined) throw new CahError("not_found", `there is no token ${id}`)
    // Not "commit, then act": if the disk is full, the token is closed all the same, and the error says to try again.
    known.row = { ...known.row, revokedAt: known.row.revokedAt ?? this.parts.clock.wallMs() }
    known.end.abort()
    await this.parts.engine.commit([{ kind: "token", row: known.row }])
  }

  /** Those that ended long ago, and are asked for by nobody any more, leave memory and database. Says how many. */
  dropEnded(): Promise<number> {
    const before = this.parts.clock.wallMs() - TOKEN_KEPT_MS
    return this.drop(this.ended().filter(({ endedAt }) => endedAt < before).length)
  }

  /** The first so many of those that have ended. */
  private async drop(count: number): Promise<number> {
    const ids = this.ended()
      .slice(0, count)
      .map(({ id }) => id)
    for (let first = 0; first < ids.length; first += TOKENS_PAGE) {
      const page = ids.slice(first, first + TOKENS_PAGE)
      await this.parts.engine.commit(page.map(id => ({ kind: "forgetToken", id })))
      for (const id of page) this.known.delete(id)
    }
    return ids.length
  }

  /** By when they ended. */
  private ended(): { id: string; endedAt: number }[] {
    const now = this.parts.clock.wallMs()
    return [...this.known.values()]
      .map(({ row }) => ({ id: row.id, endedAt: Math.min(row.revokedAt ?? Infinity, row.expiresAt ?? Infinity) }))
      .filter(({ endedAt }) => endedAt <= now)
      .sort((a, b) => a.endedAt - b.endedAt)
  }

  /** Oldest first. */
  list(): TokenRow[] {
    return [...this.known.values()].map(known => known.row).sort((a, b) => a.createdAt - b.createdAt)
  }

  /** Whether anybody could still administrate the hub. */
  hasAdmin(): boolean {
    const now = this.parts.clock.wallMs()
    return this.list().some(
      row => row.scopes.includes("admin") && row.revokedAt === null && (row.expiresAt ?? Infinity) > now,
    )
  }

  private remember(row: TokenRow): void {
    const end = new AbortController()
    // One listener for each open stream of the token: bounded by the port's connections and their streams.
    setMaxListeners(0, end.signal)
    if (row.revokedAt !== null) end.abort()
    this.known.set(row.id, { row, end })
  }

  private used(known: Known, now: number): void {
    if (now - (known.row.lastUsedAt ?? 0) < LAST_USED_EVERY_MS) return
    known.row = { ...known.row, lastUsedAt: now }
    this.parts.engine
      .commit([{ kind: "token", row: known.row }])
      .catch(error => this.parts.log.warn({ token: known.row.id, error }, "could not note that the token was used"))
  }
}
