// A simulated agent's key, made when the process starts: as many as agents. Signs as the real agent does.
import { generateKeyPairSync, sign } from "node:crypto"
import type { Challenge } from "../../../proto/gen/cah/v1/link_pb.ts"
import { helloBytes, nodeIdOf } from "../../../proto/wire/hello.ts"

export interface LoadIdentity {
  readonly nodeId: string
  readonly publicKey: Uint8Array
  readonly bootId: string
  signHello(challenge: Challenge): Uint8Array
}

export function newIdentity(number: number): LoadIdentity {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519")
  const raw = new Uint8Array(publicKey.export({ type: "spki", format: "der" }).subarray(-32))
  const nodeId = nodeIdOf(raw)
  const bootId = `bench-${process.pid}-${number}`
  return {
    nodeId,
    publicKey: raw,
    bootId,
    signHello: ({ hubId, nonce }) => sign(null, helloBytes({ hubId, nonce, nodeId, bootId }), privateKey),
  }
}
