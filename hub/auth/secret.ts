// The form of every secret that the hub gives out: cah_<id>_<32 random bytes>_<crc>. The id finds the row; the row has
// the SHA-256 of the whole, which is enough for 256 random bits. The checksum tells a mistyped secret from a wrong one
// and lets scanners of leaked secrets recognise ours. Nothing here reads a table or a clock.
import { hash, randomBytes, timingSafeEqual } from "node:crypto"
import { crc32 } from "node:zlib"

/** cah: scientists and operators. cahjoin: agents that enrol. */
export type SecretKind = "cah" | "cahjoin"

export interface Minted {
  readonly id: string
  /** Shown once, stored nowhere. */
  readonly secret: string
  readonly hash: Uint8Array
}

const form = /^(cah|cahjoin)_([0-9a-f]{16})_([0-9a-f]{64})_([0-9a-f]{8})$/

export function mintSecret(kind: SecretKind): Minted {
  return secretOf(kind, randomBytes(8).toString("hex"), randomBytes(32))
}

/** The secret of this id and these 32 random bytes: for whoever must be able to make it again. */
export function secretOf(kind: SecretKind, id: string, random: Uint8Array): Minted {
  const body = `${kind}_${id}_${Buffer.from(random).toString("hex")}`
  const secret = `${body}_${checksum(body)}`
  return { id, secret, hash: hashSecret(secret) }
}

/** The id within, or null if the text cannot be a secret of that kind that we made. */
export function idOfSecret(kind: SecretKind, secret: string): string | null {
  const parts = form.exec(secret)
  if (parts === null || parts[1] !== kind) return null
  const body = secret.slice(0, secret.lastIndexOf("_"))
  return checksum(body) === parts[4] ? (parts[2] ?? null) : null
}

/** In constant time, so that an answer's delay tells nothing about the hash. */
export function secretMatches(secret: string, hash: Uint8Array): boolean {
  const given = hashSecret(secret)
  return given.byteLength === hash.byteLength && timingSafeEqual(given, hash)
}

function hashSecret(secret: string): Uint8Array {
  return hash("sha256", secret, "buffer")
}

function checksum(body: string): string {
  return crc32(body).toString(16).padStart(8, "0")
}
