// The scientist of a load process: campaigns that are run to their end, one job after the other, or so many a second. Every job is
// counted; nothing is answered before the last of them has ended.
import { setTimeout as pause } from "node:timers/promises"
import { arraySubmission, differentSubmission, submit } from "./ask.ts"
import type { HubAddress, LoadAnswer, LoadOrder } from "./protocol.ts"
import type { Tally } from "./tally.ts"

/** No job may take longer to its end than this, or the run is stuck. */
const STUCK_MS = 180_000
const LOOK_MS = 1_000
/** A look at latency ends by then, with fewer jobs: under a load that is too much for the subject it would never. */
const LATENCY_MAX_MS = 30_000
/** Of a steady load: one small campaign every so often. */
const PULSE_MS = 20

type Order<K extends LoadOrder["kind"]> = Extract<LoadOrder, { kind: K }>

interface Begun {
  readonly jobs: number
  readonly start: bigint
  readonly cpu: NodeJS.CpuUsage
  readonly acceptSeconds: number
}

export class Campaigns {
  readonly #tally: Tally
  readonly #begun = new Map<number, Begun>()
  #submissions = 0

  constructor(tally: Tally) {
    this.#tally = tally
  }

  async begin({ url, bearer, jobs, different }: Order<"begin">): Promise<LoadAnswer> {
    const submission = (different ? differentSubmission : arraySubmission)(this.#key(), jobs)
    const cpu = process.cpuUsage()
    const start = process.hrtime.bigint()
    const campaign = await submit(new URL(url), bearer, submission)
    const acceptSeconds = secondsSince(start)
    this.#begun.set(campaign, { jobs, start, cpu, acceptSeconds })
    return { kind: "began", began: { campaign, jobs, acceptSeconds } }
  }

  async finish({ campaign }: Order<"finish">): Promise<LoadAnswer> {
    const { jobs, start, cpu, acceptSeconds } = this.#begun.get(campaign)!
    this.#begun.delete(campaign)
    await this.#advancing(campaign, this.#tally.whenEnded(campaign, jobs))
    const seconds = secondsSince(start)
    const firstOfferSeconds = Number((await this.#tally.whenOffered(campaign)) - start) / 1e9
    const { user, system } = process.cpuUsage(cpu)
    const loadCpuSeconds = (user + system) / 1e6
    const counts = this.#tally.campaign(campaign)
    this.#tally.forget(campaign)
    return { kind: "ran", ran: { ...counts, seconds, acceptSeconds, firstOfferSeconds, loadCpuSeconds } }
  }

  async latency({ url, bearer, jobs, pauseMs, besidesPerSecond }: Order<"latency">): Promise<LoadAnswer> {
    const besides = new Steady(this.#tally, { url, bearer }, () => this.#key(), besidesPerSecond)
    const startMs = performance.now()
    besides.start()
    const runningMs: number[] = []
    const endedMs: number[] = []
    for (let i = 0; i < jobs && performance.now() - startMs < LATENCY_MAX_MS; i++) {
      const submission = arraySubmission(this.#key(), 1)
      const start = process.hrtime.bigint()
      const id = await submit(new URL(url), bearer, submission)
      const offered = await this.#tally.whenOffered(id)
      await this.#tally.whenEnded(id, 1)
      runningMs.push(Number(offered - start) / 1e6)
      endedMs.push(secondsSince(start) * 1e3)
      once(this.#tally, id, 1)
      await pause(pauseMs)
    }
    const submitted = await besides.stop()
    const perSecond = submitted / ((performance.now() - startMs) / 1_000)
    return {
      kind: "latencies",
      latencies: { runningMs, endedMs, besides: submitted, besidesPerSecond: perSecond },
    }
  }

  async steady({ url, bearer, jobsPerSecond, seconds }: Order<"steady">): Promise<LoadAnswer> {
    const load = new Steady(this.#tally, { url, bearer }, () => this.#key(), jobsPerSecond)
    const start = process.hrtime.bigint()
    load.start()
    await pause(seconds * 1_000)
    const jobs = await load.stop()
    return { kind: "steady", steady: { jobs, seconds: secondsSince(start) } }
  }

  #key(): string {
    return `bench-${process.pid}-${++this.#submissions}`
  }

  /** Rejects when nothing of the campaign has moved for too long. */
  async #advancing(id: number, over: Promise<void>): Promise<void> {
    let isOver = false
    void over.then(() => {
      isOver = true
    })
    let ended = -1
    let sinceMs = performance.now()
    while (!isOver) {
      await Promise.race([over, pause(LOOK_MS)])
      const now = this.#tally.campaign(id)
      if (now.ended !== ended) {
        ended = now.ended
        sinceMs = performance.now()
      } else if (performance.now() - sinceMs > STUCK_MS) {
        throw new Error(
          `nothing ended for ${STUCK_MS / 1_000} s: ${JSON.stringify(now)}; ${this.#tally.found.join("; ")}`,
        )
      }
    }
  }
}

/** A load that goes on beside something else: arrays of a few jobs, as many as make so many jobs a second. */
class Steady {
  readonly #tally: Tally
  readonly #to: HubAddress
  readonly #key: () => string
  readonly #perSecond: number
  readonly #underWay = new Set<Promise<void>>()
  #timer: NodeJS.Timeout | null = null
  #submitted = 0
  #startMs = 0
  #failure: unknown = null

  constructor(tally: Tally, to: HubAddress, key: () => string, perSecond: number) {
    this.#tally = tally
    this.#to = to
    this.#key = key
    this.#perSecond = perSecond
  }

  start(): void {
    this.#startMs = performance.now()
    if (this.#perSecond > 0) this.#timer = setInterval(() => this.#pulse(), PULSE_MS)
  }

  /** Resolves when all have ended, with how many they were. */
  async stop(): Promise<number> {
    if (this.#timer !== null) clearInterval(this.#timer)
    await Promise.all(this.#underWay)
    if (this.#failure !== null) throw this.#failure
    return this.#submitted
  }

  #pulse(): void {
    const due = Math.floor(((performance.now() - this.#startMs) / 1_000) * this.#perSecond) - this.#submitted
    if (due < 1) return
    this.#submitted += due
    const run = this.#run(due)
      .catch((error: unknown) => {
        this.#failure ??= error
      })
      .then(() => void this.#underWay.delete(run))
    this.#underWay.add(run)
  }

  async #run(jobs: number): Promise<void> {
    const id = await submit(new URL(this.#to.url), this.#to.bearer, arraySubmission(this.#key(), jobs))
    await this.#tally.whenEnded(id, jobs)
    once(this.#tally, id, jobs)
  }
}

/** All of it has ended: each job must have been offered once and have ended once. */
function once(tally: Tally, id: number, jobs: number): void {
  const { offered, offeredAgain, ended, endedAgain } = tally.campaign(id)
  if (offered !== jobs || ended !== jobs || offeredAgain + endedAgain > 0) {
    throw new Error(`counts are wrong: of ${jobs} jobs of campaign ${id} ${JSON.stringify(tally.campaign(id))}`)
  }
  tally.forget(id)
}

function secondsSince(start: bigint): number {
  return Number(process.hrtime.bigint() - start) / 1e9
}
