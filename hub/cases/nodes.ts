// The nodes that work for everybody: listed for all, managed by operators.
import type { Caller } from "../auth/tokens.ts"
import { CahError } from "../core/errors.ts"
import type { Node, NodeId } from "../core/model.ts"
import { firstAfter } from "./page.ts"
import { type CaseParts, isAdmin, pageOf } from "./parts.ts"

export interface NodeView {
  readonly node: Readonly<Node>
  /** Wall time, ms; null: never. */
  readonly lastSeenAt: number | null
  /** Whose it is and where: for operators alone. */
  readonly whereabouts: Pick<Node, "account" | "host" | "network"> | null
}

type Parts = Pick<CaseParts, "engine" | "store" | "clock" | "log">

export class Nodes {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** In the order of their ids, from after this one on. */
  list(caller: Caller, after: string, limit: number): NodeView[] {
    const { engine, store, clock } = this.#parts
    const now = clock.wallMs()
    // Of a connected node the hub hears now; when an absent one was heard last stands in its row.
    return firstAfter(engine.nodes(), after, pageOf(limit)).map(node => ({
      node,
      lastSeenAt: node.link === null ? store.lastSeenAt(node.id) : now,
      whereabouts: isAdmin(caller) ? node : null,
    }))
  }

  /** A drained node gets nothing more. */
  async drain(caller: Caller, id: string, drained: boolean): Promise<void> {
    await this.#parts.engine.drainNode(this.#known(id), drained)
    this.#note(caller, { node: id, drained }, "node drained")
  }

  /** One that is away and holds nothing. */
  async forget(caller: Caller, id: string): Promise<void> {
    await this.#parts.engine.forgetNode(this.#known(id))
    this.#note(caller, { node: id }, "node forgotten")
  }

  /** Out of quarantine. */
  async release(caller: Caller, id: string): Promise<void> {
    await this.#parts.engine.releaseNode(this.#known(id))
    this.#note(caller, { node: id }, "node released from quarantine")
  }

  /** For good. */
  async revoke(caller: Caller, id: string): Promise<void> {
    await this.#parts.engine.revokeNode(this.#known(id))
    this.#note(caller, { node: id }, "node revoked")
  }

  #known(id: string): NodeId {
    const node = this.#parts.engine.node(id as NodeId)
    if (node === null) throw new CahError("not_found", `there is no node ${id}: \`cah nodes\` lists them`)
    return node.id
  }

  #note(caller: Caller, fields: object, message: string): void {
    this.#parts.log.info({ by: caller.principal, ...fields }, message)
  }
}
