import assert from "node:assert/strict"
import { beforeEach, describe, it } from "node:test"
import type { Digest } from "../../proto/wire/digest.ts"
import { MemoryBlobStore } from "../blobs/memory.ts"
import type { AttemptName } from "../core/effects.ts"
import { CahError } from "../core/errors.ts"
import type { Event } from "../core/events.ts"
import { result } from "../core/fixtures.ts"
import type { BlobRef, Campaign, CampaignId, Node, NodeId } from "../core/model.ts"
import { jobId } from "../core/model.ts"
import type { CampaignRow, RowWrite } from "../core/rows.ts"
import { GATHER_PAGE_ENTRIES, STAGEOUTS_PER_ATTEMPT_MAX } from "../limits.ts"
import type { Desk } from "../link/desk.ts"
import { HubDesk } from "./desk.ts"

const id = "n1" as NodeId
const name: AttemptName = { campaign: 3 as CampaignId, index: 4, attempt: 2 }
const other: AttemptName = { ...name, attempt: 1 }
const publicKey = new Uint8Array(32)
const blobOf = (letter: string): BlobRef => ({ digest: `sha256:${letter.repeat(64)}` as Digest, sizeBytes: 5 })
const [stagein, gathered, foreign] = [blobOf("a"), blobOf("b"), blobOf("c")]

let node: {
  id: NodeId
  account: string
  host: Node["host"]
  publicKey: Uint8Array
  revoked: boolean
  held: Node["held"]
}
let campaigns: Map<CampaignId, Campaign>
let events: Event[]
let writes: RowWrite[]
let desk: HubDesk
let enrol: (token: string) => { account: string; host: Node["host"] } | { refused: string }
const owned = new Map([[gathered.digest, gathered.sizeBytes]])

beforeEach(() => {
  const held = { attempt: name.attempt, stopping: null } as never
  node = {
    id,
    account: "ada",
    host: null,
    publicKey,
    revoked: false,
    held: new Map([[jobId(name.campaign, name.index), held]]),
  }
  const campaign = { id: name.campaign, owner: "ada", stagein, rules: { gather: 2 as CampaignId } } as Campaign
  campaigns = new Map([[name.campaign, campaign]])
  events = []
  writes = []
  enrol = token => (token === "token" ? { account: "eve", host: null } : { refused: "no such token" })
  desk = new HubDesk({
    engine: {
      node: one => (one === id ? (node as unknown as Node) : null),
      campaign: one => campaigns.get(one) ?? null,
      post: event => events.push(event),
      commit: async rows => void writes.push(...rows),
    },
    reader: {
      campaign: one => (one === 2 ? ({ id: one, total: 9_000 } as CampaignRow) : null),
      stageouts: (_, from, limit) => Array.from({ length: limit }, (_, n) => ({ index: from + n, blob: gathered })),
      hasStageout: (_, digest) => digest === gathered.digest,
      hasBlob: digest => owned.get(digest) ?? null,
      ownsBlob: (digest, owner) => owner === "ada" && owned.has(digest),
    },
    blobs: new MemoryBlobStore(),
    clock: { nowMs: () => 0 },
    enrol: async ({ enrolToken }) => enrol(enrolToken),
  })
})

const isDenied = { code: "permission_denied", message: /does not hold that attempt, or the attempt has no such blob/ }

describe("an admission", () => {
  const knocks = (change: Partial<Parameters<Desk["admit"]>[0]> = {}) =>
    desk.admit({ node: id, publicKey, enrolToken: "", address: "192.0.2.1", ...change })

  it("is for who is known by their key, and is told as it stands now", async () => {
    assert.deepEqual(await knocks(), { kind: "admitted", account: "ada", host: null, isNew: false })
    const refused = await knocks({ publicKey: new Uint8Array(32).fill(1) })
    assert.ok(refused.kind === "refused" && /another key goes by this node's id/.test(refused.why))
    node.revoked = true
    assert.deepEqual(await knocks(), { kind: "revoked" })
  })

  it("of who is not known costs a token; who has none counts as a stranger until it has", async () => {
    const stranger = { node: "n2" as NodeId }
    const refused = await knocks(stranger)
    assert.ok(refused.kind === "refused" && /--enroll/.test(refused.why))
    assert.deepEqual(await knocks({ ...stranger, enrolToken: "wrong" }), { kind: "refused", why: "no such token" })
    assert.equal(desk.strangers(), 1)
    const admitted = await knocks({ ...stranger, enrolToken: "token" })
    assert.deepEqual(admitted, { kind: "admitted", account: "eve", host: null, isNew: true })
    assert.equal(desk.strangers(), 0)
  })

  it("rejects when the token cannot be looked up, and counts nobody", async () => {
    enrol = () => {
      throw new CahError("unavailable", "the disk is full")
    }
    await assert.rejects(knocks({ node: "n2" as NodeId, enrolToken: "token" }), { code: "unavailable" })
    assert.equal(desk.strangers(), 0)
  })
})

describe("what an attempt may have", () => {
  it("is its stagein and what it gathers, for the node that holds it", async () => {
    await desk.mayFetch(id, name, stagein.digest)
    await desk.mayFetch(id, name, gathered.digest)
    await assert.rejects(desk.mayFetch(id, name, foreign.digest), isDenied)
    await assert.rejects(desk.mayFetch(id, other, stagein.digest), isDenied)
    await assert.rejects(desk.mayFetch("n2" as NodeId, name, stagein.digest), isDenied)
    const page = await desk.gather(id, name, 7)
    assert.deepEqual(
      [page.entries.length, page.next, page.total],
      [GATHER_PAGE_ENTRIES, 7 + GATHER_PAGE_ENTRIES, 9_000],
    )
    assert.deepEqual(structuredClone(page), page)
    await assert.rejects(desk.gather(id, other, 0), isDenied)
  })

  it("is nothing any more once it is to stop, was lost with its node, or its campaign has ended", async () => {
    const ends: (() => void)[] = [
      () => node.held.set(jobId(name.campaign, name.index), { attempt: 2, stopping: "cancelled" } as never),
      // As the core does with a node that is revoked, or silent for too long.
      () => node.held.clear(),
    ]
    for (const end of ends) {
      end()
      await assert.rejects(desk.mayFetch(id, name, stagein.digest), isDenied)
      await assert.rejects(desk.mayGive(id, name, foreign), isDenied)
      await assert.rejects(desk.gather(id, name, 0), isDenied)
    }
    node.held.set(jobId(name.campaign, name.index), { attempt: 2, stopping: null } as never)
    campaigns.clear()
    await assert.rejects(desk.mayFetch(id, name, stagein.digest), isDenied)
    await assert.rejects(desk.mayGive(id, name, foreign), isDenied)
  })

  it("is a place for so many blobs, and the row is there when the promise is kept", async () => {
    for (let n = 0; n < STAGEOUTS_PER_ATTEMPT_MAX; n++) {
      const digest = `sha256:${String(n).padStart(64, "0")}` as Digest
      assert.deepEqual(await desk.mayGive(id, name, { digest, sizeBytes: n }), { owner: "ada", has: false })
    }
    await assert.rejects(desk.mayGive(id, name, foreign), { message: /more than 32 different blobs/ })
    await desk.stored("ada", foreign)
    assert.deepEqual(
      writes.map(({ kind }) => kind),
      ["blob", "blobOwner"],
    )
  })
})

describe("a report that names blobs", () => {
  const ended = (stageout: BlobRef | null) => ({
    ...({ kind: "AttemptReported", node: id, epoch: 1, ...name, phase: "ended" } as const),
    result: result({ stageout }),
  })

  it("reaches the core before anything posted after it, if the owner has them", async () => {
    const answer = desk.report(ended(gathered))
    desk.post({ kind: "NodeGone", node: id, epoch: 1 })
    assert.deepEqual(
      events.map(({ kind }) => kind),
      ["AttemptReported", "NodeGone"],
    )
    assert.equal(await answer, "passed")
  })

  it("does not reach it if they are missing, or of another size", async () => {
    assert.equal(await desk.report(ended(foreign)), "blobMissing")
    const { breach } = (await desk.report(ended({ ...gathered, sizeBytes: 6 }))) as { breach: string }
    assert.match(breach, /with 6 bytes; it has 5/)
    assert.deepEqual(events, [])
  })

  it("of a campaign that has ended is the core's to answer", async () => {
    campaigns.clear()
    assert.equal(await desk.report(ended(foreign)), "passed")
    assert.equal(events.length, 1)
  })
})
