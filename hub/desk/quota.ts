// How many different blobs a node may send for one attempt: else one attempt would do to fill the hub's disk, two GiB at a
// time, with blobs that no result ever names. Counted across links, as long as the node holds the attempt.
import type { Digest } from "../../proto/wire/digest.ts"
import type { AttemptName } from "../core/effects.ts"
import { jobId, type Node, type NodeId } from "../core/model.ts"
import { STAGEOUTS_PER_ATTEMPT_MAX } from "../limits.ts"

export class StageoutQuota {
  readonly #byNode = new Map<NodeId, Map<string, Set<Digest>>>()

  /** False: that would be one too many. A blob that was begun before is not counted again. */
  admit(node: Pick<Node, "id" | "held">, name: AttemptName, digest: Digest): boolean {
    const attempts = this.#byNode.get(node.id) ?? new Map<string, Set<Digest>>()
    this.#byNode.set(node.id, attempts)
    // What the node no longer holds is forgotten here: so there are never more than it may hold.
    const held = new Set([...node.held].map(([job, { attempt }]) => `${job}#${attempt}`))
    for (const key of attempts.keys()) if (!held.has(key)) attempts.delete(key)
    const key = `${jobId(name.campaign, name.index)}#${name.attempt}`
    const digests = attempts.get(key) ?? new Set<Digest>()
    attempts.set(key, digests)
    if (!digests.has(digest) && digests.size >= STAGEOUTS_PER_ATTEMPT_MAX) return false
    digests.add(digest)
    return true
  }
}
