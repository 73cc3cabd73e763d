// The release key and what is done with it: made once, kept off line, used to sign a manifest's exact bytes. Whoever has the public half can
// check an image: its signature, and that each file is what the manifest says. Never overwrites a key.
import { createPrivateKey, generateKeyPairSync, sign } from "node:crypto"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { FieldError } from "../proto/guest/fields.ts"
import { type ImageManifest, isSigned, MANIFEST_FILE, parseManifest, SIGNATURE_FILE } from "../proto/guest/manifest.ts"
import { measured } from "./build.ts"
import { ApplianceError } from "./errors.ts"

/** Writes `<path>` (secret, mode 0600) and `<path>.pub`. */
export async function makeKey(path: string): Promise<void> {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519")
  await writeNew(path, privateKey.export({ type: "pkcs8", format: "pem" }).toString(), 0o600)
  await writeNew(`${path}.pub`, publicKey.export({ type: "spki", format: "pem" }).toString(), 0o644)
}

async function writeNew(path: string, text: string, mode: number): Promise<void> {
  await writeFile(path, text, { mode, flag: "wx" }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw new ApplianceError(`${path} cannot be written (${error.code})`)
    throw new ApplianceError(`${path} is there already; a key that signed releases is not to be replaced by accident`)
  })
}

/** Signs the manifest of an image. */
export async function signImage(directory: string, keyPath: string): Promise<void> {
  const manifest = await readPart(directory, MANIFEST_FILE)
  parse(manifest, directory)
  const pem = await readFile(keyPath, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new ApplianceError(`${keyPath} cannot be read (${error.code}); "npm run appliance -- key" makes a key`)
  })
  let signature: Buffer
  try {
    const key = createPrivateKey(pem)
    if (key.asymmetricKeyType !== "ed25519") throw new TypeError(key.asymmetricKeyType)
    signature = sign(null, manifest, key)
  } catch {
    throw new ApplianceError(`${keyPath} holds no private ed25519 key in PEM`)
  }
  await writeFile(join(directory, SIGNATURE_FILE), `${signature.toString("base64")}\n`)
}

/** The manifest of an image that is what was signed. ApplianceError says what is not. */
export async function verifyImage(directory: string, publicKeyPath: string): Promise<ImageManifest> {
  const pem = await readFile(publicKeyPath, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new ApplianceError(`${publicKeyPath} cannot be read (${error.code})`)
  })
  const bytes = await readPart(directory, MANIFEST_FILE)
  const signature = await readPart(directory, SIGNATURE_FILE).catch(() => {
    throw new ApplianceError(`${directory} is not signed; "npm run appliance -- sign" does that`)
  })
  if (!isSigned(bytes, signature.toString(), pem)) {
    throw new ApplianceError(`${directory} was not signed by the holder of ${publicKeyPath}, or was changed since`)
  }
  const manifest = parse(bytes, directory)
  for (const [name, { sizeBytes, sha256 }] of Object.entries(manifest.files)) {
    const found = await measured(join(directory, name)).catch(() => null)
    if (found === null) throw new ApplianceError(`${directory} lacks ${name}`)
    if (found.sizeBytes !== sizeBytes || found.sha256 !== sha256) {
      throw new ApplianceError(`${join(directory, name)} is not the file that the manifest names`)
    }
  }
  return manifest
}

/** The manifest as it stands, signed or not. */
export async function readImage(
  directory: string,
): Promise<{ manifest: ImageManifest; bytes: Buffer; isSigned: boolean }> {
  const bytes = await readPart(directory, MANIFEST_FILE)
  const signature = await readPart(directory, SIGNATURE_FILE).catch(() => null)
  return { manifest: parse(bytes, directory), bytes, isSigned: signature !== null }
}

function parse(bytes: Buffer, directory: string): ImageManifest {
  try {
    return parseManifest(bytes.toString())
  } catch (error) {
    if (error instanceof FieldError) throw new ApplianceError(`${join(directory, MANIFEST_FILE)}: ${error.message}`)
    throw error
  }
}

function readPart(directory: string, name: string): Promise<Buffer> {
  return readFile(join(directory, name)).catch((error: NodeJS.ErrnoException) => {
    throw new ApplianceError(`${join(directory, name)} cannot be read (${error.code}); is ${directory} an image?`)
  })
}
