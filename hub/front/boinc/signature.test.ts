import assert from "node:assert/strict"
import { createHash, createPublicKey, generateKeyPairSync } from "node:crypto"
import { test } from "node:test"
import { codeKeyText, isMd5Signed, makeCodeKey, signMd5 } from "./signature.ts"

const md5 = createHash("md5").update("the launcher").digest("hex")
const { privateKey, publicKey } = makeCodeKey()

test("a key is written as clients read it: size, then 256 bytes in lines of 64 characters, then a dot", () => {
  const lines = codeKeyText(publicKey).split("\n")
  assert.equal(lines[0], "1024")
  assert.ok(lines.slice(1, 9).every(line => /^[0-9a-f]{64}$/.test(line)))
  assert.deepEqual(lines.slice(9), [".", ""])
  assert.ok(lines.slice(5, 9).join("").endsWith("010001"), "the exponent, padded to 128 bytes")
})

test("a signature holds for its file and its key, and for no other", () => {
  const key = codeKeyText(publicKey)
  const signature = signMd5(privateKey, md5)
  assert.match(signature, /^(?:[0-9a-f]{64}\n){4}\.\n$/)
  assert.equal(isMd5Signed(key, md5, signature), true)
  assert.equal(isMd5Signed(key, md5, `\n${signature}  `), true, "blanks around it do not matter")
  assert.equal(
    isMd5Signed(
      key,
      md5.replace(/^./, c => (c === "0" ? "1" : "0")),
      signature,
    ),
    false,
  )
  assert.equal(isMd5Signed(codeKeyText(makeCodeKey().publicKey), md5, signature), false)
  assert.equal(
    isMd5Signed(
      key,
      md5,
      signature.replace(/^./, c => (c === "0" ? "1" : "0")),
    ),
    false,
  )
})

test("what is no signature or no key is refused without an exception", () => {
  const key = codeKeyText(publicKey)
  for (const signature of ["", "..", "zz", "00", signMd5(privateKey, md5).slice(0, 100)]) {
    assert.equal(isMd5Signed(key, md5, signature), false)
  }
  for (const wrong of ["", "1024\n.", "2048\n00\n.", `1024\n${"0".repeat(512)}\n.`]) {
    assert.equal(isMd5Signed(wrong, md5, signMd5(privateKey, md5)), false)
  }
})

test("a signature is what openssl makes of it: raw RSA over the digest's text", () => {
  // The private operation undone by hand: the padding of PKCS#1 type 1 around 32 characters, without a DigestInfo.
  const { n, e } = createPublicKey(privateKey).export({ format: "jwk" })
  const modulus = BigInt(`0x${Buffer.from(n!, "base64url").toString("hex")}`)
  const signature = BigInt(`0x${signMd5(privateKey, md5).replace(/[\n.]/g, "")}`)
  const exponent = BigInt(`0x${Buffer.from(e!, "base64url").toString("hex")}`)
  const opened = powered(signature, exponent, modulus).toString(16).padStart(256, "0")
  assert.equal(opened, `0001${"ff".repeat(128 - 3 - 32)}00${Buffer.from(md5).toString("hex")}`)
})

test("only a key that the stock client can hold is taken", () => {
  const { publicKey: large } = generateKeyPairSync("rsa", { modulusLength: 2048 })
  const { publicKey: other } = generateKeyPairSync("ed25519")
  for (const key of [large, other]) assert.throws(() => codeKeyText(key), /1024 bits of RSA/)
})

function powered(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n
  for (let bit = exponent.toString(2).length - 1; bit >= 0; bit--) {
    result = (result * result) % modulus
    if ((exponent >> BigInt(bit)) & 1n) result = (result * base) % modulus
  }
  return result
}
