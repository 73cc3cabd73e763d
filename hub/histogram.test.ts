import assert from "node:assert/strict"
import { test } from "node:test"
import { Histogram, Registry } from "prom-client"
import { QuickHistogram } from "./histogram.ts"

test("a quick histogram is told as prom-client tells its own", async () => {
  const [ours, theirs] = [new Registry(), new Registry()]
  const options = { name: "cah_wait_seconds", help: "Waited.", buckets: [0.1, 1, 10] }
  const quick = new QuickHistogram({ ...options, registers: [ours] })
  const usual = new Histogram({ ...options, registers: [theirs] })
  assert.equal(await ours.metrics(), await theirs.metrics(), "before anything was observed")
  for (const value of [0, 0.05, 0.1, 0.100001, 1, 5, 10, 11, 1e6]) {
    quick.observe(value)
    usual.observe(value)
  }
  assert.equal(await ours.metrics(), await theirs.metrics())
  assert.throws(() => new QuickHistogram({ ...options, registers: [ours] }), /already been registered/)
})
