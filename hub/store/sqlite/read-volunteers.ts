// Questions about volunteers: the part of reader.ts that fronts for volunteers need. The same rules: indexed, small, synchronous.
import { noCredit } from "../../core/credit.ts"
import type { CampaignId, NodeId } from "../../core/model.ts"
import type {
  CreditTotal,
  HostId,
  HostRow,
  LaunchEnding,
  LaunchId,
  LaunchRow,
  LaunchTally,
  LedgerLine,
  VolunteerId,
  VolunteerReader,
  VolunteerRow,
} from "../../core/volunteers.ts"
import type { Db } from "./open.ts"
import { bytes, type Columns, found } from "./row.ts"

function prepare(db: Db) {
  const lastId = (table: string) => db.prepare<[], number | null>(`SELECT max(id) FROM ${table}`).pluck()
  return {
    last: { volunteer: lastId("volunteers"), host: lastId("hosts"), launch: lastId("launches") },
    volunteer: db.prepare<[number], Columns>("SELECT * FROM volunteers WHERE id = ?"),
    byEmail: db.prepare<[string], Columns>("SELECT * FROM volunteers WHERE email = ?"),
    byKey: db.prepare<[Uint8Array], Columns>("SELECT * FROM volunteers WHERE key_hash = ? AND forgotten_at IS NULL"),
    volunteers: db.prepare<[number, number], Columns>("SELECT * FROM volunteers WHERE id > ? ORDER BY id LIMIT ?"),
    host: db.prepare<[number], Columns>("SELECT * FROM hosts WHERE id = ?"),
    hostsOf: db.prepare<[number], Columns>("SELECT * FROM hosts WHERE volunteer = ? ORDER BY id"),
    hosts: db.prepare<[number, number], Columns>("SELECT * FROM hosts WHERE id > ? ORDER BY id LIMIT ?"),
    launch: db.prepare<[number], Columns>("SELECT * FROM launches WHERE id = ?"),
    liveLaunch: db.prepare<[number], Columns>(
      "SELECT * FROM launches WHERE host = ? AND ended_at IS NULL ORDER BY id DESC LIMIT 1",
    ),
    launchesOf: db.prepare<[number, number], Columns>("SELECT * FROM launches WHERE host = ? ORDER BY id DESC LIMIT ?"),
    traffic: db.prepare<[number], { bytesIn: number; bytesOut: number }>(
      `SELECT coalesce(sum(bytes_in), 0) AS bytesIn, coalesce(sum(bytes_out), 0) AS bytesOut
       FROM launches WHERE host = ?`,
    ),
    credit: db.prepare<[string], Columns>("SELECT * FROM credit_totals WHERE account = ?"),
    creditSum: db.prepare<[], { slotMs: number; results: number }>(
      "SELECT coalesce(sum(slot_ms), 0) AS slotMs, coalesce(sum(results), 0) AS results FROM credit_totals",
    ),
    ledger: db.prepare<[number, number], Columns>("SELECT * FROM credit WHERE sequence > ? ORDER BY sequence LIMIT ?"),
  }
}

export class SqliteVolunteers implements VolunteerReader {
  #ask: ReturnType<typeof prepare>

  constructor(db: Db) {
    this.#ask = prepare(db)
  }

  /** Goes on with another handle on the same database. */
  readFrom(db: Db): void {
    this.#ask = prepare(db)
  }

  lastIds(): { volunteer: number; host: number; launch: number } {
    const { volunteer, host, launch } = this.#ask.last
    return { volunteer: volunteer.get() ?? 0, host: host.get() ?? 0, launch: launch.get() ?? 0 }
  }

  volunteer(id: VolunteerId): VolunteerRow | null {
    return found(this.#ask.volunteer.get(id), volunteerRow)
  }

  byEmail(email: string): VolunteerRow | null {
    return found(this.#ask.byEmail.get(email), volunteerRow)
  }

  byKey(keyHash: Uint8Array): VolunteerRow | null {
    return found(this.#ask.byKey.get(keyHash), volunteerRow)
  }

  volunteers(after: number, limit: number): VolunteerRow[] {
    return this.#ask.volunteers.all(after, limit).map(volunteerRow)
  }

  host(id: HostId): HostRow | null {
    return found(this.#ask.host.get(id), hostRow)
  }

  hostsOf(volunteer: VolunteerId): HostRow[] {
    return this.#ask.hostsOf.all(volunteer).map(hostRow)
  }

  hosts(after: number, limit: number): HostRow[] {
    return this.#ask.hosts.all(after, limit).map(hostRow)
  }

  launch(id: LaunchId): LaunchRow | null {
    return found(this.#ask.launch.get(id), launchRow)
  }

  launchTally(id: LaunchId): LaunchTally {
    const tally = found(this.#ask.launch.get(id), c => ({
      node: c.node as NodeId | null,
      bytesIn: c.bytes_in as number,
      bytesOut: c.bytes_out as number,
    }))
    return tally ?? { node: null, bytesIn: 0, bytesOut: 0 }
  }

  liveLaunch(host: HostId): LaunchRow | null {
    return found(this.#ask.liveLaunch.get(host), launchRow)
  }

  launchesOf(host: HostId, limit: number): LaunchRow[] {
    return this.#ask.launchesOf.all(host, limit).map(launchRow)
  }

  trafficOf(host: HostId): { bytesIn: number; bytesOut: number } {
    return this.#ask.traffic.get(host)!
  }

  credit(account: string): CreditTotal {
    return found(this.#ask.credit.get(account), creditTotal) ?? noCredit
  }

  hostCredit(host: HostId): CreditTotal {
    return found(this.#ask.host.get(host), creditTotal) ?? noCredit
  }

  creditSum(): { slotMs: number; results: number } {
    return this.#ask.creditSum.get()!
  }

  ledger(after: number, limit: number): LedgerLine[] {
    return this.#ask.ledger.all(after, limit).map(ledgerLine)
  }
}

function volunteerRow(c: Columns): VolunteerRow {
  return {
    id: c.id as VolunteerId,
    email: c.email as string | null,
    name: c.name as string,
    salt: bytes(c.salt),
    password: bytes(c.password),
    keyHash: bytes(c.key_hash),
    sealedKey: bytes(c.sealed_key),
    crossId: c.cross_id as string,
    session: c.session as number,
    shown: c.shown === 1,
    preferences: c.preferences as string | null,
    createdAt: c.created_at as number,
    forgottenAt: c.forgotten_at as number | null,
  }
}

function hostRow(c: Columns): HostRow {
  return {
    id: c.id as HostId,
    volunteer: c.volunteer as VolunteerId,
    cpid: c.cpid as string,
    sequence: c.sequence as number,
    clientStarted: c.client_started as number,
    name: c.name as string,
    title: c.title as string,
    facts: JSON.parse(c.facts as string),
    stopped: c.stopped === 1,
    removed: c.removed === 1,
    mergedInto: c.merged_into as HostId | null,
    barred: c.barred === 1,
    failures: c.failures as number,
    notBefore: c.not_before as number,
    createdAt: c.created_at as number,
    heardAt: c.heard_at as number,
  }
}

function launchRow(c: Columns): LaunchRow {
  return {
    id: c.id as LaunchId,
    host: c.host as HostId,
    secretName: c.secret_name as string,
    planClass: c.plan_class as string,
    versionNumber: c.version_number as number,
    enrolment: c.enrolment as string,
    hubUrl: c.hub_url as string,
    draining: c.draining as string | null,
    stopping: c.stopping as string | null,
    ending: c.ending as LaunchEnding | null,
    exitStatus: c.exit_status as number | null,
    message: c.message as string,
    madeAt: c.made_at as number,
    deadlineAt: c.deadline_at as number,
    endedAt: c.ended_at as number | null,
  }
}

function creditTotal(c: Columns): CreditTotal {
  return {
    slotMs: c.slot_ms as number,
    results: c.results as number,
    average: c.average as number,
    averageAt: c.average_at as number,
  }
}

function ledgerLine(c: Columns): LedgerLine {
  return {
    campaign: c.campaign as CampaignId,
    index: c.idx as number,
    attempt: c.attempt as number,
    account: c.account as string,
    node: c.node as NodeId,
    slotMs: c.slot_ms as number,
    at: c.at as number,
    sequence: c.sequence as number,
    hash: bytes(c.hash),
  }
}
