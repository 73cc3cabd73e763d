import assert from "node:assert/strict"
import { it } from "node:test"
import type { CampaignId } from "../../core/model.ts"
import { keepingSuite } from "../keeping.suite.ts"
import { retriesSuite } from "../retries.suite.ts"
import { campaignRow, commit, jobRow, storeSuite, WALL_MS } from "../store.suite.ts"
import { volunteersSuite } from "../volunteers.suite.ts"
import { MemoryStore } from "./memory.ts"

async function make() {
  const store = new MemoryStore({ wallMs: () => WALL_MS })
  const restart = async () => {
    await store.close()
    return store
  }
  return { store, restart, dispose: async () => {} }
}

storeSuite("MemoryStore", make)
keepingSuite("MemoryStore", make)
retriesSuite("MemoryStore", make)
volunteersSuite("MemoryStore", make)

const one = 1 as CampaignId

it("a crash loses the batches that were not on disk, tells nobody, and keeps the rest", () => {
  const disk: (() => void)[] = []
  const store = new MemoryStore({ defer: run => disk.push(run) })
  const heard: number[] = []
  const write = (cursor: number) =>
    store.commit([{ kind: "campaign", row: campaignRow(1, { cursor }) }], () => heard.push(cursor))
  write(1)
  write(2)
  write(3)
  disk.shift()!()
  assert.deepEqual(heard, [1])
  store.crash(1)
  // What was under way in the old life must not touch the new one.
  for (const run of disk.splice(0)) run()
  assert.deepEqual(heard, [1])
  assert.equal(store.campaign(one)?.cursor, 2)
  assert.equal(store.health().queued, 0)
  write(4)
  disk.shift()!()
  assert.deepEqual(heard, [1, 4])
})

it("fails as told until the cause is gone and it is opened anew", async () => {
  const store = new MemoryStore()
  await commit(store, { kind: "campaign", row: campaignRow(1) })
  const full = new Error("disk full")
  store.fail(full)
  await assert.rejects(commit(store, { kind: "job", row: jobRow(1, 0) }), full)
  await assert.rejects(store.reopen(), full)
  store.fail(null)
  await assert.rejects(commit(store, { kind: "job", row: jobRow(1, 0) }), full)
  await store.reopen()
  await commit(store, { kind: "job", row: jobRow(1, 0) })
  assert.equal(store.liveJobs().length, 1)
})
