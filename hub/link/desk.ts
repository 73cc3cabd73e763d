// The port by which links ask the hub. The code of links holds sockets and moves bytes; what the hub knows (who may join, what an
// attempt may fetch, what an owner has) it asks for here, and it hears what was decided through Links. Whatever passes in
// either direction is plain data, so that links can be served in this process, in another thread, or by a gateway on
// another machine.
//
// Order: post() and report() take effect in the order in which they were called, for each link. An answer may come late,
// and answers may come in another order than the questions: who asks must be ready for a world that has moved on. The
// core still judges by session and attempt whatever such an answer leads to.
//
// Refusal: a question rejects with CahError, of which another process hears code and message. Each is answered at some time; a desk that
// has lost its hub rejects all of them with `unavailable`.
import type { Digest } from "../../proto/wire/digest.ts"
import type { AttemptName } from "../core/effects.ts"
import type { AttemptReported, HeartbeatReceived, NodeGone, NodeHello, StageinSent } from "../core/events.ts"
import type { BlobRef, HostId, NodeId, Result } from "../core/model.ts"

/** What a link has to tell the core. */
export type LinkEvent = NodeHello | NodeGone | HeartbeatReceived | AttemptReported | StageinSent

/** An agent that has proven to own its key. */
export interface Newcomer {
  readonly node: NodeId
  readonly publicKey: Uint8Array
  /** Spent only if the hub does not know the node yet. "": none. */
  readonly enrolToken: string
  /** Where it calls from, for the log. */
  readonly address: string
}

export type Admission =
  /** Whose node it is from now on, and on which of their computers. `isNew`: the hub has never seen it. */
  | { readonly kind: "admitted"; readonly account: string; readonly host: HostId | null; readonly isNew: boolean }
  /** In words for its owner. */
  | { readonly kind: "refused"; readonly why: string }
  | { readonly kind: "revoked" }

export type Reported = "passed" | "blobMissing" | { readonly breach: string }

/** A place for a blob that an attempt sends. */
export interface Berth {
  /** Of the attempt's campaign: whose the blob will be. */
  readonly owner: string
  /** The owner has it, and it stays for now: nothing need be sent. */
  readonly has: boolean
}

/** Of what an attempt gathers. */
export interface GatherPage {
  readonly entries: readonly { readonly index: number; readonly blob: BlobRef }[]
  /** The next page's first index; null: this is the last. */
  readonly next: number | null
  /** Jobs of the campaign that is gathered. */
  readonly total: number
}

/** Everything that a result names: with any of them it goes by report(). */
export function blobsOf(result: Result): BlobRef[] {
  return [result.stageout, result.stdout.blob, result.stderr.blob].filter(blob => blob !== null)
}

export interface Desk {
  /**
   * Whether the agent may join, before its NodeHello is posted. Rejects only when the hub cannot tell now: the agent comes back. An
   * answer binds nobody: of a node that was revoked meanwhile the core closes the link.
   */
  admit(newcomer: Newcomer): Promise<Admission>
  /** One-way: no promise for the frames that there are most of. An AttemptReported may name no blobs here. */
  post(event: LinkEvent): void
  /** As post, for a result that names blobs. Passed on to the core only if the campaign's owner has all of them, in these sizes. */
  report(event: AttemptReported): Promise<Reported>
  /** Resolves if the node holds the attempt, and the attempt calls for this blob; else rejects with permission_denied. */
  mayFetch(node: NodeId, attempt: AttemptName, digest: Digest): Promise<void>
  /** A place for this blob, if the node holds the attempt; else rejects with permission_denied. Counted against the attempt. */
  mayGive(node: NodeId, attempt: AttemptName, blob: BlobRef): Promise<Berth>
  /** The blob is whole and safe in the blob store, and is the owner's from now on. Resolves once its row is on disk. */
  stored(owner: string, blob: BlobRef): Promise<void>
  /** A page of what the attempt gathers, from this index on. Denied like everything that is not the node's own. */
  gather(node: NodeId, attempt: AttemptName, fromIndex: number): Promise<GatherPage>
}
