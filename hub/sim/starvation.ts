// Nobody waits for ever: what is ready, and could be served by a node that is connected, has its turn in bounded time. Looked at
// now and then from outside; keeps books of its own on since when that has been so.
import type { Lane, NodeId, State } from "../core/model.ts"
import { fittingShape, takesWork } from "../core/placing/room.ts"
import { suits } from "../core/rules.ts"
import { LEASE_MS, PATIENCE_MS } from "../limits.ts"

interface Wait {
  readonly sinceMs: number
  readonly placed: number | null
}

export class Starvation {
  private waits = new Map<string, Wait>()
  private readonly walltimeMs: number
  /** The longest that anybody waited, ms. */
  longestMs = 0

  constructor(walltimeMs: number) {
    this.walltimeMs = walltimeMs
  }

  /** A hub that begins anew has no memory of turns. */
  forget(): void {
    this.waits.clear()
  }

  /** Each that has waited beyond all bounds, as a sentence. */
  look(state: State, nowMs: number): string[] {
    const found: string[] = []
    const lanes = [...waiting(state)]
    // As if each of them got a node to itself, one after the other, each time after the longest job there is.
    const boundMs = (lanes.length + 1) * (this.walltimeMs + PATIENCE_MS + 2 * LEASE_MS)
    const waits = new Map<string, Wait>()
    for (const lane of lanes) {
      const key = `${lane.turn.usageKey} ${lane.demand.key}`
      const before = this.waits.get(key)
      const isNew = before === undefined || before.placed !== lane.waitsSinceMs
      const wait = isNew ? { sinceMs: nowMs, placed: lane.waitsSinceMs } : before
      waits.set(key, wait)
      const waitedMs = nowMs - wait.sinceMs
      this.longestMs = Math.max(this.longestMs, waitedMs)
      if (waitedMs > boundMs) found.push(`L1: ${key} was passed over for ${Math.round(waitedMs / 60_000)} minutes`)
    }
    this.waits = waits
    return found
  }
}

/** Lanes in turn that a connected node could serve when empty. */
function* waiting(state: State): Generator<Lane> {
  for (const rank of ["reserved", "common"] as const) {
    for (const demand of state.queue.ready.demands[rank]) {
      const canServe = (id: NodeId) => {
        const node = state.nodes.get(id)!
        return takesWork(node) && node.quarantine === null && suits(node, demand) && fittingShape(demand, node) !== null
      }
      if ([...state.nodes.keys()].some(canServe)) yield* demand.lanes
    }
  }
}
