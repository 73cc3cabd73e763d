// One campaign in the simulator, with as many volunteers as no machine here could run agents for: the production engine, core and
// agents' core in virtual time, on a store that forgets. Volunteers come and go by themselves, from a seed. How long the campaign
// takes is compared with what nobody could beat who does not know the future: the same jobs on the same volunteers, without any
// delay, with every departure known at once. The hub's own processor time is counted apart from that of the world around it.
//   node --import tsx bench/scale.ts '{"agents":…,"slots":…,"jobs":…,"comeAndGo":true}'
import type { AttemptName, RunSpec } from "../agent/core/model.ts"
import type { FullOffer } from "../hub/core/effects.ts"
import type { Links, Log, Order, Store, Timer } from "../hub/core/ports.ts"
import { noRules } from "../hub/core/rules.ts"
import { HubEngine } from "../hub/engine.ts"
import { faultsOf } from "../hub/sim/faults.ts"
import { Network } from "../hub/sim/network.ts"
import { Random } from "../hub/sim/random.ts"
import { VirtualTime, VirtualTimer } from "../hub/sim/time.ts"
import { Volunteer } from "../hub/sim/volunteer.ts"
import { MemoryStore } from "../hub/store/memory/memory.ts"
import type { Digest } from "../proto/wire/digest.ts"
import { idealMs } from "./ideal.ts"
import { Presence } from "./presence.ts"

export interface ScalePlan {
  readonly agents: number
  readonly slots: number
  readonly jobs: number
  readonly comeAndGo: boolean
}

export interface Scaled {
  /** From the submit to the last accepted end; of whom nothing delays. Virtual ms. */
  readonly makespanMs: number
  readonly idealMs: number
  /** All jobs' time, one after the other. */
  readonly workMs: number
  readonly losses: number
  /** Attempts offered. */
  readonly attempts: number
  readonly hubUsPerJob: number
}

const SEED = 1
const RUN_MIN_MS = 60_000
const RUN_MAX_MS = 120_000
/** As long as a commit takes on an ordinary disk. */
const COMMIT_MS = 5
/** The volunteers are there before the campaign is. */
const SUBMIT_AT_MS = 2 * 60_000
const NEVER_MS = 365 * 24 * 3_600_000
const nothing = (): void => {}
const silent: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing }

/** The same for every attempt at the job. Knuth's multiplicative hash spreads neighbours over the whole range. */
function runMsOf(index: number): number {
  return Math.floor(RUN_MIN_MS + ((index * 2_654_435_761) % 2 ** 32) * ((RUN_MAX_MS - RUN_MIN_MS) / 2 ** 32))
}

/** Processor time of the hub alone: entered by its timer and its store's answers, left when it calls the world. */
class Meter {
  #ns = 0n
  #sinceNs = 0n

  get us(): number {
    return Number(this.#ns) / 1e3
  }

  inside<T>(run: () => T): T {
    this.#sinceNs = process.hrtime.bigint()
    const value = run()
    this.#ns += process.hrtime.bigint() - this.#sinceNs
    return value
  }

  outside<T>(run: () => T): T {
    this.#ns += process.hrtime.bigint() - this.#sinceNs
    const value = run()
    this.#sinceNs = process.hrtime.bigint()
    return value
  }
}

class World {
  readonly #plan: ScalePlan
  readonly #time = new VirtualTime()
  readonly #meter = new Meter()
  readonly #network: Network
  readonly #ended: Uint8Array
  #endedCount = 0
  #losses = 0
  #attempts = 0

  constructor(plan: ScalePlan) {
    this.#plan = plan
    this.#network = new Network(this.#time, new Random(SEED, 1), faultsOf("none"))
    this.#ended = new Uint8Array(plan.jobs)
  }

  async run(): Promise<Scaled> {
    const { agents, slots, jobs } = this.#plan
    const engine = this.#hub()
    const presences = Array.from({ length: agents }, (_, i) => this.#presence(i))
    for (const [i, presence] of presences.entries()) this.#addVolunteer(i, presence)
    await this.#time.run(SUBMIT_AT_MS, () => false)
    this.#time.nowMs = SUBMIT_AT_MS
    const before = this.#meter.us
    this.#time.follow(engine.submit(orderOf(jobs)), nothing, (error: unknown) => {
      throw error
    })
    await this.#time.run(NEVER_MS, () => this.#endedCount === jobs)
    const makespanMs = this.#time.nowMs - SUBMIT_AT_MS
    if (this.#endedCount !== jobs)
      throw new Error(`of ${jobs} jobs ${this.#endedCount} have ended, and nothing is left to happen`)
    let workMs = 0
    for (let index = 0; index < jobs; index++) workMs += runMsOf(index)
    return {
      makespanMs,
      idealMs: idealMs({
        jobs,
        slots,
        runMsOf,
        startMs: SUBMIT_AT_MS,
        presences: presences.map((_, i) => this.#presence(i)),
      }),
      workMs,
      losses: this.#losses,
      attempts: this.#attempts,
      hubUsPerJob: (this.#meter.us - before) / jobs,
    }
  }

  #presence(number: number): Presence {
    return new Presence(new Random(SEED, 1_000_000 + number), this.#plan.comeAndGo)
  }

  #addVolunteer(number: number, presence: Presence): void {
    const surroundings = {
      network: this.#network,
      work: ({ index }: AttemptName) => ({ runMs: runMsOf(index), exitCode: 0, hasOutput: false, isBare: true }),
      storeBlob: nothing,
      ran: nothing,
      answered: nothing,
    }
    const volunteer = new Volunteer(surroundings, SEED, number, this.#plan.slots)
    const time = this.#time
    const next = () => {
      const { fromMs, untilMs } = presence.next()
      time.after(fromMs - time.nowMs, () => volunteer.switchOn())
      if (untilMs === Number.POSITIVE_INFINITY) return
      time.after(untilMs - time.nowMs, () => {
        volunteer.kill({ reboot: true, wipe: false })
        next()
      })
    }
    next()
  }

  #hub(): HubEngine {
    const time = this.#time
    const meter = this.#meter
    const virtual = new VirtualTimer(time)
    const timer: Timer = {
      soon: run => virtual.soon(() => meter.inside(run)),
      at: (nowMs, run) => virtual.at(nowMs, () => meter.inside(run)),
    }
    const engine = new HubEngine({
      store: this.#forgetful(),
      clock: { nowMs: () => time.nowMs, wallMs: () => 1.7e12 + time.nowMs },
      timer,
      log: {
        ...silent,
        error: (fields, message) => {
          throw new Error(`the hub logged: ${message} ${String(fields.error ?? "")}`)
        },
      },
      observe: ({ moves }) => meter.outside(() => moves.forEach(move => void this.#onMove(move))),
    })
    this.#network.hub = { post: event => engine.post(event), specOf }
    const network = this.#network
    const links: Links = {
      offer: (link, offer) => meter.outside(() => network.offer(link, offer)),
      speak: speech => meter.outside(() => network.speak(speech)),
      drop: reason => {
        throw new Error(`the hub dropped all links: ${reason}`)
      },
      resume() {},
      health: () => network.health(),
    }
    engine.start(links)
    return engine
  }

  #onMove({ index, from, to }: { readonly index: number; readonly from: string; readonly to: string }): void {
    if (to === "offered") this.#attempts++
    // Back in the queue after it was given to somebody.
    if (to === "queued" && from !== "queued" && from !== "held") this.#losses++
    if (to !== "finished") {
      if (["failed", "timedout", "lost", "refused", "cancelled"].includes(to))
        throw new Error(`job ${index} ended as ${to}`)
      return
    }
    if (this.#ended[index] !== 0) throw new Error(`job ${index} has ended twice`)
    this.#ended[index] = 1
    this.#endedCount++
  }

  /** Takes every transaction after a while, keeps nothing, and knows nothing at the start. */
  #forgetful(): Store {
    const empty = new MemoryStore({ wallMs: () => this.#time.nowMs, defer: run => this.#time.after(1, run) })
    const commit: Store["commit"] = (_writes, done) =>
      this.#meter.outside(() => this.#time.after(COMMIT_MS, () => this.#meter.inside(() => done(null, new Map()))))
    return new Proxy<Store>(empty, {
      get: (target, name) => {
        if (name === "commit") return commit
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === "function" ? value.bind(target) : value
      },
    })
  }
}

const needs = { slots: 1, memoryBytes: 1e6, diskBytes: 1e6 }
const walltimeMs = 3_600_000

function orderOf(total: number): Order {
  return {
    ...{
      owner: "scientist",
      key: "scale",
      specDigest: `sha256:${"a".repeat(64)}` as Digest,
      name: "scale",
      project: "",
    },
    ...{ spec: new Uint8Array(0), stagein: null, needs, walltimeMs, rules: noRules, held: false, waitsFor: [] },
    ...{ priority: 0, total, lines: null },
  }
}

function specOf({ owner, total, inside }: FullOffer): RunSpec {
  return {
    ...{
      owner,
      campaignName: "scale",
      project: "",
      command: ["true"],
      env: {},
      stagein: null,
      gather: false,
      inside,
      property: "",
    },
    ...{ stageout: [], requireStageout: false, walltimeMs, graceMs: 5_000, needs, line: null, arraySize: total },
  }
}

process.stdout.write(JSON.stringify(await new World(JSON.parse(process.argv[2]!) as ScalePlan).run()))
