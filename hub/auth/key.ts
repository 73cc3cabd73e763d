// The hub's own key for what it hands to volunteers' computers and wants to know again: leave to upload a file, and the secret of
// an enrolment, which is so never in the database. Made at the first start and kept in the data directory. It signs
// no program: the key for that is not here.
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto"
import { open, readFile, rename } from "node:fs/promises"
import { join } from "node:path"
import { CahError } from "../core/errors.ts"

const BYTES = 32

export class HubKey {
  readonly #secret: Buffer

  constructor(secret: Buffer) {
    this.#secret = secret
  }

  /** Leave to upload so much under this name, in hexadecimal: what BOINC's servers sign, for nobody but themselves. */
  uploadLeave(name: string, maxBytes: number): string {
    return this.derive("upload", name, String(maxBytes)).toString("hex")
  }

  isUploadLeave(name: string, maxBytes: number, given: string): boolean {
    const leave = Buffer.from(this.uploadLeave(name, maxBytes))
    const theirs = Buffer.from(given.replace(/[\s.]/g, ""))
    return leave.length === theirs.length && timingSafeEqual(leave, theirs)
  }

  /** 32 bytes that only this hub can make, for a purpose and what it is about. */
  derive(purpose: string, ...about: string[]): Buffer {
    return createHmac("sha256", this.#secret)
      .update([purpose, ...about].join("\n"))
      .digest()
  }
}

export async function openHubKey(directory: string): Promise<HubKey> {
  const path = join(directory, "boinc.key")
  const text = await readFile(path, "utf8").catch(error => {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null
    throw new CahError("failed_precondition", `${path} cannot be read: ${(error as Error).message}`, { cause: error })
  })
  if (text === null) return makeHubKey(path)
  const secret = Buffer.from(text.trim(), "hex")
  if (secret.length !== BYTES) {
    throw new CahError(
      "failed_precondition",
      `${path} is damaged: restore it from a backup, or remove it and all launches end`,
    )
  }
  return new HubKey(secret)
}

async function makeHubKey(path: string): Promise<HubKey> {
  const secret = randomBytes(BYTES)
  const file = await open(`${path}.new`, "w", 0o600)
  try {
    await file.writeFile(`${secret.toString("hex")}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(`${path}.new`, path)
  return new HubKey(secret)
}
