// Who an agent is, and what it signs to prove it. The bytes are written here once, so that hub and agent cannot differ.
// Each part is preceded by its length: no two different hellos give the same bytes. Keys themselves are not handled here.
import { createHash } from "node:crypto"

/** Names what is signed, so that the signature can never pass for another one made with the same key. */
const label = "cah-agent-v1"

/** Bytes of a challenge's nonce. */
export const NONCE_BYTES = 32

export interface HelloProof {
  /** Of the challenge: a signature given to one hub is worth nothing at another. */
  readonly hubId: string
  readonly nonce: Uint8Array
  readonly nodeId: string
  readonly bootId: string
}

/** The exact bytes that the agent signs with its ed25519 key. */
export function helloBytes(proof: HelloProof): Uint8Array {
  const texts = [proof.nodeId, proof.bootId]
  const parts = [Buffer.from(label), Buffer.from(proof.hubId), proof.nonce, ...texts.map(text => Buffer.from(text))]
  return Buffer.concat(parts.flatMap(lengthPrefixed))
}

/** "n" and 64 bits of the raw public key's SHA-256. The hub also compares the whole key of a node it knows. */
export function nodeIdOf(publicKey: Uint8Array): string {
  return `n${createHash("sha256").update(publicKey).digest("hex").slice(0, 16)}`
}

function lengthPrefixed(part: Uint8Array): Uint8Array[] {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(part.length)
  return [length, part]
}
