// Volunteers' computers and what was handed to them, as they change: made, ended, stopped, started again, forgotten. Whatever a
// front tells a computer or its volunteer is on disk before. Changes of one volunteer's computers take turns.
import { randomBytes } from "node:crypto"
import { Turns } from "../../common/turns.ts"
import type { Enrolments } from "../auth/enrolments.ts"
import type { HubKey } from "../auth/key.ts"
import { secretOf } from "../auth/secret.ts"
import { CahError } from "../core/errors.ts"
import type { NodeId } from "../core/model.ts"
import type { Clock, Engine, StoreReader } from "../core/ports.ts"
import type { RowWrite } from "../core/rows.ts"
import {
  accountOf,
  type HostId,
  type HostRow,
  type LaunchId,
  type LaunchRow,
  type VolunteerId,
  type VolunteerRow,
} from "../core/volunteers.ts"
import { HOST_QUIET_MS, HOSTS_PER_VOLUNTEER_MAX, LAUNCH_DEADLINE_MS, LAUNCH_ENROLMENT_MS } from "../limits.ts"

export interface ComputerParts {
  readonly store: Pick<StoreReader, "volunteers">
  readonly engine: Pick<Engine, "commit" | "node" | "revokeNode" | "drainNode">
  readonly enrolments: Pick<Enrolments, "forLaunch" | "withdraw">
  readonly clock: Clock
  readonly key: HubKey
}

/** What a computer's client tells of it. */
export interface Told {
  /** By which the client knows the computer. */
  readonly cpid: string
  readonly name: string
  readonly facts: Readonly<Record<string, string>>
  /** Calls so far, since it began to count. */
  readonly sequence: number
  readonly clientStarted: number
}

/** What becomes of a computer that called. */
export interface Settlement {
  readonly host: HostRow
  /** Its launch, if it has one, and as it was before. */
  readonly launch: LaunchRow | null
  readonly launchBefore: LaunchRow | null
  /** Another launch, made just now. */
  readonly made: MadeLaunch | null
  /** Whether its node takes further jobs; null: as it is. */
  readonly drain: boolean | null
}

export interface MadeLaunch {
  readonly launch: LaunchRow
  readonly writes: readonly RowWrite[]
}

export class Computers {
  readonly #parts: ComputerParts
  readonly #turns = new Turns()
  #lastHost: number
  #lastLaunch: number

  constructor(parts: ComputerParts) {
    this.#parts = parts
    const last = parts.store.volunteers.lastIds()
    this.#lastHost = last.host
    this.#lastLaunch = last.launch
  }

  /** What reads and then changes computers of this volunteer; never two at once. */
  inTurn<T>(volunteer: VolunteerId, work: () => Promise<T>): Promise<T> {
    return this.#turns.take(String(volunteer), work)
  }

  /** A new record. CahError resource_exhausted when the account has too many. */
  newHost(volunteer: VolunteerId, told: Told): HostRow {
    if (this.#parts.store.volunteers.hostsOf(volunteer).length >= HOSTS_PER_VOLUNTEER_MAX) {
      const message = `this account has ${HOSTS_PER_VOLUNTEER_MAX} computers already: please make another account`
      throw new CahError("resource_exhausted", message, { retry: "never" })
    }
    const nowMs = this.#parts.clock.wallMs()
    const row = {
      id: ++this.#lastHost as HostId,
      volunteer,
      title: "",
      stopped: false,
      removed: false,
      mergedInto: null,
      barred: false,
      failures: 0,
      notBefore: 0,
      createdAt: nowMs,
    }
    return this.heard(
      { ...row, cpid: "", sequence: 0, clientStarted: 0, name: "", facts: {}, heardAt: nowMs },
      { ...told, sequence: 0 },
    )
  }

  /** The record with what its client tells. */
  heard(row: HostRow, { cpid, name, facts, sequence, clientStarted }: Told): HostRow {
    const heardAt = this.#parts.clock.wallMs()
    return { ...row, cpid, name, facts: { ...facts }, sequence, clientStarted, removed: false, heardAt }
  }

  /** A launch for the host, and what else has to be committed with it. */
  newLaunch(
    volunteer: VolunteerId,
    host: HostId,
    chosen: { planClass: string; versionNumber: number; hubUrl: string },
  ): MadeLaunch {
    const nowMs = this.#parts.clock.wallMs()
    const launch: LaunchRow = {
      id: ++this.#lastLaunch as LaunchId,
      host,
      secretName: randomBytes(16).toString("hex"),
      planClass: chosen.planClass,
      versionNumber: chosen.versionNumber,
      enrolment: randomBytes(8).toString("hex"),
      hubUrl: chosen.hubUrl,
      draining: null,
      stopping: null,
      ending: null,
      exitStatus: null,
      message: "",
      madeAt: nowMs,
      deadlineAt: nowMs + LAUNCH_DEADLINE_MS,
      endedAt: null,
    }
    const secret = this.#secretOf(launch)
    const { enrolments } = this.#parts
    const enrolment = enrolments.forLaunch(secret, accountOf(volunteer), launch.id, LAUNCH_ENROLMENT_MS)
    return { launch, writes: [{ kind: "launch", row: launch }, enrolment] }
  }

  /** All of it in one transaction, then what its node hears of it. Says whether the launch is over: it has ended, or shall end. */
  async settle({ host, launch, launchBefore, made, drain }: Settlement): Promise<boolean> {
    const changed = launch === launchBefore ? null : launch
    const isOver = changed !== null && (changed.endedAt !== null || changed.stopping !== null)
    await this.#parts.engine.commit([
      { kind: "host", row: host },
      ...(changed === null ? [] : [{ kind: "launch", row: changed } as const]),
      ...(isOver ? this.#withdraw(changed) : []),
      ...(made?.writes ?? []),
    ])
    if (isOver) await this.#revokeNodeOf(changed)
    if (drain !== null && launch !== null) await this.#drainNodeOf(launch, drain)
    return isOver
  }

  /** The launch's input file, the same bytes each time: where the hub is, and how the virtual machine joins it, once. */
  inputOf(launch: LaunchRow): Buffer {
    const { secret: enrolToken } = this.#secretOf(launch)
    const input = { format: 1, hub: launch.hubUrl, enrolToken, name: `host-${launch.host}`, caPem: null }
    return Buffer.from(`${JSON.stringify(input)}\n`)
  }

  #secretOf({ id, enrolment }: LaunchRow) {
    return secretOf("cahjoin", enrolment, this.#parts.key.derive("enrolment", String(id), enrolment))
  }

  /** To be committed with a launch that ends or shall end: nobody joins by it any more. */
  #withdraw(launch: LaunchRow): RowWrite[] {
    return this.#parts.enrolments.withdraw(launch.enrolment)
  }

  nodeOf(launch: LaunchRow): NodeId | null {
    return this.#parts.store.volunteers.launchTally(launch.id).node
  }

  /** The launch's node works no more from this moment on, and what it had goes to others. After the launch's row is on disk. */
  async #revokeNodeOf(launch: LaunchRow): Promise<void> {
    const node = this.nodeOf(launch)
    if (node !== null && this.#parts.engine.node(node)?.revoked === false) await this.#parts.engine.revokeNode(node)
  }

  /** It takes no further jobs, or takes them again. */
  async #drainNodeOf(launch: LaunchRow, drained: boolean): Promise<void> {
    const node = this.nodeOf(launch)
    const known = node === null ? null : this.#parts.engine.node(node)
    if (known !== null && known.drained !== drained && !known.revoked) {
      await this.#parts.engine.drainNode(known.id, drained)
    }
  }

  // ---- what volunteers do on their page ----

  /** Stops at once: the work goes to others now, the virtual machine is put away when the computer next calls. */
  stop(volunteer: VolunteerId, host: HostId): Promise<void> {
    return this.inTurn(volunteer, async () => {
      const row = this.#own(volunteer, host)
      if (row.stopped) return
      const launch = this.#parts.store.volunteers.liveLaunch(host)
      const ending: RowWrite[] =
        launch === null
          ? []
          : [
              {
                kind: "launch",
                row: { ...launch, stopping: launch.stopping ?? "You pressed stop on the hub's page." },
              },
              ...this.#withdraw(launch),
            ]
      await this.#parts.engine.commit([{ kind: "host", row: { ...row, stopped: true } }, ...ending])
      if (launch !== null) await this.#revokeNodeOf(launch)
    })
  }

  /** It gets work again when it next calls. */
  start(volunteer: VolunteerId, host: HostId): Promise<void> {
    return this.inTurn(volunteer, async () => {
      const row = this.#own(volunteer, host)
      await this.#parts.engine.commit([{ kind: "host", row: { ...row, stopped: false, failures: 0, notBefore: 0 } }])
    })
  }

  /** A name of the volunteer's own for it; "" for that which its client says. */
  rename(volunteer: VolunteerId, host: HostId, title: string): Promise<void> {
    return this.inTurn(volunteer, async () => {
      await this.#parts.engine.commit([{ kind: "host", row: { ...this.#own(volunteer, host), title } }])
    })
  }

  /** Off the list, until it calls again. CahError failed_precondition while it works here. */
  remove(volunteer: VolunteerId, host: HostId): Promise<void> {
    return this.inTurn(volunteer, async () => {
      const row = this.#own(volunteer, host)
      await this.#endLost(row, [{ kind: "host", row: { ...row, removed: true } }])
    })
  }

  /**
   * The volunteer says that this one is the same computer as the other: it goes on as that, with what both have given. CahError
   * failed_precondition while it works here, for then they are two.
   */
  merge(volunteer: VolunteerId, host: HostId, into: HostId): Promise<void> {
    return this.inTurn(volunteer, async () => {
      const [row, other] = [this.#own(volunteer, host), this.#own(volunteer, into)]
      if (row.id === other.id || row.mergedInto !== null || other.mergedInto !== null) {
        throw new CahError(
          "failed_precondition",
          "please choose another of your computers, which this one is the same as",
        )
      }
      // Those that were merged into it before come along: never a chain of them.
      const moved = this.#parts.store.volunteers.hostsOf(volunteer).filter(({ mergedInto }) => mergedInto === host)
      const all = [row, ...moved].map(each => ({ ...each, mergedInto: into }))
      await this.#endLost(
        row,
        all.map(each => ({ kind: "host", row: each })),
      )
    })
  }

  /** Whatever was handed to a computer that is silent is over. */
  async #endLost(row: HostRow, also: RowWrite[]): Promise<void> {
    const nowMs = this.#parts.clock.wallMs()
    const launch = this.#parts.store.volunteers.liveLaunch(row.id)
    if (launch === null) {
      await this.#parts.engine.commit(also)
      return
    }
    if (nowMs - row.heardAt < HOST_QUIET_MS) {
      const why =
        "this computer still works here: remove this project in its BOINC first, then try again in half an hour"
      throw new CahError("failed_precondition", why)
    }
    const over: LaunchRow = {
      ...launch,
      ending: "lost",
      endedAt: nowMs,
      message: "Its volunteer took the computer off the list.",
    }
    await this.#parts.engine.commit([...also, { kind: "launch", row: over }, ...this.#withdraw(launch)])
    await this.#revokeNodeOf(launch)
  }

  /** What must go, and be committed together with the account's own row; then the nodes. */
  async forget(volunteer: VolunteerRow, commit: (writes: RowWrite[]) => Promise<unknown>): Promise<void> {
    await this.inTurn(volunteer.id, async () => {
      const nowMs = this.#parts.clock.wallMs()
      const { volunteers } = this.#parts.store
      const hosts = volunteers.hostsOf(volunteer.id)
      const writes: RowWrite[] = []
      const live: LaunchRow[] = []
      for (const host of hosts) {
        writes.push({ kind: "host", row: { ...host, cpid: "", name: "", title: "", facts: {}, stopped: true } })
        for (const launch of volunteers.launchesOf(host.id, Number.MAX_SAFE_INTEGER)) {
          if (launch.endedAt === null) {
            live.push(launch)
            writes.push(...this.#withdraw(launch))
            const over = { stopping: "The account was deleted.", ending: "aborted", endedAt: nowMs } as const
            writes.push({ kind: "launch", row: { ...launch, ...over, message: "" } })
          } else if (launch.message !== "") writes.push({ kind: "launch", row: { ...launch, message: "" } })
        }
      }
      await commit(writes)
      for (const launch of live) await this.#revokeNodeOf(launch)
    })
  }

  #own(volunteer: VolunteerId, host: HostId): HostRow {
    const row = this.#parts.store.volunteers.host(host)
    if (row === null || row.volunteer !== volunteer)
      throw new CahError("not_found", "there is no such computer of yours")
    return row
  }
}
