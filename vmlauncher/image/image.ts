// The appliance, checked before anything of it is booted: the manifest's signature by the release key, then size and SHA-256 of each file. BOINC
// itself can check no more than MD5 and RSA-1024; this is the check that counts. Reads only.
import { createHash } from "node:crypto"
import { createReadStream, readFileSync, statSync } from "node:fs"
import { FieldError } from "../../proto/guest/fields.ts"
import {
  type ImageFile,
  type ImageFileName,
  type ImageManifest,
  imageDigest,
  imageFiles,
  isSigned,
  MANIFEST_FILE,
  MANIFEST_MAX_BYTES,
  parseManifest,
  SIGNATURE_FILE,
} from "../../proto/guest/manifest.ts"
import type { Digest } from "../../proto/wire/digest.ts"
import { Failure, type ImagePaths } from "../core/ports.ts"
import { sizeInWords } from "../core/text.ts"

export interface Image {
  readonly manifest: ImageManifest
  readonly digest: Digest
  readonly paths: ImagePaths
}

const SIGNATURE_MAX_BYTES = 1_024

/**
 * `locate` says where a file of the image lies. What one hypervisor needs, another does not: the three files or the ISO will do, and all that
 * is there is checked. Failure for an image that is not whole, not the signed one, or not signed by this key.
 */
export async function openImage(locate: (name: string) => string, releaseKeyPem: string): Promise<Image> {
  const bytes = readSmall(locate(MANIFEST_FILE), MANIFEST_FILE, MANIFEST_MAX_BYTES)
  const signature = readSmall(locate(SIGNATURE_FILE), SIGNATURE_FILE, SIGNATURE_MAX_BYTES).toString("latin1")
  if (!isSigned(bytes, signature, releaseKeyPem)) {
    throw refused("its signature is wrong: it was changed, or made by somebody else than this launcher's makers")
  }
  const manifest = parsed(bytes)
  const found = async (name: ImageFileName): Promise<string | null> => {
    const file = manifest.files[name]
    const path = locate(name)
    if (file === undefined || sizeOf(path) === null) return null
    await check(name, path, file)
    return path
  }
  const paths: ImagePaths = {
    kernel: await found("kernel"),
    initrd: await found("initrd"),
    root: await found("root"),
    iso: await found("appliance.iso"),
  }
  const missing = imageFiles.slice(0, 3).filter(name => sizeOf(locate(name)) === null)
  if (missing.length > 0 && paths.iso === null)
    throw refused(`its ${missing.join(" and its ")} ${missing.length > 1 ? "are" : "is"} not there`)
  return { manifest, digest: imageDigest(bytes), paths }
}

async function check(name: ImageFileName, path: string, file: ImageFile): Promise<void> {
  const sizeBytes = sizeOf(path)
  if (sizeBytes !== null && sizeBytes !== file.sizeBytes) {
    const [has, should] = [sizeInWords(sizeBytes), sizeInWords(file.sizeBytes)]
    throw refused(
      `its ${name} has ${sizeBytes} bytes (${has}), not ${file.sizeBytes} (${should}): a download was cut short or changed`,
    )
  }
  const hash = createHash("sha256")
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) hash.update(chunk as Buffer)
  } catch (cause) {
    throw refused(`its ${name} cannot be read (${(cause as NodeJS.ErrnoException).code})`, cause)
  }
  if (hash.digest("hex") !== file.sha256) throw refused(`its ${name} is damaged: its SHA-256 is not the signed one`)
}

function sizeOf(path: string): number | null {
  return statSync(path, { throwIfNoEntry: false })?.size ?? null
}

function readSmall(path: string, name: string, maxBytes: number): Buffer {
  const sizeBytes = sizeOf(path)
  if (sizeBytes === null) throw refused(`its ${name} is not there (${path})`)
  if (sizeBytes > maxBytes) throw refused(`its ${name} has ${sizeBytes} bytes, more than ${maxBytes}`)
  try {
    return readFileSync(path)
  } catch (cause) {
    throw refused(`its ${name} cannot be read (${(cause as NodeJS.ErrnoException).code})`, cause)
  }
}

function parsed(bytes: Buffer): ImageManifest {
  try {
    return parseManifest(bytes.toString("utf8"))
  } catch (error) {
    if (error instanceof FieldError) throw refused(error.message, error)
    throw error
  }
}

function refused(why: string, cause?: unknown): Failure {
  return new Failure(`the virtual machine's image is not started: ${why}`, { laterSeconds: null, cause })
}
