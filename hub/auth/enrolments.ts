// Tokens with which new agents join. Each is good for a number of uses and a short time. A use is taken in memory before it is
// committed, so that two agents that spend the last one at the same moment cannot both have it; if the commit
// fails, the use is given back.
import { CahError } from "../core/errors.ts"
import type { NodeId } from "../core/model.ts"
import type { Clock, Engine, StoreReader } from "../core/ports.ts"
import type { EnrolmentRow, NodeRow, RowWrite } from "../core/rows.ts"
import type { HostId, LaunchId, VolunteerReader } from "../core/volunteers.ts"
import { ENROLMENT_DEFAULT_MS, ENROLMENT_MAX_MS, ENROLMENT_USES_MAX } from "../limits.ts"
import { idOfSecret, type Minted, mintSecret, secretMatches } from "./secret.ts"

export interface EnrolmentParts {
  readonly store: Pick<StoreReader, "enrolment"> & { readonly volunteers: Pick<VolunteerReader, "launch"> }
  readonly engine: Pick<Engine, "commit">
  readonly clock: Clock
}

/** Who joins: the key is the node. */
export interface Newcomer {
  readonly node: NodeId
  readonly publicKey: Uint8Array
}

/** Whose node it is, and on which of their computers. */
export interface Enrolled {
  readonly account: string
  readonly host: HostId | null
}

export class Enrolments {
  private readonly parts: EnrolmentParts
  /** Nodes that joined since the start, by the enrolment they spent: a link that was cut before its welcome spends nothing anew. */
  private readonly joined = new Map<NodeId, string>()
  /** Rows as they will be on disk once all commits under way are. Only those made or spent since the start. */
  private readonly rows = new Map<string, EnrolmentRow>()

  constructor(parts: EnrolmentParts) {
    this.parts = parts
  }

  async create(
    account: string,
    uses = 1,
    lifetimeMs = ENROLMENT_DEFAULT_MS,
  ): Promise<{ secret: string; expiresAt: number }> {
    if (!Number.isInteger(uses) || uses < 1 || uses > ENROLMENT_USES_MAX) {
      throw new CahError("invalid_argument", `uses must be between 1 and ${ENROLMENT_USES_MAX}`)
    }
    if (!(lifetimeMs > 0 && lifetimeMs <= ENROLMENT_MAX_MS)) {
      throw new CahError(
        "invalid_argument",
        `lifetime must be above 0 and at most ${ENROLMENT_MAX_MS / 86_400_000} days`,
      )
    }
    this.forgetSpent()
    const { id, secret, hash } = mintSecret("cahjoin")
    const expiresAt = this.parts.clock.wallMs() + lifetimeMs
    await this.parts.engine.commit([
      { kind: "enrolment", row: { id, hash, account, usesLeft: uses, expiresAt, launch: null } },
    ])
    return { secret, expiresAt }
  }

  /** For one agent in the virtual machine of this launch. The caller commits it, together with the launch. */
  forLaunch({ id, hash }: Minted, account: string, launch: LaunchId, lifetimeMs: number): RowWrite {
    const expiresAt = this.parts.clock.wallMs() + lifetimeMs
    return { kind: "enrolment", row: { id, hash, account, usesLeft: 1, expiresAt, launch } }
  }

  /** From now on nobody joins with it; what that is on disk, the caller commits. */
  withdraw(id: string): RowWrite[] {
    const row = this.rows.get(id) ?? this.parts.store.enrolment(id)
    if (row === null) return []
    const withdrawn = { ...row, usesLeft: 0 }
    this.rows.set(id, withdrawn)
    for (const [node, enrolment] of this.joined) if (enrolment === id) this.joined.delete(node)
    return [{ kind: "enrolment", row: withdrawn }]
  }

  /**
   * Takes one use, and makes the node known in the same transaction, so that no crash between the two can lock it out. Resolves to
   * whose node it is once that is on disk, or to null: unknown, expired, or used up, which a stranger has no need to tell
   * apart.
   */
  async spend(secret: string, newcomer: Newcomer): Promise<Enrolled | null> {
    const id = idOfSecret("cahjoin", secret)
    if (id === null) return null
    const row = this.rows.get(id) ?? this.parts.store.enrolment(id)
    if (row === null || !secretMatches(secret, row.hash)) return null
    const host = row.launch === null ? null : (this.parts.store.volunteers.launch(row.launch)?.host ?? null)
    const enrolled = { account: row.account, host }
    if (this.joined.get(newcomer.node) === id) return enrolled
    if (row.usesLeft < 1 || row.expiresAt <= this.parts.clock.wallMs()) return null
    this.change(row, -1)
    try {
      await this.parts.engine.commit([
        { kind: "enrolment", row: { ...row, usesLeft: row.usesLeft - 1 } },
        { kind: "node", row: this.newNode(newcomer, enrolled) },
        ...(row.launch === null ? [] : [{ kind: "launchNode", launch: row.launch, node: newcomer.node } as const]),
      ])
    } catch (error) {
      this.change(this.rows.get(id) ?? row, +1)
      throw error
    }
    // The row's own id: the one above is a part of the secret, and would keep all of it in memory.
    this.joined.set(newcomer.node, row.id)
    return enrolled
  }

  /** Its hello, which follows, says the rest. */
  private newNode({ node, publicKey }: Newcomer, { account, host }: Enrolled): NodeRow {
    return {
      id: node,
      account,
      host,
      network: "",
      name: node,
      publicKey,
      agentVersion: "",
      bootId: "",
      epoch: 0,
      slots: 0,
      memoryBytes: 0,
      diskBytes: 0,
      properties: {},
      presence: null,
      drained: false,
      quarantine: null,
      revoked: false,
      lastSeenAt: this.parts.clock.wallMs(),
    }
  }

  private change(row: EnrolmentRow, uses: number): void {
    this.rows.set(row.id, { ...row, usesLeft: row.usesLeft + uses })
  }

  private forgetSpent(): void {
    const now = this.parts.clock.wallMs()
    for (const row of this.rows.values()) if (row.expiresAt <= now) this.rows.delete(row.id)
    for (const [node, enrolment] of this.joined) if (!this.rows.has(enrolment)) this.joined.delete(node)
  }
}
