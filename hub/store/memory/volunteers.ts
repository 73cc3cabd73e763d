// Volunteers in memory: the part of memory.ts that fronts for volunteers need, held to the same suite as SQLite's.
import { faded, noCredit, toAverage } from "../../core/credit.ts"
import type { NodeId } from "../../core/model.ts"
import type {
  CreditRow,
  CreditTotal,
  HostId,
  HostRow,
  LaunchId,
  LaunchRow,
  LaunchTally,
  LedgerLine,
  VolunteerId,
  VolunteerReader,
  VolunteerRow,
  VolunteerWrite,
} from "../../core/volunteers.ts"
import { CHAIN_START, chained } from "../chain.ts"

type Undo = (() => void)[]

const noTally: LaunchTally = { node: null, bytesIn: 0, bytesOut: 0 }

export class MemoryVolunteers implements VolunteerReader {
  readonly #volunteers = new Map<VolunteerId, VolunteerRow>()
  readonly #hosts = new Map<HostId, HostRow>()
  readonly #launches = new Map<LaunchId, LaunchRow>()
  readonly #tallies = new Map<LaunchId, LaunchTally>()
  readonly #ledger: LedgerLine[] = []
  /** By campaign, index, attempt and account. */
  readonly #granted = new Set<string>()
  readonly #accounts = new Map<string, CreditTotal>()
  readonly #hostTotals = new Map<HostId, CreditTotal>()

  /** Throws on what SQLite's keys refuse; leaves behind how to take it back. */
  write(write: VolunteerWrite, undo: Undo): void {
    switch (write.kind) {
      case "volunteer": {
        const { row } = write
        const twin = row.email === null ? null : this.byEmail(row.email)
        if (twin !== null && twin.id !== row.id) throw new Error(`a second volunteer with the address of ${twin.id}`)
        const { createdAt } = this.#volunteers.get(row.id) ?? row
        return put(this.#volunteers, row.id, { ...row, createdAt }, undo)
      }
      case "host": {
        const { volunteer, createdAt } = this.#hosts.get(write.row.id) ?? write.row
        if (!this.#volunteers.has(volunteer)) throw new Error(`a host of volunteer ${volunteer}, who is not there`)
        const facts = { ...write.row.facts }
        return put(this.#hosts, write.row.id, { ...write.row, facts, volunteer, createdAt }, undo)
      }
      case "launch": {
        const before = this.#launches.get(write.row.id) ?? write.row
        if (!this.#hosts.has(before.host)) throw new Error(`a launch of host ${before.host}, which is not there`)
        const { draining, stopping, ending, exitStatus, message, deadlineAt, endedAt } = write.row
        const changed = { draining, stopping, ending, exitStatus, message, deadlineAt, endedAt }
        return put(this.#launches, write.row.id, { ...before, ...changed }, undo)
      }
      case "launchNode":
        if (!this.#launches.has(write.launch)) return
        return put(this.#tallies, write.launch, { ...this.launchTally(write.launch), node: write.node }, undo)
      case "traffic": {
        const launch = this.#launchOf(write.node)
        if (launch === null) return
        const { node, bytesIn, bytesOut } = this.launchTally(launch)
        const tally = { node, bytesIn: bytesIn + write.bytesIn, bytesOut: bytesOut + write.bytesOut }
        return put(this.#tallies, launch, tally, undo)
      }
      case "credit":
        return this.#append(write.row, undo)
    }
  }

  #append(row: CreditRow, undo: Undo): void {
    const key = `${row.campaign}.${row.index}#${row.attempt} ${row.account}`
    if (this.#granted.has(key)) throw new Error(`a second line in the ledger for ${key}`)
    this.#granted.add(key)
    undo.push(() => this.#granted.delete(key))
    const hash = chained(this.#ledger.at(-1)?.hash ?? CHAIN_START, row)
    this.#ledger.push({ ...row, sequence: this.#ledger.length + 1, hash })
    undo.push(() => this.#ledger.pop())
    put(this.#accounts, row.account, added(this.credit(row.account), row), undo)
    const launch = this.#launchOf(row.node)
    if (launch === null) return
    const { host } = this.#launches.get(launch)!
    put(this.#hostTotals, host, added(this.hostCredit(host), row), undo)
  }

  #launchOf(node: NodeId): LaunchId | null {
    for (const [id, tally] of this.#tallies) if (tally.node === node) return id
    return null
  }

  // ---- questions

  lastIds(): { volunteer: number; host: number; launch: number } {
    const last = (ids: Iterable<number>) => Math.max(0, ...ids)
    return {
      volunteer: last(this.#volunteers.keys()),
      host: last(this.#hosts.keys()),
      launch: last(this.#launches.keys()),
    }
  }

  volunteer(id: VolunteerId): VolunteerRow | null {
    return copy(this.#volunteers.get(id))
  }

  byEmail(email: string): VolunteerRow | null {
    return copy([...this.#volunteers.values()].find(row => row.email === email))
  }

  byKey(keyHash: Uint8Array): VolunteerRow | null {
    const live = [...this.#volunteers.values()].filter(row => row.forgottenAt === null)
    return copy(live.find(row => Buffer.compare(row.keyHash, keyHash) === 0))
  }

  volunteers(after: number, limit: number): VolunteerRow[] {
    return page(this.#volunteers, after, limit)
  }

  host(id: HostId): HostRow | null {
    return copy(this.#hosts.get(id))
  }

  hostsOf(volunteer: VolunteerId): HostRow[] {
    return page(this.#hosts, 0, Infinity).filter(row => row.volunteer === volunteer)
  }

  hosts(after: number, limit: number): HostRow[] {
    return page(this.#hosts, after, limit)
  }

  launch(id: LaunchId): LaunchRow | null {
    return copy(this.#launches.get(id))
  }

  launchTally(id: LaunchId): LaunchTally {
    return { ...(this.#tallies.get(id) ?? noTally) }
  }

  liveLaunch(host: HostId): LaunchRow | null {
    return this.launchesOf(host, Infinity).find(row => row.endedAt === null) ?? null
  }

  launchesOf(host: HostId, limit: number): LaunchRow[] {
    return page(this.#launches, 0, Infinity)
      .filter(row => row.host === host)
      .reverse()
      .slice(0, limit)
  }

  trafficOf(host: HostId): { bytesIn: number; bytesOut: number } {
    const sum = { bytesIn: 0, bytesOut: 0 }
    for (const { id } of this.launchesOf(host, Infinity)) {
      sum.bytesIn += this.launchTally(id).bytesIn
      sum.bytesOut += this.launchTally(id).bytesOut
    }
    return sum
  }

  credit(account: string): CreditTotal {
    return this.#accounts.get(account) ?? noCredit
  }

  hostCredit(host: HostId): CreditTotal {
    return this.#hostTotals.get(host) ?? noCredit
  }

  creditSum(): { slotMs: number; results: number } {
    const sum = { slotMs: 0, results: 0 }
    for (const { slotMs, results } of this.#accounts.values()) {
      sum.slotMs += slotMs
      sum.results += results
    }
    return sum
  }

  ledger(after: number, limit: number): LedgerLine[] {
    return this.#ledger.slice(after, after + limit).map(line => ({ ...line }))
  }
}

function added(total: CreditTotal, { slotMs, at }: CreditRow): CreditTotal {
  return {
    slotMs: total.slotMs + slotMs,
    results: total.results + 1,
    average: faded(total.average, at - total.averageAt) + toAverage(slotMs),
    averageAt: Math.max(total.averageAt, at),
  }
}

function put<K, V>(map: Map<K, V>, key: K, value: V, undo: Undo): void {
  const before = map.get(key)
  undo.push(() => void (before === undefined ? map.delete(key) : map.set(key, before)))
  map.set(key, value)
}

function copy<R extends object>(row: R | undefined): R | null {
  return row === undefined ? null : { ...row }
}

function page<R extends { id: number }>(rows: ReadonlyMap<number, R>, after: number, limit: number): R[] {
  return [...rows.values()]
    .filter(row => row.id > after)
    .sort((a, b) => a.id - b.id)
    .slice(0, limit)
    .map(row => ({ ...row }))
}
