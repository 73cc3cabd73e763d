// Who this node is: an ed25519 key, made at the first start and kept in the state directory, readable by its owner alone.
// And the boot id, by which the hub tells lost work from work that goes on: it changes with a boot of the machine (processes
// are gone) and with a new state directory (the journal is gone). The key never leaves this file.
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from "node:crypto"
import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises"
import { join } from "node:path"
import { nodeIdOf } from "../../proto/wire/hello.ts"
import { Failure } from "../core/ports.ts"

const keyFile = "node.key"
const stateFile = "state.id"
/** New at each boot of a Linux kernel. Elsewhere only a new state directory counts as a boot. */
const kernelBootIdFile = "/proc/sys/kernel/random/boot_id"

export interface Identity {
  readonly nodeId: string
  /** Raw, 32 bytes. */
  readonly publicKey: Uint8Array
  readonly bootId: string
  sign(bytes: Uint8Array): Uint8Array
}

/** Reads the identity, or makes one in a directory that has none. Failure when the files are not safe or not usable. */
export async function openIdentity(stateDirectory: string, readBootId = kernelBootId): Promise<Identity> {
  await mkdir(stateDirectory, { recursive: true, mode: 0o700 })
  const key = await readKey(stateDirectory)
  const stateId = await keptOrMade(join(stateDirectory, stateFile), () => randomBytes(16).toString("hex"))
  const publicKey = rawPublicKey(key)
  const bootId = createHash("sha256")
    .update(`${await readBootId()}\n${stateId}`)
    .digest("hex")
    .slice(0, 32)
  return { nodeId: nodeIdOf(publicKey), publicKey, bootId, sign: bytes => sign(null, bytes, key) }
}

async function readKey(stateDirectory: string): Promise<KeyObject> {
  const path = join(stateDirectory, keyFile)
  const pem = await keptOrMade(path, () =>
    generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  )
  const mode = (await stat(path)).mode & 0o777
  if ((mode & 0o077) !== 0) {
    const shown = mode.toString(8).padStart(4, "0")
    throw new Failure(`${path} has mode ${shown}: others can read the node's key; run: chmod 600 ${path}`, {
      final: true,
    })
  }
  try {
    const key = createPrivateKey(pem)
    if (key.asymmetricKeyType === "ed25519") return key
  } catch (cause) {
    throw new Failure(`${path} does not hold a key; remove it to make a new node`, { final: true, cause })
  }
  throw new Failure(`${path} holds another kind of key than ed25519; remove it to make a new node`, { final: true })
}

/** The file's content; in a directory without it, what `make` makes, on disk before it is used. */
async function keptOrMade(path: string, make: () => string): Promise<string> {
  try {
    return await readFile(path, "utf8")
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error
  }
  const made = make()
  const temporary = `${path}.new`
  // What a crash left half-written was never used.
  await rm(temporary, { force: true })
  const file = await open(temporary, "wx", 0o600)
  try {
    await file.writeFile(made)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
  return made
}

/** The last 32 bytes of the key's SubjectPublicKeyInfo (RFC 8410 §4). */
function rawPublicKey(key: KeyObject): Uint8Array {
  return createPublicKey(key).export({ type: "spki", format: "der" }).subarray(-32)
}

async function kernelBootId(): Promise<string> {
  try {
    return (await readFile(kernelBootIdFile, "utf8")).trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "no kernel boot id"
    throw error
  }
}
