// What an appliance is made of: the digest of each file, how to boot it, and every Debian package inside. Written by the builder, signed off
// line, checked by the launcher before anything of it is booted. The signature is over the file's exact bytes, and the digest of those
// bytes is the image's name for the hub; so a manifest is never printed anew from what was read. Pure; keys are handed in.
import { createHash, createPublicKey, verify } from "node:crypto"
import { type Digest, digestOf, parseDigest } from "../wire/digest.ts"
import {
  anyObject,
  checkFields,
  FieldError,
  list,
  object,
  parseObject,
  type Rule,
  type Rules,
  text,
  wholeNumber,
} from "./fields.ts"

/** A thousand packages take 60 kB. */
export const MANIFEST_MAX_BYTES = 1024 * 1024
export const MANIFEST_FORMAT = 1
export const MANIFEST_FILE = "manifest.json"
/** Base64 of the ed25519 signature. */
export const SIGNATURE_FILE = "manifest.json.sig"
const PACKAGES_MAX = 10_000

/** Files of an image, by their names in its directory. The ISO holds the other three, for a hypervisor that boots from a disk. */
export const imageFiles = ["kernel", "initrd", "root", "appliance.iso"] as const
export type ImageFileName = (typeof imageFiles)[number]

export interface ImageFile {
  readonly sizeBytes: number
  /** 64 hexadecimal digits. */
  readonly sha256: string
}

export interface ImageManifest {
  readonly name: string
  readonly version: string
  readonly arch: "x86_64"
  /** The kernel's command line. */
  readonly kernelCommand: string
  /** Below this it does not boot. */
  readonly minMemoryMb: number
  readonly files: Readonly<Record<"kernel" | "initrd" | "root", ImageFile>> & { readonly "appliance.iso"?: ImageFile }
  readonly packages: readonly { readonly name: string; readonly version: string }[]
}

const what = "the image's manifest"

/** The bytes to sign. FieldError for what parseManifest would not take. */
export function printManifest(manifest: ImageManifest): Uint8Array {
  const printed = `${JSON.stringify({ format: MANIFEST_FORMAT, ...manifest }, null, 2)}\n`
  parseManifest(printed)
  return Buffer.from(printed)
}

/** FieldError says what is wrong. Check the signature first: what nobody signed is nobody's word. */
export function parseManifest(printed: string): ImageManifest {
  const { format, ...fields } = parseObject(printed, what, MANIFEST_MAX_BYTES)
  if (format !== MANIFEST_FORMAT) {
    const found = format === undefined ? "no format" : `format ${JSON.stringify(format)}`
    throw new FieldError(`${what} has ${found}, not ${MANIFEST_FORMAT}: launcher and appliance do not fit together`)
  }
  return checkFields(fields, rules, what)
}

/** What the hub calls this image. */
export function imageDigest(manifestBytes: Uint8Array): Digest {
  return digestOf(createHash("sha256").update(manifestBytes).digest())
}

/** Whether the holder of the release key signed exactly these bytes. A signature or a key that is none is as good as a wrong one. */
export function isSigned(manifestBytes: Uint8Array, signatureBase64: string, publicKeyPem: string): boolean {
  try {
    const key = createPublicKey(publicKeyPem)
    if (key.asymmetricKeyType !== "ed25519") return false
    return verify(null, manifestBytes, key, Buffer.from(signatureBase64.trim(), "base64"))
  } catch {
    return false
  }
}

// ---- what each may be -------------------------------------------------------------------------------------------

const nameRule = text("1 to 64 letters, digits, dots, dashes or underscores", value => /^[\w.-]{1,64}$/.test(value))
const versionRule = text("1 to 64 letters, digits and . + ~ -", value => /^[\w.+~-]{1,64}$/.test(value))

/** How an image is named to the guest that it became. */
export const imageNames = {
  name: nameRule,
  version: versionRule,
  digest: text('"sha256:" and 64 hexadecimal digits', value => parseDigest(value) !== null) as Rule<Digest>,
}

const file = object<ImageFile>({
  sizeBytes: wholeNumber(1),
  sha256: text("64 hexadecimal digits", value => /^[0-9a-f]{64}$/.test(value)),
})

const rules: Rules<ImageManifest> = {
  name: nameRule,
  version: versionRule,
  arch: text('"x86_64"', value => value === "x86_64") as Rule<"x86_64">,
  kernelCommand: text("one line of printable characters", value => /^[\x20-\x7e]{1,1024}$/.test(value)),
  minMemoryMb: wholeNumber(1, 1_048_576),
  files(value, where) {
    const { "appliance.iso": iso, ...others } = anyObject(value, where)
    const wanted = checkFields(others, { kernel: file, initrd: file, root: file }, where)
    return iso === undefined ? wanted : { ...wanted, "appliance.iso": file(iso, `${where}: appliance.iso`) }
  },
  packages: list(
    object({
      name: text("a package's name", value => /^[a-z0-9][a-z0-9.+-]{0,127}$/.test(value)),
      version: text("a package's version", value => /^[\w.+~:-]{1,128}$/.test(value)),
    }),
    PACKAGES_MAX,
  ),
}
