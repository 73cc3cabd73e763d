// How many bytes went to and from each volunteer's node: counted in memory as they pass, written now and then, so that no chunk
// costs a transaction. What was counted since the last time is lost if the hub is killed: it is for people, not for credit.
import type { NodeId } from "./core/model.ts"
import type { Engine, Log } from "./core/ports.ts"
import { isVolunteerAccount } from "./core/volunteers.ts"
import { TRAFFIC_EVERY_MS } from "./limits.ts"

export interface TrafficParts {
  readonly engine: Pick<Engine, "commit" | "node">
  readonly log: Log
}

export class Traffic {
  readonly #parts: TrafficParts
  readonly #timer: NodeJS.Timeout
  #counted = new Map<NodeId, { bytesIn: number; bytesOut: number }>()

  constructor(parts: TrafficParts) {
    this.#parts = parts
    this.#timer = setInterval(() => void this.flush(), TRAFFIC_EVERY_MS)
    this.#timer.unref()
  }

  /** As the node sees it, the other way round: what the hub sends, the computer receives. */
  moved(node: NodeId, direction: "in" | "out", bytes: number): void {
    const sums = this.#counted.get(node) ?? { bytesIn: 0, bytesOut: 0 }
    if (direction === "in") sums.bytesOut += bytes
    else sums.bytesIn += bytes
    this.#counted.set(node, sums)
  }

  async flush(): Promise<void> {
    const { engine, log } = this.#parts
    const counted = [...this.#counted].filter(([node]) => isVolunteerAccount(engine.node(node)?.account ?? ""))
    this.#counted = new Map()
    if (counted.length === 0) return
    try {
      await engine.commit(counted.map(([node, sums]) => ({ kind: "traffic", node, ...sums })))
    } catch (error) {
      log.warn({ error }, "the bytes of the last minute could not be noted")
    }
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.flush()
  }
}
