import assert from "node:assert/strict"
import { test } from "node:test"
import { create } from "@bufbuild/protobuf"
import pc from "picocolors"
import { CampaignSchema, NodeSchema, NodeState } from "../../proto/gen/cah/v1/job_pb.ts"
import { frame, headline, type Snapshot, speedOf, sumsOf } from "./top.ts"

function look(atMs: number, finished: number): Snapshot {
  const counts = { total: 100, finished, running: 4, queued: 96 - finished }
  return {
    atMs,
    campaigns: [create(CampaignSchema, { id: 7n, name: "wing\u001b[2J", counts })],
    nodes: [
      create(NodeSchema, { id: "a", state: NodeState.ONLINE, slots: 4, slotsBusy: 3 }),
      create(NodeSchema, { id: "b", state: NodeState.AWAY, slots: 8 }),
    ],
  }
}

test("speed and time left come from the looks in the window, and one look alone claims nothing", () => {
  assert.equal(speedOf([look(0, 10)], 7n), 0)
  const looks = [look(0, 10), look(2_000, 15), look(4_000, 30)]
  assert.equal(speedOf(looks, 7n), 5)
  assert.equal(
    headline(sumsOf(looks)),
    "1 campaign under way  ·  4 running, 66 waiting  ·  5 jobs/s  ·  1 node online, 3 of 4 slots busy",
  )
  const text = frame(looks, pc.createColors(false))
  assert.match(text, /7 {2}wing\ufffd\[2J {2}running {2}███░+ 30\/100 +4 +66 +0 +5\.0 +14s/)
  assert.ok(!text.includes("\u001b"))
})
