// Signatures as every BOINC client checks them: RSA with 1024 bits over the MD5 of a file, in hexadecimal lines. Nothing stronger can be
// agreed on with a stock client, so the launcher checks the appliance once more by itself, with Ed25519 and SHA-256. The
// private key belongs to whoever makes releases and never lies on a hub; the hub only checks.
import {
  constants,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  privateEncrypt,
  publicDecrypt,
} from "node:crypto"

const BITS = 1024
const BYTES = BITS / 8
/** Characters in a line of keys and signatures: some readers of the client take 256 bytes at a time. */
const LINE = 64

export function makeCodeKey(): { privateKey: KeyObject; publicKey: KeyObject } {
  return generateKeyPairSync("rsa", { modulusLength: BITS, publicExponent: 0x10001 })
}

/** The size in bits, then modulus and exponent, each in 128 bytes, big end first; a line with a dot ends it. */
export function codeKeyText(key: KeyObject): string {
  const { n, e } = key.export({ format: "jwk" })
  const size = key.asymmetricKeyDetails?.modulusLength
  if (key.asymmetricKeyType !== "rsa" || size !== BITS || n === undefined || e === undefined) {
    throw new Error(`a code-signing key has ${BITS} bits of RSA: the stock client knows no other`)
  }
  return `${BITS}\n${lines(Buffer.concat([padded(n), padded(e)]))}`
}

/** What a private key signs is the MD5 as 32 characters, without saying which digest it is: so the client has it. */
export function signMd5(privateKey: KeyObject, md5: string): string {
  const key = { key: privateKey, padding: constants.RSA_PKCS1_PADDING }
  return lines(privateEncrypt(key, Buffer.from(md5, "ascii")))
}

/** False for whatever is no signature too. */
export function isMd5Signed(keyText: string, md5: string, signature: string): boolean {
  const key = keyOfText(keyText)
  const bytes = bytesOf(signature)
  if (key === null || bytes === null || bytes.length !== BYTES) return false
  try {
    return publicDecrypt({ key, padding: constants.RSA_PKCS1_PADDING }, bytes).toString("ascii") === md5
  } catch {
    return false
  }
}

/** Null: it is not one. */
function keyOfText(text: string): KeyObject | null {
  const [size, ...rest] = text.trim().split("\n")
  const bytes = bytesOf(rest.join("\n"))
  if (size !== String(BITS) || bytes === null || bytes.length !== 2 * BYTES) return null
  const number = (from: number) => bytes.subarray(from, from + BYTES).toString("base64url")
  try {
    return createPublicKey({ format: "jwk", key: { kty: "RSA", n: number(0), e: number(BYTES) } })
  } catch {
    return null
  }
}

function padded(number: string): Buffer {
  const bytes = Buffer.from(number, "base64url")
  return Buffer.concat([Buffer.alloc(BYTES - bytes.length), bytes])
}

function lines(bytes: Buffer): string {
  const rows = bytes.toString("hex").match(new RegExp(`.{1,${LINE}}`, "g")) ?? []
  return `${rows.join("\n")}\n.\n`
}

function bytesOf(text: string): Buffer | null {
  const hex = text.replace(/\.\s*$/, "").replace(/\s+/g, "")
  return /^(?:[0-9a-f]{2})+$/.test(hex) ? Buffer.from(hex, "hex") : null
}
