// The hub's core alone, with more nodes and more waiting jobs than a machine could simulate agents for: how long it takes to decide who
// gets what. One campaign fills all nodes first; then others queue up, jobs end node by node, a hundred or so in a tick, and
// each tick fills what became free. No engine, store or link: decisions and nothing else. Every placed job is counted by books
// of our own.
//   node --import tsx bench/scheduler.ts '{"nodes":…,"queued":…,"ticks":…}'

import { type Effects, noEffects } from "../hub/core/effects.ts"
import type { Event, RequestId } from "../hub/core/events.ts"
import { violations } from "../hub/core/invariants.ts"
import type { CampaignId, LinkId, NodeId, Result, Shape } from "../hub/core/model.ts"
import { emptyState } from "../hub/core/restore.ts"
import { noRules } from "../hub/core/rules.ts"
import { step } from "../hub/core/step.ts"
import { Random } from "../hub/sim/random.ts"
import type { Digest } from "../proto/wire/digest.ts"
import { noLog } from "../proto/wire/log.ts"
import { quantile } from "./figures.ts"

export interface SchedulerPlan {
  readonly nodes: number
  /** Jobs that wait when all nodes are full. */
  readonly queued: number
  readonly ticks: number
}

export interface Scheduled {
  readonly demands: number
  readonly campaigns: number
  readonly waiting: number
  /** µs for each job placed: when one campaign found all nodes empty; then on average, and in a tick that is worse than 99 of 100. */
  readonly fillUs: number
  readonly fillMs: number
  readonly decisionUs: number
  readonly decisionP99Us: number
  /** µs for each report of an end, which is not a decision. */
  readonly reportUs: number
  /** ms of the tick in which a campaign of each demand comes to a full house, for each of them. */
  readonly arrivalMs: number
  readonly decisions: number
}

const USERS = 1_000
const CAMPAIGN_JOBS = 100
const ENDS_PER_TICK = 100
const TICK_MS = 10
const GIB = 1024 ** 3
const HOUR_MS = 3_600_000
const random = new Random(1)

const systems = ["linux", "windows", "darwin"]
const graphics = ["none", "none", "none", "none", "none", "gtx1060", "rtx3080", "a100"]
const programs = ["povray", "ffmpeg", "blender", "gromacs", "octave"]
const conditions = [
  "",
  ...systems.map(os => `os = '${os}'`),
  ...[8, 16, 32, 64].map(gib => `mem >= ${gib}`),
  ...["gtx1060", "rtx3080", "a100"].map(gpu => `gpu = '${gpu}'`),
  ...programs.map(program => `has_${program} = 'yes'`),
  ...programs.map(program => `has_${program} = 'yes' AND os = 'linux' AND mem > 12`),
  ...systems.flatMap(os => [16, 32].map(gib => `os = '${os}' AND (mem >= ${gib} OR gpu <> 'none')`)),
  ...["x86_64", "aarch64"].flatMap(arch => [4, 8].map(cores => `arch = '${arch}' AND cores >= ${cores}`)),
  "cpu_flags LIKE '%avx2%'",
  "cpu_flags LIKE '%avx512%' AND gpu IN ('rtx3080', 'a100')",
]
const shapes: readonly (readonly Shape[])[] = [
  [shape(1, 1)],
  [shape(1, 4)],
  [shape(2, 2)],
  [shape(4, 8)],
  [shape(4, 4), shape(2, 4)],
  [shape(8, 8), shape(4, 8), shape(1, 8)],
  [shape(1, 16)],
  [shape(2, 1), shape(1, 1)],
]

function shape(slots: number, memoryGib: number): Shape {
  return { needs: { slots, memoryBytes: memoryGib * GIB, diskBytes: GIB }, walltimeMs: HOUR_MS }
}

const finished: Result = {
  ...{ outcome: "finished", exitCode: 0, message: "", warnings: "", stageout: null, stdout: noLog, stderr: noLog },
  ...{ runMs: 60_000, cpuMs: 60_000, peakMemoryBytes: GIB },
}

interface Placed {
  readonly campaign: CampaignId
  readonly index: number
  readonly attempt: number
}

class World {
  readonly state = emptyState()
  readonly #nodes: NodeId[] = []
  /** Placed and not ended, by node. */
  readonly #running = new Map<NodeId, Placed[]>()
  readonly #offered = new Set<string>()
  nowMs = 1_000
  #requests = 0

  step(events: readonly Event[], effects = noEffects()): Effects {
    const now = { nowMs: this.nowMs, wallMs: 1.7e12 + this.nowMs }
    for (const event of events) step(this.state, event, now, effects)
    return effects
  }

  addNode(number: number): Event {
    const slots = [1, 2, 2, 4, 4, 8][random.whole(0, 5)]!
    const memoryGib = slots * [2, 4, 8][random.whole(0, 2)]!
    const link = (number + 1) as LinkId
    const node = `n${number.toString(16).padStart(16, "0")}` as NodeId
    this.#nodes.push(node)
    this.#running.set(node, [])
    return {
      kind: "NodeHello",
      ...{
        link,
        node,
        account: "volunteers",
        host: null,
        network: "",
        publicKey: new Uint8Array(32),
        agentVersion: "1",
        bootId: "boot",
      },
      ...{ name: `node-${number}`, slots, memoryBytes: memoryGib * GIB, diskBytes: 100 * GIB, holding: [] },
      properties: {
        os: systems[random.whole(0, 2)]!,
        arch: random.chance(0.8) ? "x86_64" : "aarch64",
        cores: String(slots),
        gpu: graphics[random.whole(0, graphics.length - 1)]!,
        cpu_flags: random.chance(0.2) ? "sse4_2 avx2 avx512f" : random.chance(0.8) ? "sse4_2 avx2" : "sse4_2",
        ...Object.fromEntries(programs.map(program => [`has_${program}`, random.chance(0.3) ? "yes" : "no"])),
      },
    }
  }

  /** One for each slot that there is. */
  fill(): Event {
    let slots = 0
    for (const node of this.state.nodes.values()) slots += node.slots
    return this.#submit("filler", "key", slots, [shape(1, 0)], "")
  }

  submit(number: number, total: number): Event {
    const property = conditions[Math.floor(number / shapes.length) % conditions.length]!
    return this.#submit(`user${number % USERS}`, `key-${number}`, total, shapes[number % shapes.length]!, property)
  }

  #submit(owner: string, key: string, total: number, of: readonly Shape[], property: string): Event {
    const [first, ...others] = of as [Shape, ...Shape[]]
    return {
      kind: "CampaignSubmitted",
      ...{ request: ++this.#requests as RequestId, owner, key, priority: 0 },
      ...{ specDigest: `sha256:${"a".repeat(64)}` as Digest, name: "", project: "", spec: new Uint8Array(1) },
      ...{ stagein: null, held: false, waitsFor: [], total, lines: null },
      ...{ needs: first.needs, walltimeMs: first.walltimeMs, rules: { ...noRules, shapes: others, property } },
    }
  }

  /** Books what a tick has placed: no job twice. */
  book(effects: Effects): number {
    let placed = 0
    for (const said of effects.speech) {
      if (said.kind !== "Offer") continue
      const { link, campaign, index, attempt } = said
      const job = `${campaign}.${index}`
      if (attempt !== 1 || this.#offered.has(job)) throw new Error(`job ${job} was placed twice`)
      this.#offered.add(job)
      this.#running.get(this.#nodes[link - 1]!)!.push({ campaign, index, attempt })
      placed++
    }
    return placed
  }

  /** Ends all that runs on some nodes, whichever, until it is enough. */
  endSome(): Event[] {
    const ends: Event[] = []
    while (ends.length < ENDS_PER_TICK) {
      const node = this.#nodes[random.whole(0, this.#nodes.length - 1)]!
      const { epoch } = this.state.nodes.get(node)!
      for (const one of this.#running.get(node)!.splice(0)) {
        ends.push({ kind: "AttemptReported", node, epoch, ...one, phase: "ended", result: finished })
      }
    }
    return ends
  }

  get placed(): number {
    return this.#offered.size
  }

  get waiting(): number {
    let waiting = 0
    for (const { counts } of this.state.campaigns.values()) waiting += counts.queued
    return waiting
  }
}

function timed<T>(run: () => T): { readonly us: number; readonly value: T } {
  const start = process.hrtime.bigint()
  const value = run()
  return { us: Number(process.hrtime.bigint() - start) / 1e3, value }
}

function measure({ nodes, queued, ticks }: SchedulerPlan): Scheduled {
  const world = new World()
  const demands = conditions.length * shapes.length
  world.step(Array.from({ length: nodes }, (_, i) => world.addNode(i)))
  const filler = world.fill()
  const fill = timed(() => world.step([filler, { kind: "Ticked" }]))
  const filled = world.book(fill.value)
  // Every demand has its campaigns, however short the queue.
  const campaigns = Math.max(2 * demands, Math.ceil(queued / CAMPAIGN_JOBS))
  const each = Math.ceil(queued / campaigns)
  world.step([...Array.from({ length: campaigns }, (_, i) => world.submit(i, each)), { kind: "Ticked" }])

  let [decisions, decidingUs, reports, reportingUs] = [0, 0, 0, 0]
  const perDecision: number[] = []
  const run = (count: number, isMeasured: boolean) => {
    for (let tick = 0; tick < count; tick++) {
      world.nowMs += TICK_MS
      const ends = world.endSome()
      const effects = noEffects()
      const reported = timed(() => world.step(ends, effects))
      const decided = timed(() => world.step([{ kind: "Ticked" }], effects))
      const placed = world.book(effects)
      if (!isMeasured || placed === 0) continue
      decisions += placed
      decidingUs += decided.us
      perDecision.push(decided.us / placed)
      reports += ends.length
      reportingUs += reported.us
    }
  }
  // So that the compiler is done with it.
  run(Math.ceil(ticks / 4), false)
  run(ticks, true)

  // Newcomers are held against whatever nodes still have room.
  const newcomers = Array.from({ length: demands }, (_, i) => world.submit(campaigns + i, 1))
  const arrivals = newcomers.map(submitted => {
    world.nowMs += TICK_MS
    const arrived = timed(() => world.step([submitted, { kind: "Ticked" }]))
    world.book(arrived.value)
    return arrived.us / 1e3
  })

  const wrong = violations(world.state)
  if (wrong.length > 0) throw new Error(`the core broke its rules: ${wrong.slice(0, 5).join("; ")}`)
  const waiting = world.waiting
  const total = filled + campaigns * each + newcomers.length
  if (world.placed + waiting !== total) {
    throw new Error(`of ${total} jobs ${world.placed} were placed and ${waiting} wait`)
  }
  return {
    demands: world.state.queue.known.size,
    campaigns: world.state.campaigns.size,
    waiting,
    fillUs: fill.us / filled,
    fillMs: fill.us / 1e3,
    decisionUs: decidingUs / decisions,
    decisionP99Us: quantile(perDecision, 0.99),
    reportUs: reportingUs / reports,
    arrivalMs: arrivals.reduce((sum, ms) => sum + ms, 0) / arrivals.length,
    decisions,
  }
}

process.stdout.write(JSON.stringify(measure(JSON.parse(process.argv[2]!) as SchedulerPlan)))
