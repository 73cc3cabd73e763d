// The desk in the hub's own process: answers the questions of links out of the core's state, the database and the blobs, and
// passes their events on. Decides nothing about jobs. What is not an agent's own looks the same to it, whatever the
// reason: denied.
import type { Digest } from "../../proto/wire/digest.ts"
import type { AttemptName } from "../core/effects.ts"
import { CahError } from "../core/errors.ts"
import type { AttemptReported, NodeHello } from "../core/events.ts"
import { type BlobRef, jobId, type Node, type NodeId } from "../core/model.ts"
import type { BlobStore, Clock, Engine, StoreReader } from "../core/ports.ts"
import { GATHER_PAGE_ENTRIES, STAGEOUTS_PER_ATTEMPT_MAX } from "../limits.ts"
import {
  type Admission,
  type Berth,
  blobsOf,
  type Desk,
  type GatherPage,
  type LinkEvent,
  type Newcomer,
  type Reported,
} from "../link/desk.ts"
import { StageoutQuota } from "./quota.ts"
import { Strangers } from "./strangers.ts"

export interface DeskParts {
  readonly engine: Pick<Engine, "campaign" | "commit" | "node" | "post">
  readonly reader: Pick<StoreReader, "campaign" | "hasBlob" | "hasStageout" | "ownsBlob" | "stageouts">
  readonly blobs: Pick<BlobStore, "has">
  readonly clock: Pick<Clock, "nowMs">
  /** Spends an enrolment token: whose node it is, or, in words for its owner, why it may not join. Throws when it cannot tell. */
  enrol(newcomer: Newcomer): Promise<Pick<NodeHello, "account" | "host"> | { readonly refused: string }>
}

export class HubDesk implements Desk {
  readonly #parts: DeskParts
  readonly #quota = new StageoutQuota()
  readonly #strangers = new Strangers()

  constructor(parts: DeskParts) {
    this.#parts = parts
  }

  /** Nodes that knocked of late and that this hub does not know. */
  strangers(): number {
    return this.#strangers.count(this.#parts.clock.nowMs())
  }

  async admit(newcomer: Newcomer): Promise<Admission> {
    const known = this.#parts.engine.node(newcomer.node)
    if (known === null) return await this.#enrol(newcomer)
    // 64 bits of a digest name a node: enough against chance, not against somebody with much time.
    if (!Buffer.from(known.publicKey).equals(newcomer.publicKey)) {
      return { kind: "refused", why: "another key goes by this node's id; make a new key" }
    }
    const { account, host, revoked } = known
    return revoked ? { kind: "revoked" } : { kind: "admitted", account, host, isNew: false }
  }

  async #enrol(newcomer: Newcomer): Promise<Admission> {
    const answer =
      newcomer.enrolToken === ""
        ? { refused: "this hub does not know the node; start the agent with an enrolment token (--enroll)" }
        : await this.#parts.enrol(newcomer)
    if ("refused" in answer) {
      this.#strangers.knocked(newcomer.node, this.#parts.clock.nowMs())
      return { kind: "refused", why: answer.refused }
    }
    this.#strangers.joined(newcomer.node)
    return { kind: "admitted", account: answer.account, host: answer.host, isNew: true }
  }

  post(event: LinkEvent): void {
    this.#parts.engine.post(event)
  }

  // Looks and posts in one go: nothing that the link says later can come between.
  async report(event: AttemptReported): Promise<Reported> {
    const { engine, reader } = this.#parts
    // Of a campaign that has ended the core wants no result: it answers stale.
    const owner = engine.campaign(event.campaign)?.owner
    const blobs = owner === undefined || event.result === null ? [] : blobsOf(event.result)
    for (const blob of blobs) {
      // Only what the campaign's owner has: a node cannot hand one scientist's bytes to another by their digest.
      const stored = reader.ownsBlob(blob.digest, owner ?? "") ? reader.hasBlob(blob.digest) : null
      if (stored === null) return "blobMissing"
      if (stored !== blob.sizeBytes) {
        return { breach: `a result names ${blob.digest} with ${blob.sizeBytes} bytes; it has ${stored}` }
      }
    }
    engine.post(event)
    return "passed"
  }

  async mayFetch(node: NodeId, attempt: AttemptName, digest: Digest): Promise<void> {
    this.#holder(node, attempt)
    const campaign = this.#parts.engine.campaign(attempt.campaign)
    const gather = campaign?.rules.gather ?? null
    const isGathered = gather !== null && this.#parts.reader.hasStageout(gather, digest)
    if (campaign?.stagein?.digest !== digest && !isGathered) throw denied()
  }

  async mayGive(id: NodeId, attempt: AttemptName, { digest }: BlobRef): Promise<Berth> {
    const { engine, reader, blobs } = this.#parts
    const node = this.#holder(id, attempt)
    const owner = engine.campaign(attempt.campaign)?.owner
    if (owner === undefined) throw denied()
    if (!this.#quota.admit(node, attempt, digest)) {
      throw new CahError("permission_denied", `more than ${STAGEOUTS_PER_ATTEMPT_MAX} different blobs for one attempt`)
    }
    // Of what other owners have, nobody learns. Both, because a blob found bad is moved aside and its row stays until good bytes
    // come; and has() keeps it from being collected.
    return { owner, has: reader.ownsBlob(digest, owner) && (await blobs.has(digest)) }
  }

  stored(owner: string, { digest, sizeBytes }: BlobRef): Promise<void> {
    return this.#parts.engine.commit([
      { kind: "blob", digest, sizeBytes },
      { kind: "blobOwner", digest, owner, as: "returned" },
    ])
  }

  async gather(node: NodeId, attempt: AttemptName, fromIndex: number): Promise<GatherPage> {
    this.#holder(node, attempt)
    const { engine, reader } = this.#parts
    const gathered = engine.campaign(attempt.campaign)?.rules.gather ?? null
    const row = gathered === null ? null : reader.campaign(gathered)
    if (row === null) throw denied()
    const found = reader.stageouts(row.id, fromIndex, GATHER_PAGE_ENTRIES + 1)
    const next = found[GATHER_PAGE_ENTRIES]?.index ?? null
    return { entries: found.slice(0, GATHER_PAGE_ENTRIES), next, total: row.total }
  }

  /** The node, if it holds the attempt and is not to stop it. */
  #holder(id: NodeId, { campaign, index, attempt }: AttemptName): Readonly<Node> {
    const node = this.#parts.engine.node(id)
    const held = node?.held.get(jobId(campaign, index))
    if (held === undefined || held.attempt !== attempt || held.stopping !== null) throw denied()
    return node!
  }
}

/** For an attempt that is not this node's, a blob that is not the attempt's, and a blob that is not here: all alike. */
function denied(): CahError {
  return new CahError("permission_denied", "this node does not hold that attempt, or the attempt has no such blob")
}
