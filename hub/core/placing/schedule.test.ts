// The choice that is made without a look at all demands is the one that a look at everything makes.
import assert from "node:assert/strict"
import { test } from "node:test"
import { matches } from "../../../proto/wire/property.ts"
import { Random } from "../../sim/random.ts"
import { TestCore } from "../fixtures.ts"
import type { Campaign, Needs, Node, NodeId, Shape, State } from "../model.ts"
import { ranks, type Seat } from "../model.ts"
import { noRules } from "../rules.ts"
import { countPlaced, goesBefore, isCurrent, settlePlaced } from "./queue.ts"
import { fittingShape, indexFor } from "./room.ts"
import { choose } from "./schedule.ts"
import { shareOf, usedBy, weightAt } from "./usage.ts"

const conditions = ["", "os = 'linux'", "os <> 'linux'", "gpu = 'a100'", "cores >= 4", "os = 'linux' AND cores >= 2"]
const systems = ["linux", "windows"]

function shape(slots: number, memoryBytes: number): Shape {
  return { needs: { slots, memoryBytes, diskBytes: 0 }, walltimeMs: 3_600_000 }
}

/** Every owner, every campaign of theirs, and nothing remembered. */
function choiceOfAll(state: State, node: Node, free: Needs, nowMs: number) {
  const keyOf = (seat: Seat) =>
    isCurrent(seat, nowMs)
      ? seat.key
      : (usedBy(state, seat.turn.usageKey, nowMs) + seat.turn.placed) *
        (weightAt(nowMs) / shareOf(state, seat.turn.owner))
  for (const rank of ranks) {
    const demands = [...state.queue.ready.demands[rank]].filter(
      ({ shapes, condition: { wants } }) =>
        fittingShape({ shapes }, free) !== null && (wants === null || matches(wants, node.facts)),
    )
    const lanes = demands.flatMap(demand => [...demand.lanes])
    const [first] = lanes
      .map(({ turn }) => turn.seats.find(({ order }) => order === state.queue.ready.orders[rank])!)
      .map(seat => ({ seat, key: keyOf(seat) }))
      .sort((a, b) => a.key - b.key || a.seat.number - b.seat.number)
    if (first === undefined) continue
    const { turn } = first.seat
    const campaigns: Campaign[] = lanes
      .filter(lane => lane.turn === turn)
      .flatMap(lane => [...lane.projects.values()].flatMap(line => [...line]))
    const campaign = campaigns.reduce((best, one) => (goesBefore(one, best, nowMs) ? one : best))
    const index = indexFor(campaign, node)
    return { owner: turn.owner, campaign: campaign.id, index, shape: fittingShape(campaign.demand, free) }
  }
  return null
}

function chosen(state: State, node: Node, free: Needs, nowMs: number) {
  const choice = choose(state, { node, free, asked: state.queue.ready, claim: null }, nowMs)
  if (choice === null) return { lane: null, said: null }
  const { lane, campaign, index, shape } = choice
  return { lane, said: { owner: lane.turn.owner, campaign: campaign.id, index, shape } }
}

class Crowd {
  readonly core = new TestCore()
  private readonly random: Random
  private campaigns = 0

  constructor(seed: number) {
    this.random = new Random(seed)
  }

  private one<T>(of: readonly T[]): T {
    return of[this.random.whole(0, of.length - 1)]!
  }

  hello(number: number) {
    const { random } = this
    const slots = this.one([1, 2, 4, 8])
    const properties = {
      os: this.one(systems),
      cores: String(slots),
      ...(random.chance(0.3) ? { gpu: "a100" } : {}),
    }
    return this.core.hello(`n${number}`, { slots, memoryBytes: slots * this.one([1, 4]), properties })
  }

  submit(): void {
    const { random } = this
    const [first, ...others] = this.one([[shape(1, 1)], [shape(2, 2)], [shape(1, 4)], [shape(4, 4), shape(1, 2)]])
    const [property, bestEffort] = [this.one(conditions), random.chance(0.1)]
    this.core.submit({
      ...{ owner: `user${random.whole(0, 7)}`, project: this.one(["", "", "films"]), key: `${++this.campaigns}` },
      ...{ priority: this.one([0, 0, 1]), total: random.whole(1, 30), ...first! },
      rules: { ...noRules, shapes: others, property, bestEffort },
    })
  }

  /** A while later some jobs have ended, and something else may have happened. */
  goOn(): void {
    const { core, random } = this
    core.nowMs += random.whole(1, 1_500)
    const nodes = [...core.state.nodes.values()].filter(() => random.chance(0.2))
    const ends = nodes.flatMap(({ id, held }) =>
      [...held.values()].map(({ campaign, index, attempt }) => core.report(id, [campaign, index, attempt], "ended")),
    )
    core.tick(...ends)
    if (random.chance(0.3)) this.submit()
    if (random.chance(0.1)) {
      const owner = `user${random.whole(0, 7)}`
      core.tick({ kind: "ShareSet", request: core.request(), owner, share: random.whole(1, 3) })
    }
    // Its properties are others then.
    if (random.chance(0.2)) core.tick(this.hello(random.whole(0, 19)))
  }

  /** Nodes as if they were empty, one after the other and in one tick. */
  compare(): number {
    const { state, nowMs } = this.core
    let compared = 0
    for (let i = 0; i < 10; i++) {
      const node = state.nodes.get(`n${this.random.whole(0, 19)}` as NodeId)!
      const free = { slots: node.slots, memoryBytes: node.memoryBytes - this.random.whole(0, 2), diskBytes: 0 }
      const expected = choiceOfAll(state, node, free, nowMs)
      const { lane, said } = chosen(state, node, free, nowMs)
      assert.deepEqual(said, expected)
      if (lane === null) continue
      compared++
      countPlaced(state, lane, this.random.whole(1, 4), nowMs)
    }
    settlePlaced(state, nowMs)
    return compared
  }
}

test("who is next is found without a look at everything, whatever has happened before", () => {
  let compared = 0
  for (let seed = 1; seed <= 10; seed++) {
    const crowd = new Crowd(seed)
    crowd.core.tick(...Array.from({ length: 20 }, (_, number) => crowd.hello(number)))
    for (let i = 0; i < 60; i++) crowd.submit()
    for (let i = 0; i < 60; i++) {
      crowd.goOn()
      compared += crowd.compare()
    }
  }
  assert.ok(compared > 3_000, `${compared} choices were compared`)
})

test("whose turn it is but for a job that is still being stopped on the node leaves the room there to who comes next", () => {
  const core = new TestCore()
  const submit = (owner: string, total: number, bestEffort: boolean, memoryBytes: number) =>
    core.submit({
      owner,
      key: owner,
      total,
      needs: { slots: 1, memoryBytes, diskBytes: 0 },
      rules: { ...noRules, bestEffort },
    })
  core.tick(core.hello("n1"))
  submit("eve", 5, true, 0)
  submit("ada", 1, true, 0)
  core.nowMs += 10_000
  core.tick(core.report("n1", [1, 0, 1], "ended"))
  assert.equal(core.job(2, 0)?.phase, "offered")
  core.tick(core.report("n1", [2, 0, 1], "running"))
  submit("carl", 1, false, 1)
  assert.equal(core.job(2, 0)?.phase, "queued")
  const node = core.state.nodes.get("n1" as NodeId)!
  // As if the stopped one had left a slot and no memory: nothing for Carl.
  const { said } = chosen(core.state, node, { slots: 1, memoryBytes: 0, diskBytes: 0 }, core.nowMs)
  assert.deepEqual(said, { owner: "eve", campaign: 1, index: 1, shape: 0 })
})
