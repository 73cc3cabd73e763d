// Accounts of volunteers: made, logged in to, changed, forgotten. An account has an address and a password, which its volunteer
// remembers, and a key, which their BOINC client keeps and sends with each request. The key opens only what is its
// volunteer's own; it is no token of the scientists' and none of a node's.
import { createHash, randomBytes } from "node:crypto"
import { Turns } from "../../common/turns.ts"
import { CahError } from "../core/errors.ts"
import type { Clock, Engine, StoreReader } from "../core/ports.ts"
import type { RowWrite } from "../core/rows.ts"
import type { VolunteerId, VolunteerRow } from "../core/volunteers.ts"
import { EMAIL_CHARACTERS_MAX, NAME_CHARACTERS_MAX } from "../limits.ts"
import { lock, unlock } from "./password.ts"

export interface AccountParts {
  readonly store: Pick<StoreReader, "volunteers">
  readonly engine: Pick<Engine, "commit">
  readonly clock: Clock
  /** Cheaper in tests. */
  readonly passwordCost?: number
}

export interface LoggedIn {
  readonly volunteer: VolunteerRow
  readonly key: string
}

/** Why nobody was let in; a stranger may know which it was, for the protocol tells it anyway. */
export type NoLogin = "unknown" | "wrong password"

export class Accounts {
  readonly #parts: AccountParts
  readonly #turns = new Turns()
  #lastId: number

  constructor(parts: AccountParts) {
    this.#parts = parts
    this.#lastId = parts.store.volunteers.lastIds().volunteer
  }

  /**
   * A new account; or the one that has this address, if the password is its password too. `password` is passwordHash(), `turn` whose
   * turn it takes among those who log in. CahError invalid_argument (address, name), already_exists (another password).
   */
  create(given: { email: string; password: string; name: string }, turn = given.email): Promise<LoggedIn> {
    const email = emailOf(given.email)
    return this.#turns.take(email, async () => {
      const known = this.#parts.store.volunteers.byEmail(email)
      if (known !== null) {
        const key = await unlock(given.password, known, turn)
        if (key !== null) return { volunteer: known, key }
        throw new CahError("already_exists", "there is an account with this address already, with another password")
      }
      const key = newKey()
      const volunteer: VolunteerRow = {
        id: ++this.#lastId as VolunteerId,
        email,
        name: nameOf(given.name),
        ...(await lock(given.password, key, this.#parts.passwordCost, turn)),
        keyHash: hashOf(key),
        crossId: randomBytes(16).toString("hex"),
        session: 0,
        shown: false,
        preferences: null,
        createdAt: this.#parts.clock.wallMs(),
        forgottenAt: null,
      }
      await this.#parts.engine.commit([{ kind: "volunteer", row: volunteer }])
      return { volunteer, key }
    })
  }

  exists(email: string): boolean {
    return this.#parts.store.volunteers.byEmail(email.toLowerCase()) !== null
  }

  /** `password` is passwordHash(). */
  async logIn(email: string, password: string, turn = email): Promise<LoggedIn | NoLogin> {
    const volunteer = this.#parts.store.volunteers.byEmail(email.toLowerCase())
    if (volunteer === null) return "unknown"
    const key = await unlock(password, volunteer, turn)
    return key === null ? "wrong password" : { volunteer, key }
  }

  byKey(key: string): VolunteerRow | null {
    return /^[0-9a-f]{32}$/.test(key) ? this.#parts.store.volunteers.byKey(hashOf(key)) : null
  }

  byId(id: VolunteerId): VolunteerRow | null {
    const row = this.#parts.store.volunteers.volunteer(id)
    return row === null || row.forgottenAt !== null ? null : row
  }

  /** Changes a row as it is then, one change at a time; together with other writes if there are any. */
  change(
    id: VolunteerId,
    changed: (row: VolunteerRow) => Partial<VolunteerRow>,
    also: RowWrite[] = [],
  ): Promise<VolunteerRow> {
    return this.#turns.take(String(id), async () => {
      const row = this.byId(id)
      if (row === null) throw new CahError("not_found", "there is no such account any more")
      const next = { ...row, ...changed(row) }
      await this.#parts.engine.commit([{ kind: "volunteer", row: next }, ...also])
      return next
    })
  }

  /** A new password, known to whoever knows the key; every session on the web ends. */
  async setPassword(id: VolunteerId, key: string, password: string, turn = String(id)): Promise<VolunteerRow> {
    const locked = await lock(password, key, this.#parts.passwordCost, turn)
    return this.change(id, ({ session }) => ({ ...locked, session: session + 1 }))
  }

  /**
   * Nothing of the person stays: the number does, for the ledger's sake. Of one whom public statistics named also what they were named
   * by there, `publicId`, so that the sites can be told to delete them.
   */
  forget(id: VolunteerId, publicId: string, also: RowWrite[]): Promise<VolunteerRow> {
    const nothing = new Uint8Array(0)
    const gone = { email: null, name: "", salt: nothing, password: nothing, keyHash: nothing, sealedKey: nothing }
    const forgottenAt = this.#parts.clock.wallMs()
    const rest = { ...gone, preferences: null, forgottenAt }
    const idOf = ({ shown }: VolunteerRow) => (shown ? publicId : "")
    return this.change(id, row => ({ ...rest, crossId: idOf(row), session: row.session + 1 }), also)
  }
}

function newKey(): string {
  return randomBytes(16).toString("hex")
}

function hashOf(key: string): Uint8Array {
  return createHash("sha256").update(key).digest()
}

/** As it was given, but for capitals: clients make what they send for a password of it, so that nothing may be mended here. */
export function emailOf(given: string): string {
  const email = given.toLowerCase()
  if (email.length <= EMAIL_CHARACTERS_MAX && /^[^\s\p{Cc}@<>"&]+@[^\s\p{Cc}@<>"&]+$/u.test(email)) return email
  const isPadded = email !== email.trim()
  const why = isPadded ? "a blank stands before or after it" : "it looks like name@example.org, without blanks"
  throw new CahError("invalid_argument", `that is no e-mail address: ${why}`)
}

/** As short and as plain as a name in a list may be. */
export function nameOf(given: string): string {
  const name = given
    .replace(/[\p{Cc}\p{Cf}]/gu, " ")
    .replace(/\s+/g, " ")
    .trim()
  return name === "" ? "Volunteer" : name.slice(0, NAME_CHARACTERS_MAX)
}
