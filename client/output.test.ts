import assert from "node:assert/strict"
import { test } from "node:test"
import { create } from "@bufbuild/protobuf"
import pc from "picocolors"
import { CampaignSchema } from "../proto/gen/cah/v1/job_pb.ts"
import { Bar, drawBar } from "./bars.ts"
import { ClientError } from "./errors.ts"
import { clean, json, Output, table } from "./output.ts"

function sink(isTTY: boolean) {
  const written: string[] = []
  const stream = {
    isTTY,
    columns: 60,
    destroyed: false,
    write: (chunk: string | Uint8Array) => written.push(Buffer.from(chunk).toString()) > 0,
    once: () => {},
  }
  return { stream, text: () => written.join("") }
}

test("a table lines up and ends without blanks", () => {
  const rows = [
    { name: "a", count: 1 },
    { name: "longer", count: 100 },
  ]
  const text = table(
    rows,
    [
      { title: "NAME", value: row => row.name },
      { title: "N", value: row => String(row.count), right: true },
    ],
    pc.createColors(false),
  )
  assert.equal(text, "NAME      N\na         1\nlonger  100")
})

test("a stranger's text cannot reach the terminal with control characters", () => {
  assert.equal(clean("ok\u001b]0;owned\u0007\u009b2J\u202e"), "ok\ufffd]0;owned\ufffd\ufffd2J\ufffd")
  const text = table([{ name: "x\u001b[2J\ny" }], [{ title: "N", value: row => row.name }], pc.createColors(true))
  assert.ok(!text.includes("\u001b[2J") && text.split("\n").length === 2)
})

test("JSON has every field, int64 as strings", () => {
  const value = json(CampaignSchema, create(CampaignSchema, { id: 2n ** 60n }))
  assert.deepEqual(value, { id: "1152921504606846976", name: "", owner: "", held: false, waitsFor: [] })
})

test("an error is words for people and one JSON line for programs, always on stderr", () => {
  const error = new ClientError("not_found", "no such\u001b thing", { hint: "look\nagain" })
  for (const format of ["table", "json"] as const) {
    const [out, err] = [sink(false), sink(false)]
    new Output({ format, color: "auto", noColor: false, stdout: out.stream, stderr: err.stream }).error(error)
    assert.equal(out.text(), "")
    if (format === "table") assert.equal(err.text(), "cah: no such\ufffd thing\n     look\n     again\n")
    else
      assert.deepEqual(JSON.parse(err.text()).error, {
        code: "not_found",
        message: "no such\u001b thing",
        hint: "look\nagain",
        details: null,
      })
  }
})

test("a bar is drawn on a terminal, said every ten seconds elsewhere if asked for, and never else", () => {
  let now = 0
  const draw = (isTTY: boolean, lines: boolean) => {
    const err = sink(isTTY)
    now = 0
    const bar = new Bar(err.stream, { label: "wing", unit: "jobs", lines, off: false }, () => now)
    for (let done = 0; done <= 30; done++) {
      bar.update(done, 30, "run 3")
      now += 1_000
    }
    bar.clear()
    return err.text()
  }
  assert.equal(draw(false, false), "")
  assert.deepEqual(
    draw(false, true)
      .trim()
      .split("\n")
      .map(line => line.replace(/ {2}ETA.*/, "")),
    [0, 10, 20, 30].map(done => `wing  ${drawBar(done, 30)} ${done}/30  run 3`),
  )
  const drawn = draw(true, false)
  assert.ok(drawn.startsWith("\rwing  ░") && drawn.includes("ETA 20s") && drawn.endsWith("\r\u001b[K"))
})

test("a bar is full only at the end", () => {
  assert.equal(drawBar(999_999, 1_000_000, 10), "█████████░")
  assert.equal(drawBar(5, 5, 4), "████")
  assert.equal(drawBar(0, 0, 4), "░░░░")
})
