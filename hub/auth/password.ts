// Passwords of volunteers: kept as scrypt, and each also locks away the account's key, so that neither can be read from
// the database. What counts as the password is what a BOINC client sends in its place, the MD5 of password and address;
// whoever had that could log in, so it is treated like the password itself.
import { createCipheriv, createDecipheriv, createHash, randomBytes, scrypt, timingSafeEqual } from "node:crypto"
import { FairTurns } from "../../common/turns.ts"
import { CahError } from "../core/errors.ts"
import { PASSWORD_SCRYPT_COST, PASSWORDS_WAITING_MAX } from "../limits.ts"

export interface Locked {
  /** Its first byte is the cost, as a power of 2: what was locked at an older cost still opens. */
  readonly salt: Uint8Array
  readonly password: Uint8Array
  readonly sealedKey: Uint8Array
}

const HALF = 32
const NONCE = 12
const TAG = 16

/** One at a time, because each takes 128 MiB; and in turn, so that who guesses passwords keeps nobody else waiting. */
const turns = new FairTurns(
  PASSWORDS_WAITING_MAX,
  () => new CahError("unavailable", "many people are logging in just now: try again in a minute"),
)

/** What the client makes of a password, and what a page on the web has to make of it too. */
export function passwordHash(password: string, email: string): string {
  return createHash("md5").update(`${password}${email.toLowerCase()}`).digest("hex")
}

/** Locks the key away under the password, at a cost of 2^`cost`. CahError unavailable when too many wait; `turn`: whose turn it takes. */
export async function lock(given: string, key: string, cost = PASSWORD_SCRYPT_COST, turn = ""): Promise<Locked> {
  const salt = Buffer.concat([Buffer.from([cost]), randomBytes(16)])
  const [password, secret] = await derive(turn, given, salt)
  const nonce = randomBytes(NONCE)
  const cipher = createCipheriv("aes-256-gcm", secret, nonce)
  const sealed = Buffer.concat([cipher.update(key, "ascii"), cipher.final()])
  return { salt, password, sealedKey: Buffer.concat([nonce, cipher.getAuthTag(), sealed]) }
}

/** The key, or null: it is not the password. Likewise in turn. */
export async function unlock(given: string, { salt, password, sealedKey }: Locked, turn = ""): Promise<string | null> {
  const [derived, secret] = await derive(turn, given, salt)
  if (derived.byteLength !== password.byteLength || !timingSafeEqual(derived, password)) return null
  const decipher = createDecipheriv("aes-256-gcm", secret, sealedKey.subarray(0, NONCE))
  decipher.setAuthTag(sealedKey.subarray(NONCE, NONCE + TAG))
  return Buffer.concat([decipher.update(sealedKey.subarray(NONCE + TAG)), decipher.final()]).toString("ascii")
}

/** The half that is compared, and the half that locks. */
async function derive(turn: string, given: string, salt: Uint8Array): Promise<[Buffer, Buffer]> {
  const bytes = await turns.take(turn, () => scrypted(given, salt))
  return [bytes.subarray(0, HALF), bytes.subarray(HALF)]
}

function scrypted(given: string, salt: Uint8Array): Promise<Buffer> {
  // Node's own bound is below what this needs: 128 bytes times N times r.
  const N = 2 ** (salt[0] ?? 0)
  const cost = { N, r: 8, p: 1, maxmem: 2 * 128 * N * 8 }
  return new Promise((resolve, reject) => {
    scrypt(given, salt, 2 * HALF, cost, (error, bytes) => (error === null ? resolve(bytes) : reject(error)))
  })
}
