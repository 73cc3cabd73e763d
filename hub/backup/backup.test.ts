// Backups of a store in SQLite and blobs on a disk, as the hub makes them, and what can be restored from them.
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs"
import { readFile, rm, truncate, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, it } from "node:test"
import { type Digest, digestOf, hexOf } from "../../proto/wire/digest.ts"
import { openDiskBlobs } from "../blobs/disk.ts"
import { CahError } from "../core/errors.ts"
import type { BlobRef, CampaignId } from "../core/model.ts"
import type { BlobStore } from "../core/ports.ts"
import { faultsIn, readCopy, skipCampaigns, takeSnapshot } from "../store/sqlite/snapshot.ts"
import { openSqliteStore, type SqliteStore } from "../store/sqlite/sqlite.ts"
import { campaignRow, commit, WALL_MS } from "../store/store.suite.ts"
import { type Backup, type BackupParts, makeBackup } from "./make.ts"
import { type RestoreParts, restoreBackup, verifyBackup } from "./restore.ts"

let place: string
let store: SqliteStore
let blobs: BlobStore
let wallMs: number

const at = (...names: string[]) => join(place, ...names)
const openBlobs = (directory: string) => openDiskBlobs({ directory, wallMs: () => wallMs })
const restoring: RestoreParts = {
  openBlobs,
  snapshot: (from, to) => takeSnapshot(from, to, "copy"),
  readCopy,
  faultsIn,
  skipCampaigns,
}

beforeEach(async () => {
  wallMs = WALL_MS
  place = mkdtempSync(join(tmpdir(), "cah-backup-"))
  store = await openSqliteStore({ directory: at("data"), wallMs: () => wallMs })
  blobs = await openBlobs(at("data", "blobs"))
  writeFileSync(at("data", "boinc.key"), "secret\n", { mode: 0o600 })
})
afterEach(async () => {
  await store.close()
  rmSync(place, { recursive: true })
})

function back(keep: number | null = null, changes: Partial<BackupParts> = {}): Promise<Backup> {
  wallMs += 1_000
  const parts: BackupParts = {
    directory: at("backups"),
    data: at("data"),
    blobs,
    openBlobs,
    snapshot: to => takeSnapshot(at("data", "hub.db"), to, "reader"),
    readCopy,
    wallMs: () => wallMs,
    hubVersion: "1.2.3",
    ...changes,
  }
  return makeBackup(parts, { keep, signal: new AbortController().signal, told() {} })
}

/** A campaign with a stagein of its own. */
async function submit(id: number): Promise<BlobRef> {
  const bytes = Buffer.from(`the stagein of ${id}`)
  const stagein = { digest: digestOf(createHash("sha256").update(bytes).digest()), sizeBytes: bytes.length }
  const writer = await blobs.openWriter("scientist", stagein)
  await writer.write(bytes)
  await writer.finish()
  await commit(store, { kind: "blob", ...stagein }, { kind: "campaign", row: campaignRow(id, { stagein }) })
  return stagein
}

function blobFile(directory: string, digest: Digest): string {
  return join(directory, "blobs", "sha256", hexOf(digest).slice(0, 2), hexOf(digest))
}

describe("a backup", () => {
  it("O5: made while campaigns come is whole, and a hub starts from it with all that was acknowledged before", async () => {
    for (let id = 1; id <= 20; id++) await submit(id)
    // Under load: the writer goes on while the copy is made.
    const later = (async () => {
      for (let id = 21; id <= 60; id++) await submit(id)
    })()
    const made = await back()
    await later
    assert.ok(made.campaigns >= 20)
    assert.equal(made.blobs, made.campaigns)
    assert.deepEqual((await verifyBackup(restoring, at("backups"))).faults, [])

    const restored = await restoreBackup(restoring, at("backups"), at("elsewhere"))
    const again = await openSqliteStore({ directory: at("elsewhere"), wallMs: () => wallMs })
    try {
      assert.equal(again.hubId(), store.hubId())
      for (let id = 1; id <= 20; id++) assert.equal(again.campaign(id as CampaignId)?.name, `frames ${id}`)
      assert.ok(again.lastCampaign() + 1 === restored.firstCampaign && restored.firstCampaign > 10_000)
      const restoredBlobs = await openBlobs(at("elsewhere", "blobs"))
      for (const { digest } of again.blobs()) assert.ok(await restoredBlobs.has(digest))
      assert.equal(await readFile(at("elsewhere", "boinc.key"), "utf8"), "secret\n")
      for (const file of ["hub.db", "boinc.key"]) assert.equal(statSync(at("elsewhere", file)).mode & 0o777, 0o600)
    } finally {
      await again.close()
    }
  })

  it("O5: copies only the blobs that no earlier one has, and keeps as many as are wanted, with their blobs", async () => {
    const first = await submit(1)
    const one = await back()
    assert.deepEqual([one.copiedBlobs, one.blobs], [1, 1])
    await submit(2)
    const two = await back()
    assert.deepEqual([two.copiedBlobs, two.blobs], [1, 2])
    // The first campaign and its blob are forgotten before the third.
    await commit(
      store,
      { kind: "campaign", row: campaignRow(1, { stagein: first, endedAt: WALL_MS }) },
      { kind: "forgetCampaign", campaign: 1 as CampaignId, at: WALL_MS },
      { kind: "sweepForgotten", rows: 10 },
      { kind: "forgetBlob", digest: first.digest, usedBefore: Number.MAX_SAFE_INTEGER },
    )
    const three = await back(1)
    assert.deepEqual(three.removed, [one.name, two.name])
    assert.deepEqual(readdirSync(at("backups")).sort(), [three.name, "blobs"])
    assert.ok(!existsSync(blobFile(at("backups"), first.digest)))
    assert.deepEqual((await verifyBackup(restoring, at("backups", three.name))).faults, [])
  })

  it("O5: that did not come to its end is none, and the next one goes on with its blobs", async () => {
    await submit(1)
    const copyFails = { readCopy: () => assert.fail("the power went") }
    await assert.rejects(back(null, copyFails), /the power went/)
    await assert.rejects(verifyBackup(restoring, at("backups")), /there is no backup/)
    const made = await back()
    assert.deepEqual(readdirSync(at("backups")).sort(), [made.name, "blobs"])
  })

  it("O5: names the blobs that the hub itself has lost, and is restored without them", async () => {
    const [lost, kept] = [await submit(1), await submit(2)]
    rmSync(blobFile(at("data"), lost.digest))
    const made = await back()
    assert.deepEqual(made.lostBlobs, [lost.digest])
    assert.deepEqual((await verifyBackup(restoring, at("backups"))).faults, [])
    await restoreBackup(restoring, at("backups"), at("elsewhere"))
    assert.ok(existsSync(blobFile(at("elsewhere"), kept.digest)))
  })
})

describe("a restore", () => {
  const refused = (told: RegExp) => (error: unknown) => error instanceof CahError && told.test(error.message)

  it("O5: refuses a directory that holds something, and a place without backups, in words", async () => {
    await submit(1)
    await assert.rejects(restoreBackup(restoring, at("data"), at("elsewhere")), refused(/there is no backup in/))
    await assert.rejects(restoreBackup(restoring, at("nowhere"), at("elsewhere")), refused(/cannot be read/))
    await back()
    await assert.rejects(restoreBackup(restoring, at("backups"), at("data")), refused(/is not empty .* --data/))
  })

  it("O5: finds a damaged blob and a damaged database, and starts nothing from them", async () => {
    const { digest } = await submit(1)
    const { name } = await back()
    await writeFile(blobFile(at("backups"), digest), "the stagein of x")
    assert.match((await verifyBackup(restoring, at("backups"))).faults[0] ?? "", new RegExp(digest))
    await back()
    const file = at("backups", name, "hub.db")
    await truncate(file, statSync(file).size - 4_096)
    assert.notDeepEqual((await verifyBackup(restoring, at("backups", name))).faults, [])
    await assert.rejects(restoreBackup(restoring, at("backups", name), at("elsewhere")), refused(/is damaged/))
    assert.ok(!existsSync(at("elsewhere", "hub.db")))
    await rm(at("backups", name, "backup.json"))
    await assert.rejects(verifyBackup(restoring, at("backups", name)), refused(/backup\.json cannot be read/))
  })
})
