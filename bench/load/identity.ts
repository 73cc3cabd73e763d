// A simulated agent's key, made when the process starts: as many as agents. Signs as the real agent does.
import { generateKeyPairSync, sign } from "node:crypto"
import type { Identity } from "../../agent/link/identity.ts"
import { nodeIdOf } from "../../proto/wire/hello.ts"

export function newIdentity(number: number): Identity {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519")
  const raw = new Uint8Array(publicKey.export({ type: "spki", format: "der" }).subarray(-32))
  const bootId = `bench-${process.pid}-${number}`
  return { nodeId: nodeIdOf(raw), publicKey: raw, bootId, sign: bytes => sign(null, bytes, privateKey) }
}
