import assert from "node:assert/strict"
import { test } from "node:test"
import { reportBody } from "../agent/link/convert.ts"
import { answerBody, offerBody } from "../hub/link/convert.ts"
import { decodeAgentFrame, encodeAgentFrame, encodeHubFrame } from "../proto/wire/frame.ts"
import { noLog } from "../proto/wire/log.ts"
import {
  AttemptAt,
  acceptedFrame,
  afterVarint,
  attemptBytes,
  heartbeatFrame,
  offerFrame,
  offerParts,
  phases,
  putReport,
  reportLength,
} from "./wire.ts"

const names = [
  { campaign: 1, index: 0, attempt: 1 },
  { campaign: 7, index: 127, attempt: 1 },
  { campaign: 300, index: 128, attempt: 2 },
  { campaign: 2 ** 32 + 5, index: 999_999, attempt: 200 },
]
const finished = {
  outcome: "finished",
  exitCode: 0,
  message: "",
  warnings: "",
  stageout: null,
  stdout: noLog,
  stderr: noLog,
  runMs: 0,
  cpuMs: 0,
  peakMemoryBytes: 0,
} as const

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

test("reports by hand are the agent's, byte for byte", () => {
  for (const name of names) {
    const attempt = attemptBytes(name.campaign, name.index, name.attempt)
    for (const [phase, number] of Object.entries(phases) as ["staging" | "running" | "returning" | "ended", 4][]) {
      const wanted = encodeAgentFrame(reportBody(name as never, phase, phase === "ended" ? finished : null))
      const into = Buffer.alloc(reportLength(attempt.length, number))
      assert.equal(putReport(into, 0, attempt, { start: 0, end: attempt.length }, number), into.length)
      assert.equal(hex(into), hex(wanted))
      assert.equal(decodeAgentFrame(into).case, "report")
    }
  }
})

test("heartbeats by hand are the agent's, byte for byte", () => {
  for (const sequence of [1, 127, 128, 100_000]) {
    assert.equal(
      hex(heartbeatFrame(sequence)),
      hex(encodeAgentFrame({ case: "heartbeat", value: { sequence: BigInt(sequence) } })),
    )
  }
})

test("offers by hand are the hub's, byte for byte, and name their attempt where agents look", () => {
  for (const name of names) {
    for (const [line, specBytes] of [
      [null, 20],
      ["17", 100],
      ["a longer line", 300],
    ] as const) {
      const spec = Buffer.alloc(specBytes, 7)
      const offer = { ...name, owner: "admin", spec, line, total: 50_000, shape: null, inside: false }
      const wanted = encodeHubFrame(offerBody(offer as never))
      const attempt = attemptBytes(name.campaign, name.index, name.attempt)
      const made = offerFrame(offerParts("admin", spec, 50_000), attempt, line)
      assert.equal(hex(made), hex(wanted))
      const read = new AttemptAt().read(made, afterVarint(made, 1) + 1)
      assert.deepEqual({ campaign: read.campaign, index: read.index, attempt: read.attempt }, name)
    }
  }
})

test("answers by hand are the hub's, byte for byte", () => {
  for (const name of names) {
    const attempt = attemptBytes(name.campaign, name.index, name.attempt)
    for (const [phase, number] of Object.entries(phases) as ["staging", 4][]) {
      const wanted = encodeHubFrame(answerBody(name as never, phase, "accepted"))
      assert.equal(hex(acceptedFrame(attempt, { start: 0, end: attempt.length }, number)), hex(wanted))
    }
  }
})
