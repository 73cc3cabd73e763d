import assert from "node:assert/strict"
import { test } from "node:test"
import { create } from "@bufbuild/protobuf"
import pc from "picocolors"
import stringWidth from "string-width"
import { parse as parseYaml } from "yaml"
import { CampaignSchema, TotalsSchema } from "../proto/gen/cah/v1/job_pb.ts"
import { ListCampaignsResponseSchema } from "../proto/gen/cah/v1/scientist_pb.ts"
import { Bar, drawBar } from "./bars.ts"
import { ClientError } from "./errors.ts"
import { json } from "./json.ts"
import { clean, cut, Output, padded, table, width } from "./output.ts"
import { bytesInWords, figuresOf, jobsInWords, sumOf } from "./progress.ts"

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

test("progress has all its figures, in their order, and leaves out what is nought", () => {
  const err = sink(true)
  let now = 0
  const bar = new Bar(
    { ...err.stream, columns: 120 },
    { label: "wing", unit: "jobs", lines: false, off: false },
    () => now,
  )
  const totals = { retries: 5n, losses: 3n, preemptions: 2n, stageinBytes: 1_200_000_000n, stageoutBytes: 310_000_000n }
  const figures = figuresOf(create(TotalsSchema, totals))
  bar.update(144, 720, "", "")
  now = 144_000
  bar.update(504, 720, jobsInWords({ active: 96, unwell: 2 }, figures), bytesInWords(figures, 41))
  assert.match(
    err.text(),
    /wing {2}█+░+ 504\/720 {2}run 96 {2}fail 2 {2}retry 5 {2}lost 3 {2}preempted 2 {2}ETA 1m 26s {2}↑1\.2 GB ↓310 MB {2}nodes 41/,
  )
  assert.deepEqual([jobsInWords({ active: 0, unwell: 0 }, figuresOf(undefined)), bytesInWords(sumOf([]), 0)], ["", ""])
})

test("yaml and csv hold what json holds, a header without rows too", async () => {
  const campaign = create(CampaignSchema, { id: 7n, name: 'a "quoted", name', owner: "ada", waitsFor: [1n, 2n] })
  const render = async (format: "yaml" | "csv", messages: (typeof campaign)[]) => {
    const out = sink(false)
    const output = new Output({ format, color: "auto", noColor: true, stdout: out.stream, stderr: out.stream })
    const list = {
      schema: ListCampaignsResponseSchema,
      message: create(ListCampaignsResponseSchema, { campaigns: messages }),
    }
    await output.many(list, { schema: CampaignSchema, messages }, { table: () => "", quiet: () => "" })
    return out.text()
  }
  const [head = "", row = ""] = (await render("csv", [campaign])).split("\r\n")
  assert.equal(`${head}\r\n`, await render("csv", []))
  assert.ok(
    head.startsWith("id,name,owner,counts.total,") && !head.includes("spec") && head.includes(",totals.coreTime,"),
  )
  assert.ok(row.startsWith('7,"a ""quoted"", name",ada,'), row)
  assert.ok(row.includes('"[""1"",""2""]"'), row)
  assert.deepEqual(parseYaml(await render("yaml", [campaign])), {
    campaigns: [{ id: "7", name: 'a "quoted", name', owner: "ada", held: false, waitsFor: ["1", "2"] }],
  })
})

test("M9: where there is no terminal a line a minute tells how far it is, also without news, and a short work is silent", t => {
  t.mock.timers.enable({ apis: ["setInterval"] })
  let now = 0
  const later = (ms: number) => {
    now += ms
    t.mock.timers.tick(ms)
  }
  const err = sink(false)
  const bar = new Bar(err.stream, { label: "wing", unit: "jobs", lines: false, off: false }, () => now)
  bar.update(0, 10)
  later(30_000)
  bar.update(2, 10)
  assert.equal(err.text(), "")
  later(30_000)
  later(60_000)
  assert.deepEqual(
    err
      .text()
      .match(/wing .* \d+\/10/g)
      ?.map(line => line.slice(-4)),
    ["2/10", "2/10"],
  )
  bar.update(10, 10)
  bar.stop()
  later(600_000)
  assert.equal(err.text().split("\n").length, 3)
})

test("S27: columns keep their places whatever the characters are as wide as", () => {
  const names = ["日本語の計算", "e\u0301te\u0301", "👩‍👩‍👧‍👦 family", "plain"]
  const colors = pc.createColors(false)
  const lines = table(
    names,
    [
      { title: "NAME", value: name => name },
      { title: "N", value: () => "|" },
    ],
    colors,
  ).split("\n")
  assert.equal(new Set(lines.slice(1).map(line => stringWidth(line.slice(0, line.indexOf("|"))))).size, 1)
  assert.equal(lines[4], `plain${" ".repeat(9)}|`)
  assert.deepEqual(
    [cut("日本語", 5), cut("👩‍👩‍👧‍👦x", 1), cut("👩‍👩‍👧‍👦x", 2), width("日本")],
    ["日本", "", "👩‍👩‍👧‍👦", 4],
  )
  assert.deepEqual([padded("日本", 5), padded("e\u0301", 2), padded("long", 2)], ["日本 ", "e\u0301 ", "long"])
})

test("a bar is full only at the end", () => {
  assert.equal(drawBar(999_999, 1_000_000, 10), "█████████░")
  assert.equal(drawBar(5, 5, 4), "████")
  assert.equal(drawBar(0, 0, 4), "░░░░")
})
