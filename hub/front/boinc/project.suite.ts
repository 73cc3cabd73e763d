// For tests of the fronts for volunteers: a signed release on disk, a hub with it, and what a client does over HTTP. Nothing else imports
// this.
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, afterEach, before } from "node:test"
import { gzipSync } from "node:zlib"
import type { LinkId, NodeId } from "../../core/model.ts"
import { openFront, type TestFront } from "../front.suite.ts"
import { clientRequest, type Sent } from "./client.suite.ts"
import { openRelease, type Release, type ReleaseJson } from "./release.ts"
import { codeKeyText, makeCodeKey, signMd5 } from "./signature.ts"
import { type Element, readXml } from "./xml.ts"

const program = Buffer.from("#!/bin/sh\nexit 0\n")
export const image = Buffer.from("0123456789".repeat(5_000))
/** What a client sends in place of a password. */
export const password = createHash("md5").update("secret").digest("hex")
const { privateKey, publicKey } = makeCodeKey()

/** Two files and what describes them, as `npm run boinc -- sign` would leave them. */
export async function writeRelease(directory: string, change: Partial<ReleaseJson> = {}): Promise<ReleaseJson> {
  await mkdir(join(directory, "files"), { recursive: true })
  const files: ReleaseJson["files"] = []
  for (const [name, bytes] of [["vmlauncher_1", program] as const, ["root_1", image] as const]) {
    await writeFile(join(directory, "files", name), bytes)
    const md5 = createHash("md5").update(bytes).digest("hex")
    const sha256 = createHash("sha256").update(bytes).digest("hex")
    const signature = signMd5(privateKey, md5)
    const packed = gzipSync(bytes)
    const isPacked = bytes === image
    if (isPacked) await writeFile(join(directory, "files", `${name}.gz`), packed)
    const gzip = isPacked
      ? { sizeBytes: packed.length, sha256: createHash("sha256").update(packed).digest("hex") }
      : null
    files.push({ name, sizeBytes: bytes.length, md5, sha256, executable: bytes === program, signature, gzip })
  }
  const named = [
    { name: "vmlauncher_1", openName: null },
    { name: "root_1", openName: "root" },
  ]
  const json: ReleaseJson = {
    format: 1,
    name: "vmlauncher",
    title: "Work in a virtual machine",
    version: "0.1.0",
    versionNumber: 100,
    minMemoryBytes: 0,
    minDiskBytes: 0,
    codeSignKey: codeKeyText(publicKey),
    files,
    appVersions: [{ platform: "x86_64-pc-linux-gnu", planClass: "qemu", files: named }],
    ...change,
  }
  await writeFile(join(directory, "release.json"), JSON.stringify(json))
  return json
}

/** Hubs of one test file: closed after each test. */
export function projects() {
  let directory: string
  let release: Release
  const fronts: TestFront[] = []
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "cah-release-"))
    await writeRelease(directory)
    release = await openRelease(directory)
  })
  after(() => rm(directory, { recursive: true }))
  afterEach(async () => {
    for (const front of fronts.splice(0)) await front.close()
  })
  return async function open(change: Parameters<typeof openFront>[0] = {}): Promise<TestFront & { release: Release }> {
    const front = await openFront({ release, ...change })
    fronts.push(front)
    return { ...front, release }
  }
}

export async function account(front: TestFront, email = "vera@example.org"): Promise<{ key: string; id: number }> {
  const { key, volunteer } = await front.accounts.create({ email, password, name: "Vera" })
  return { key, id: volunteer.id }
}

/** One scheduler RPC; its answer, if it is the wanted status. */
export async function call(front: TestFront, sent: Partial<Sent>, status = 200): Promise<Element> {
  const answer = await fetch(`${front.url}/scheduler`, { method: "POST", body: clientRequest(sent) })
  const body = await answer.text()
  assert.equal(answer.status, status, body)
  if (status !== 200) return readXml("<e/>", "e")
  // The one tag with an attribute, which our own reader does without.
  return readXml(body.replace(/<message priority="\w+">/g, "<message>"), "scheduler_reply")
}

export async function textOf(front: TestFront, path: string): Promise<string> {
  return (await fetch(`${front.url}${path}`)).text()
}

/** The node comes online, as after its first hello. */
export async function online(front: TestFront, node: string, account: string): Promise<void> {
  front.engine.post({
    kind: "NodeHello",
    link: 2 as LinkId,
    node: node as NodeId,
    account,
    host: null,
    network: "192.0.2.0/24",
    publicKey: new Uint8Array(32),
    agentVersion: "0.1.0",
    bootId: "boot",
    name: "host-1",
    slots: 2,
    memoryBytes: 8 * 1024 ** 3,
    diskBytes: 8 * 1024 ** 3,
    properties: {},
    holding: [],
  })
  await front.node.until(() => front.engine.node(node as NodeId)?.link === 2)
}

/** Fetches the launch's input, and joins with what is in it as the agent in the virtual machine would. */
export async function joinFrom(front: TestFront, reply: Element, node: string): Promise<{ account: string } | null> {
  const input = reply.all("file_info").find(info => info.text("name").startsWith("volunteer_"))!
  const { enrolToken } = (await (await fetch(input.text("url"))).json()) as { enrolToken: string }
  return front.enrolments.spend(enrolToken, { node: node as NodeId, publicKey: new Uint8Array(32) })
}
