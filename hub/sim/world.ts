// A whole project in one process and in virtual time: the production engine and core on a store that can crash, agents'
// production cores on volunteers' machines, a network and clients that have bad days. One seed decides everything.
import type { AttemptName, RunSpec } from "../../agent/core/model.ts"
import type { Digest } from "../../proto/wire/digest.ts"
import type { FullOffer } from "../core/effects.ts"
import type { CahError } from "../core/errors.ts"
import { violations } from "../core/invariants.ts"
import type { CampaignId, NodeId } from "../core/model.ts"
import type { Committed, Log, Order, Store } from "../core/ports.ts"
import type { RowWrite, Write } from "../core/rows.ts"
import { step } from "../core/step.ts"
import { HubEngine } from "../engine.ts"
import { Retention } from "../retention.ts"
import { brokenCore, speaksTooEarly, withoutRescue } from "./broken.ts"
import { Checkers } from "./checkers.ts"
import { Disk, type SimulatedStore } from "./disk.ts"
import { type Faults, faultsOf } from "./faults.ts"
import { Network } from "./network.ts"
import { fairShares, type Planned, planFair, planOrders } from "./orders.ts"
import { Random } from "./random.ts"
import { Restarts } from "./restarts.ts"
import { retryNowAndThen } from "./retrying.ts"
import type { Report, Setting } from "./setting.ts"
import { Starvation } from "./starvation.ts"
import { VirtualTime, VirtualTimer } from "./time.ts"
import { Volunteer, type Work } from "./volunteer.ts"

const hour = 3_600_000
/** What peace may take: every attempt may have to be lost once more, with its walltime and its back-off. */
const peaceMs = 96 * hour
/** In a small world the invariants are looked at after every tick. */
const smallWorld = 200
const silent: Log = { debug() {}, info() {}, warn() {}, error() {} }

export async function simulate(setting: Setting): Promise<Report> {
  const world = new World(setting)
  return world.run()
}

class World {
  private readonly setting: Setting
  private readonly faults: Faults
  private readonly time = new VirtualTime()
  private readonly random: Random
  private readonly checkers = new Checkers()
  private readonly network: Network
  private readonly volunteers: Volunteer[]
  private readonly disk: Disk
  private readonly store: SimulatedStore
  private readonly unsettled: { writes: Write[]; pending: boolean }[] = []
  private engine: HubEngine | null = null
  private timer: VirtualTimer
  private wallJumpMs = 0
  private peace = false
  private unanswered = 0
  private readonly ids = new Map<string, CampaignId>()
  private runs = 0
  private hubCrashes = 0
  private sick = 0
  private readonly restarts: Restarts
  private readonly meanRunMs: number
  private readonly starvation: Starvation

  constructor(setting: Setting) {
    this.setting = setting
    this.faults = faultsOf(setting.faults)
    this.random = new Random(setting.seed)
    this.network = new Network(this.time, new Random(setting.seed, 1), this.faults)
    this.timer = new VirtualTimer(this.time)
    const pace = new Random(setting.seed, 2)
    this.disk = new Disk(setting.store, {
      // In one world a journal that is put away all the time, in the next one that grows until the hub starts anew.
      ...(setting.seed % 2 === 0 ? { journal: { keptCharacters: 20_000, putAwayRows: 5 } } : {}),
      wallMs: () => this.wallMs(),
      defer: run => this.time.after(pace.between(1, 20), run),
    })
    this.store = this.disk.store
    this.restarts = new Restarts(new Random(setting.seed, 3), this.faults.restart)
    const slots = Array.from({ length: setting.agents }, () => this.random.whole(1, 4))
    this.volunteers = slots.map((count, i) => new Volunteer(this.surroundings(), setting.seed, i, count))
    const slotHours = slots.reduce((sum, count) => sum + count, 0) * setting.hours
    // Fair shares show when everybody wants more than there is.
    this.meanRunMs = Math.max(1_000, (slotHours * hour * (setting.fair ? 3 : 0.4)) / setting.jobs)
    this.starvation = new Starvation(this.walltimeMs())
  }

  async run(): Promise<Report> {
    try {
      return await this.live()
    } catch (thrown) {
      // A hub that does not start again, above all.
      this.checkers.rest(`the world ended: ${thrown instanceof Error ? thrown.message : String(thrown)}`)
      return this.report({}, {})
    } finally {
      await this.disk.remove()
    }
  }

  private async live(): Promise<Report> {
    const { hours, fair } = this.setting
    if (fair) await this.remember()
    this.hubUp()
    this.plan()
    await this.time.run((hours * hour) / 2, () => this.ended())
    const before = this.used()
    await this.time.run(hours * hour, () => this.ended())
    const after = this.used()
    const used = Object.fromEntries([...after].map(([owner, all]) => [owner, all - (before.get(owner) ?? 0)]))
    // The rest of three days' work for one says nothing more.
    if (fair) for (const id of this.ids.values()) this.cancel(id, 0, this.store.campaign(id)!.total - 1)
    this.calm()
    await this.time.run(hours * hour + peaceMs, () => this.ended() && this.resting())
    if (!this.resting()) for (const what of this.restless()) this.checkers.rest(what)
    this.checkers.finish(this.store, campaign => this.engine?.explain(campaign, null)?.sentence ?? "no reason is known")
    const outcomes: Record<string, number> = {}
    for (const { counts } of this.store.campaigns({ owner: null, before: 0, limit: 1e6, live: false })) {
      for (const [key, count] of Object.entries(counts)) outcomes[key] = (outcomes[key] ?? 0) + count
    }
    return this.report(outcomes, used)
  }

  private report(outcomes: Report["outcomes"], used: Report["used"]): Report {
    return {
      violations: this.checkers.violations,
      hash: this.checkers.hash(),
      virtualHours: this.time.nowMs / hour,
      moves: this.checkers.moves,
      losses: this.checkers.losses,
      runs: this.runs,
      rescues: this.checkers.rescues,
      hubCrashes: this.hubCrashes,
      sick: this.sick,
      forgotten: this.checkers.forgotten,
      retried: this.checkers.retried,
      outcomes,
      longestWaitMs: this.starvation.longestMs,
      used,
    }
  }

  /** What the owners of a fair world have used before it began, and what they may expect. */
  private async remember(): Promise<void> {
    const at = this.wallMs()
    const writes = fairShares.flatMap(([owner, share, coreSeconds]): Write[] => [
      { kind: "usage", row: { owner, project: "", bestEffort: false, coreSeconds, at } },
      { kind: "share", owner, share },
    ])
    this.store.commit(writes, () => {})
    await this.time.run(1_000, () => false)
  }

  private used(): Map<string, number> {
    const used = new Map<string, number>()
    for (const { owner, totals } of this.store.campaigns({ owner: null, before: 0, limit: 1e6, live: false })) {
      used.set(owner, (used.get(owner) ?? 0) + totals.coreMs / 1_000)
    }
    return used
  }

  private wallMs(): number {
    return 1_700_000_000_000 + this.time.nowMs + this.wallJumpMs
  }

  private surroundings() {
    return {
      network: this.network,
      work: (name: AttemptName) => this.work(name),
      ran: (name: AttemptName, node: NodeId) => {
        this.runs++
        this.checkers.ran(name.campaign, name.index, name.attempt, node)
      },
      answered: (name: AttemptName, outcome: string) => {
        this.checkers.answered(name.campaign, name.index, name.attempt, outcome)
      },
      storeBlob: (digest: Digest, sizeBytes: number, stored: () => void) => {
        const { engine } = this
        if (engine === null) return
        this.time.follow(engine.commit([{ kind: "blob", digest, sizeBytes }]), stored, () => {})
      },
    }
  }

  /** Mostly the same for every attempt at a job: some fail, a few would run for ever. What is tried again goes well in the end. */
  private work(name: AttemptName): Work {
    const chance = new Random(this.setting.seed, name.campaign * 1_000_003 + name.index)
    const endless = chance.chance(this.faults.endless)
    const runMs = endless
      ? Number.MAX_SAFE_INTEGER / 2
      : Math.min(chance.exponential(this.meanRunMs), 2 * this.meanRunMs)
    const fails = chance.chance(this.faults.failing) && !(this.faults.retry > 0 && name.attempt > 5)
    return { runMs: runMs + 1, exitCode: fails ? 1 : 0, hasOutput: chance.chance(0.8) }
  }

  private walltimeMs(): number {
    return Math.ceil(this.meanRunMs * 11)
  }

  // ---- the hub ------------------------------------------------------------------------------------------------

  private hubUp(): void {
    const { time, checkers, setting } = this
    const timer = new VirtualTimer(time)
    this.timer = timer
    const engine = new HubEngine({
      store: this.recorded(this.store),
      clock: { nowMs: () => time.nowMs, wallMs: () => this.wallMs() },
      timer,
      log: {
        ...silent,
        error: (fields, message) => checkers.rest(`the hub logged: ${message} ${String(fields.error ?? "")}`),
      },
      decide: setting.broken !== null ? brokenCore(setting.broken) : setting.rescue ? step : withoutRescue,
      observe: ({ moves }) => {
        checkers.record(time.nowMs, moves)
        if (setting.agents * Math.sqrt(setting.jobs) > smallWorld * 10) return
        for (const violation of violations(engine.peek())) checkers.rest(violation)
      },
    })
    this.engine = engine
    checkers.hubBegins()
    this.network.hub = { post: event => engine.post(event), specOf: offer => this.specOf(offer) }
    engine.start(this.network)
    this.tidy(engine)
  }

  /** Old campaigns, as long as this hub lives. */
  private tidy(engine: HubEngine): void {
    const { time, store, faults } = this
    const retention = new Retention({
      store,
      clock: { nowMs: () => time.nowMs, wallMs: () => this.wallMs() },
      timer: { soon: () => {}, at: () => () => {} },
      log: silent,
      commit: writes => engine.commit(writes),
      isNeeded: () => false,
      keepMs: Number.isFinite(faults.keepMs) ? faults.keepMs : null,
      doubt: () => null,
    })
    const look = () => {
      if (this.engine !== engine) return
      time.follow(
        retention.forgetOld(),
        () => {},
        () => {},
      )
      time.after(20 * 60_000, look)
    }
    if (faults.forget > 0) look()
  }

  private hubDown(): void {
    if (this.engine === null) return
    this.hubCrashes++
    this.engine = null
    this.timer.kill()
    this.time.abandon()
    this.network.hubDown()
    // Of the transactions under way some reached the disk, in order; nobody was told of any.
    const pending = this.unsettled.filter(batch => batch.pending)
    const reached = this.random.whole(0, pending.length)
    for (const batch of pending.slice(0, reached)) this.checkers.onDisk(batch.writes)
    this.store.crash(reached)
    this.unsettled.length = 0
    this.time.after(this.random.between(500, this.faults.hubDownMs), () => this.hubUp())
  }

  /** The store, with a witness to what gets to disk. */
  private recorded(store: SimulatedStore): Store {
    const eager = speaksTooEarly(this.setting.broken)
    return new Proxy<Store>(store, {
      get: (target, name) => {
        if (name !== "commit") {
          const value: unknown = Reflect.get(target, name, target)
          return typeof value === "function" ? value.bind(target) : value
        }
        return (writes: Write[], done: Committed, apart: readonly (readonly RowWrite[])[] = []) => {
          const batch = { writes: [...writes, ...apart.flat()], pending: true }
          this.unsettled.push(batch)
          target.commit(
            writes,
            (error, refused) => {
              batch.pending = false
              this.unsettled.splice(this.unsettled.indexOf(batch), 1)
              if (error !== null) this.checkers.rest(`the store refused a transaction: ${error.message}`)
              else this.checkers.onDisk(batch.writes)
              for (const why of refused.values()) this.checkers.rest(`the store refused rows: ${why.message}`)
              const killed = !this.peace && error === null ? this.restarts.after(batch.writes) : null
              if (!eager && killed !== "before it speaks") done(error, refused)
              if (killed !== null) this.hubDown()
            },
            apart,
          )
          if (eager) this.time.after(0, () => done(null, new Map()))
        }
      },
    })
  }

  private specOf(offer: FullOffer): RunSpec {
    return {
      owner: offer.owner,
      campaignName: "",
      project: "",
      command: ["true"],
      env: {},
      stagein: null,
      gather: false,
      inside: offer.inside,
      stageout: [],
      requireStageout: false,
      walltimeMs: this.walltimeMs(),
      graceMs: 5_000,
      property: "",
      needs: { slots: 1, memoryBytes: 1e6, diskBytes: 1e6 },
      line: null,
      arraySize: offer.total,
    }
  }

  // ---- what happens, and when -----------------------------------------------------------------------------------

  private plan(): void {
    const { random, time, faults } = this
    const span = this.setting.hours * hour
    this.repeat(faults.hubCrashMs, () => this.hubDown())
    this.repeat(faults.clockJumpMs, () => {
      this.wallJumpMs += Math.round(random.between(-1, 1) * 24 * hour)
    })
    for (const volunteer of this.volunteers) this.planVolunteer(volunteer, span)
    const around = {
      random,
      faults,
      jobs: this.setting.jobs,
      spanMs: span,
      walltimeMs: this.walltimeMs(),
      slotsMax: Math.max(...this.volunteers.map(({ slots }) => slots)),
      wallMs: this.wallMs(),
    }
    for (const planned of this.setting.fair ? planFair(around) : planOrders(around)) {
      this.unanswered++
      time.after(planned.atMs, () => this.submit(planned))
    }
    this.lookAtTurns()
  }

  /** Whether anybody is passed over for ever. */
  private lookAtTurns(): void {
    this.time.after(10 * 60_000, () => {
      if (this.engine === null) this.starvation.forget()
      else for (const found of this.starvation.look(this.engine.peek(), this.time.nowMs)) this.checkers.rest(found)
      this.lookAtTurns()
    })
  }

  private planVolunteer(volunteer: Volunteer, span: number): void {
    const { time, faults } = this
    const { random } = volunteer
    if (random.chance(faults.slow)) volunteer.slowness = 5
    // Of chance of its own: the worlds of older seeds stay what they are.
    if (new Random(this.setting.seed, volunteer.number + 2_000_000).chance(faults.sick)) this.fallsSick(volunteer)
    time.after(random.between(0, 60_000), () => volunteer.switchOn())
    const comeAndGo = () => {
      time.after(random.exponential(faults.onMs), () => {
        if (this.peace) return
        volunteer.kill({ reboot: true, wipe: false })
        time.after(random.exponential(faults.offMs), () => {
          volunteer.switchOn()
          comeAndGo()
        })
      })
    }
    if (Number.isFinite(faults.onMs)) comeAndGo()
    this.repeat(
      faults.agentCrashMs,
      () => {
        volunteer.kill({ reboot: random.chance(0.3), wipe: random.chance(faults.wipe) })
        time.after(random.between(1_000, 60_000), () => volunteer.switchOn())
      },
      random,
    )
    this.repeat(faults.suspendMs, () => volunteer.suspend(random.exponential(20 * 60_000)), random)
    this.repeat(faults.halfOpenMs, () => volunteer.breakLink(), random)
    if (random.chance(faults.revoke)) time.after(random.between(0, span), () => this.revoke(volunteer))
  }

  private fallsSick(volunteer: Volunteer): void {
    volunteer.sick = true
    this.sick++
  }

  private repeat(meanMs: number, happen: () => void, random = this.random): void {
    if (!Number.isFinite(meanMs)) return
    this.time.after(random.exponential(meanMs), () => {
      if (this.peace) return
      happen()
      this.repeat(meanMs, happen, random)
    })
  }

  /** Faults stop; every machine that is off is switched on. */
  private calm(): void {
    this.peace = true
    // Somebody sets the clock right.
    this.wallJumpMs = 0
    const { delayMs, ...rest } = faultsOf("none")
    this.network.faults = { ...rest, delayMs }
    for (const volunteer of this.volunteers) volunteer.switchOn()
  }

  // ---- clients --------------------------------------------------------------------------------------------------

  /** As a client does it: with one key, again and again, until there is an answer. */
  private submit(planned: Planned): void {
    const { engine, time } = this
    const { order: given, after, within } = planned
    let answered = false
    const again = () => {
      if (!answered) this.submit(planned)
      answered = true
    }
    const other = after === null ? null : (this.ids.get(after.key) ?? null)
    const inside = within === null ? null : (this.ids.get(within) ?? null)
    if (engine === null || (after !== null && other === null) || (within !== null && inside === null)) {
      time.after(this.random.between(1_000, 30_000), again)
      return
    }
    const waitsFor = other === null ? [] : this.waitsFor(other, after!.success)
    const order = { ...given, waitsFor, rules: { ...given.rules, inside } }
    const earlier = this.store.campaignByKey(order.owner, order.key)
    const reply =
      earlier === null || earlier.endedAt === null
        ? engine.submit(order)
        : Promise.resolve({ campaign: earlier.id, jobs: earlier.total, existed: true })
    time.follow(
      reply,
      ({ campaign, jobs }) => {
        if (answered) return
        answered = true
        this.checkers.submitted({ key: order.key, campaign, jobs }, this.store)
        this.ids.set(order.key, campaign)
        if (other !== null) this.checkers.waits(campaign, [other])
        // A lost answer: the client asks once more, and must get the same campaign.
        if (this.random.chance(0.2) && !this.peace)
          time.after(this.random.between(0, 60_000), () => this.submit(planned))
        else this.submitted(campaign, jobs)
      },
      (error: unknown) => {
        const { code } = error as CahError
        if (code === "failed_precondition" && within !== null) {
          // Its container has ended: there is nothing to be done.
          if (!answered) this.unanswered--
          answered = true
          return
        }
        if (code !== "unavailable" && code !== "aborted") this.checkers.rest(`submit: ${String(error)}`)
        again()
      },
    )
    time.after(30_000, again)
  }

  /** As the front does it: what has ended is not waited for. */
  private waitsFor(campaign: CampaignId, success: boolean): Order["waitsFor"] {
    return this.store.campaign(campaign)?.endedAt === null ? [{ campaign, success }] : []
  }

  private hold(campaign: CampaignId): void {
    const { engine, time } = this
    if (engine === null || this.peace) return
    const ignore = () => {}
    time.follow(engine.hold(campaign, true), ignore, ignore)
    const resume = () => {
      const { engine: now } = this
      // The hub may be down, or die before the answer: once more in peace makes sure.
      if (now === null) time.after(60_000, resume)
      else time.follow(now.hold(campaign, false), ignore, ignore)
    }
    time.after(this.random.exponential(30 * 60_000), resume)
    time.after(this.setting.hours * hour + 10 * 60_000, resume)
  }

  private holdJobs(campaign: CampaignId, jobs: number): void {
    const { engine, time, random } = this
    if (engine === null || this.peace) return
    const first = random.whole(0, jobs - 1)
    const range = { first, last: Math.min(jobs - 1, first + random.whole(0, 20)) }
    const ignore = () => {}
    const held = () => this.checkers.jobsHeld(campaign, range, this.store)
    time.follow(engine.holdJobs(campaign, [range], true), held, ignore)
    const resume = () => {
      const { engine: now } = this
      if (now === null) time.after(60_000, resume)
      else time.follow(now.holdJobs(campaign, [range], false), ignore, ignore)
    }
    time.after(random.exponential(30 * 60_000), resume)
    time.after(this.setting.hours * hour + 10 * 60_000, resume)
  }

  private submitted(campaign: CampaignId, jobs: number): void {
    const { random, time, faults, setting } = this
    this.unanswered--
    const span = setting.hours * hour
    if (random.chance(faults.rules)) time.after(random.between(0, span / 2), () => this.hold(campaign))
    if (random.chance(faults.kinds)) time.after(random.between(0, span / 2), () => this.holdJobs(campaign, jobs))
    if (random.chance(faults.forget)) time.after(random.exponential(hour / 6), () => this.forget(campaign))
    // Of chance of its own: the worlds of older seeds stay what they are.
    const retries = new Random(setting.seed, campaign + 3_000_000)
    if (retries.chance(faults.retry)) retryNowAndThen(this.around(), campaign, jobs, retries)
    if (random.chance(faults.cancelCampaign))
      time.after(random.between(0, span), () => this.cancel(campaign, 0, jobs - 1))
    for (let i = 0; i < Math.min(50, jobs * faults.cancelJob); i++) {
      const first = random.whole(0, jobs - 1)
      const last = Math.min(jobs - 1, first + random.whole(0, 3))
      time.after(random.between(0, span), () => this.cancel(campaign, first, last))
    }
  }

  private around() {
    const { time, store, checkers } = this
    return { time, store, checkers, engine: () => (this.peace ? null : this.engine), isPeace: () => this.peace }
  }

  /** Once it has ended, as the front does it. */
  private forget(campaign: CampaignId): void {
    const { engine, time, store } = this
    const row = store.campaign(campaign)
    if (this.peace || row === null) return
    if (engine === null || row.endedAt === null) {
      time.after(this.random.between(60_000, hour / 6), () => this.forget(campaign))
      return
    }
    time.follow(
      engine.commit([{ kind: "forgetCampaign", campaign, at: this.wallMs() }]),
      () => {},
      () => {},
    )
  }

  private cancel(campaign: CampaignId, first: number, last: number): void {
    const { engine, time } = this
    if (engine === null || this.peace) return
    time.follow(
      engine.cancel(campaign, [{ first, last }]),
      () => this.checkers.cancelled(campaign, first, last, this.store),
      () => {},
    )
  }

  private revoke(volunteer: Volunteer): void {
    const { engine, time } = this
    if (engine?.node(volunteer.node) == null || this.peace) return
    time.follow(
      engine.revokeNode(volunteer.node),
      () => {
        this.checkers.nodeRevoked(volunteer.node, this.store)
        volunteer.revoked = true
      },
      () => {},
    )
  }

  // ---- the end --------------------------------------------------------------------------------------------------

  private ended(): boolean {
    return this.unanswered === 0 && this.engine !== null && this.engine.peek().campaigns.size === 0 && this.settled()
  }

  private settled(): boolean {
    return this.unsettled.length === 0
  }

  private resting(): boolean {
    return this.restless().length === 0
  }

  private restless(): string[] {
    const found: string[] = []
    for (const volunteer of this.volunteers) {
      // By a revocation on disk, too, of which a hub that was killed told nobody.
      if (volunteer.revoked || this.engine?.node(volunteer.node)?.revoked === true) continue
      if (!volunteer.connected) found.push(`L2: ${volunteer.node} is not connected`)
      if (volunteer.busy > 0)
        found.push(`L4: ${volunteer.node} is busy with ${volunteer.busy} attempts that nobody wants`)
      const held = this.engine?.node(volunteer.node)?.held.size ?? 0
      if (held > 0) found.push(`L4: the hub believes that ${volunteer.node} holds ${held} attempts`)
    }
    return found
  }
}
