// "sha256:<64 hex>": the name of a blob. Parsed once at the rim, then carried as a branded string.

export type Digest = string & { readonly brand: "Digest" }

const form = /^sha256:[0-9a-f]{64}$/

/** The digest, or null if the text is not one. */
export function parseDigest(text: string): Digest | null {
  return form.test(text) ? (text as Digest) : null
}

/** The digest of a finished SHA-256, given its 32 bytes. */
export function digestOf(hash: Uint8Array): Digest {
  return `sha256:${Buffer.from(hash.buffer, hash.byteOffset, hash.byteLength).toString("hex")}` as Digest
}

/** The 64 hexadecimal digits, which name the file that holds the blob. */
export function hexOf(digest: Digest): string {
  return digest.slice("sha256:".length)
}
