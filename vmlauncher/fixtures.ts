// What the launcher's tests need: directories that vanish, an appliance of a tiny guest that is whole and signed, and whether QEMU is here.
import { createHash, generateKeyPairSync, sign } from "node:crypto"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type ImageManifest, printManifest } from "../proto/guest/manifest.ts"
import { findQemu } from "./hypervisor/qemu/qemu.ts"
import { tinyGuest } from "./hypervisor/qemu/tinyGuest.ts"

export interface TestContext {
  after(what: () => unknown): void
}

export function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "cah-vml-"))
  t.after(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }))
  return directory
}

const keys = generateKeyPairSync("ed25519")
export const testKeyPem = keys.publicKey.export({ type: "spki", format: "pem" }) as string

/** Says that it is up and that its agent has said hello, and then a letter now and then. */
export const working = "cah: up\ncah: agent hello\n"

/** An image directory. Its root and initrd are nothing that anybody looks into. */
export function writeAppliance(directory: string, says = working, change: Partial<ImageManifest> = {}): string {
  mkdirSync(directory, { recursive: true })
  const contents = { kernel: tinyGuest(says), initrd: Buffer.from("initrd\n"), root: Buffer.alloc(4_096, "root") }
  const files = Object.fromEntries(
    Object.entries(contents).map(([name, bytes]) => {
      writeFileSync(join(directory, name), bytes)
      return [name, { sizeBytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") }]
    }),
  ) as ImageManifest["files"]
  const manifest = printManifest({
    name: "tiny",
    version: "1",
    arch: "x86_64",
    kernelCommand: "console=ttyS0",
    minMemoryMb: 32,
    files,
    packages: [],
    ...change,
  })
  writeFileSync(join(directory, "manifest.json"), manifest)
  writeFileSync(join(directory, "manifest.json.sig"), sign(null, manifest, keys.privateKey).toString("base64"))
  return directory
}

/** Null: QEMU is here; else why a test that needs it cannot run. */
export async function whyNoQemu(): Promise<string | null> {
  const found = await findQemu()
  return "why" in found ? found.why : null
}
