import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { describe, it } from "node:test"
import { createMetrics } from "./metrics.ts"

describe("metrics", () => {
  it("samples what others hold when it is asked, and forgets states that are gone", async () => {
    const metrics = createMetrics("1.2.3")
    let jobs: [string, number][] = [["queued", 3]]
    metrics.sample({
      jobs: () => jobs,
      agents: () => [["online", 2]],
      database: () => ({ handles: 3, walBytes: 4096, queued: 1 }),
      links: () => ({ links: 2, streams: 0, bufferedBytes: 17 }),
      certificate: () => ({ notAfterMs: 1_800_000_000_000 }),
    })
    const first = await metrics.registry.metrics()
    for (const line of [
      'cah_jobs{state="queued"} 3',
      "cah_tls_certificate_not_after_seconds 1800000000",
      'cah_agents{state="online"} 2',
      "cah_db_handles 3",
      "cah_db_wal_bytes 4096",
      "cah_links 2",
      "cah_ws_send_buffer_bytes 17",
      `cah_build_info{version="1.2.3",node="${process.versions.node}"} 1`,
    ]) {
      assert.ok(first.split("\n").includes(line), `no line ${line}`)
    }
    jobs = [["running", 3]]
    const second = await metrics.registry.metrics()
    assert.ok(!second.includes('cah_jobs{state="queued"}'))
    metrics.close()
  })

  it("lives twice in one process without sharing a counter", async () => {
    const [one, other] = [createMetrics("1"), createMetrics("1")]
    one.rateLimited.inc({ rule: "auth" })
    assert.ok(!(await other.registry.metrics()).includes('cah_rate_limited_total{rule="auth"}'))
    one.close()
    other.close()
  })

  it("is accepted by promtool", async t => {
    const metrics = createMetrics("1.2.3")
    metrics.jobTransitions.inc({ from: "queued", to: "offered" })
    metrics.rpcRequests.inc({ method: "Submit", protocol: "grpc", code: "ok" })
    const text = await metrics.registry.metrics()
    metrics.close()
    const promtool = spawnSync("promtool", ["check", "metrics"], { input: text, encoding: "utf8" })
    if (promtool.error) return t.skip("promtool is not installed")
    assert.equal(promtool.status, 0, promtool.stdout + promtool.stderr)
  })
})
