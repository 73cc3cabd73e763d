import assert from "node:assert/strict"
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, test } from "node:test"
import type { RowName } from "./figures.ts"
import { BadResults, demandKeeps, keepRow, type MeasuredRow, readResults, type Surroundings } from "./results.ts"

const here: Surroundings = {
  quick: false,
  machine: { cpu: "a processor", cores: 2, memoryBytes: 2 ** 30, kernel: "6", node: "20.1.0", pinned: "no" },
}

const row = (name: RowName, value: number, at = "2026-01-01T00:00:00.000Z"): MeasuredRow => ({
  name,
  work: "some jobs",
  measured: {
    at,
    seconds: 1,
    commit: "abc",
    command: `npm run bench -- --only ${name}`,
    load: { before: 0.1, after: 1 },
  },
  figures: [{ name: "throughput", unit: "jobs/s", subject: "hub", values: [value] }],
  caveats: [],
})

let place: string
before(async () => {
  place = await mkdtemp(join(tmpdir(), "cah-bench-results-"))
})
after(() => rm(place, { recursive: true, force: true }))

test("rows of different moments end up in one file, each with its own, and the later of the same row counts", async () => {
  const file = join(place, "merged.json")
  await keepRow(file, here, row("soak", 1))
  await keepRow(file, here, row("noop", 2))
  await keepRow(
    file,
    { ...here, machine: { ...here.machine, kernel: "7" } },
    row("soak", 3, "2026-01-02T00:00:00.000Z"),
  )
  const { rows, machine } = await readResults(file)
  assert.deepEqual(
    rows.map(({ name, measured, figures }) => [name, measured.at.slice(0, 10), figures[0]!.values]),
    [
      ["noop", "2026-01-01", [2]],
      ["soak", "2026-01-02", [3]],
    ],
  )
  assert.equal(machine.kernel, "7")
  assert.deepEqual(
    (await readdir(place)).filter(name => name.startsWith("merged")),
    ["merged.json"],
  )
})

test("what could not be measured is still not a number when it is read again", async () => {
  const file = join(place, "nan.json")
  await keepRow(file, here, row("noop", Number.NaN))
  assert.deepEqual((await readResults(file)).rows[0]!.figures[0]!.values, [Number.NaN])
})

test("a file stands line by line, one figure on each", async () => {
  const file = join(place, "lines.json")
  await keepRow(file, here, row("noop", 42))
  const lines = (await readFile(file, "utf8")).split("\n")
  assert.equal(lines.filter(line => line.includes('"throughput"')).length, 1)
})

test("rows of another machine, another Node or other sizes do not go into a file, and it stays as it was", async () => {
  const file = join(place, "alike.json")
  await keepRow(file, here, row("noop", 1))
  const text = await readFile(file, "utf8")
  for (const [other, words] of [
    [{ ...here, quick: true }, /has full figures, and --quick ones must not stand among them: name another file/],
    [{ ...here, machine: { ...here.machine, cpu: "another" } }, /another machine \(cpu: a processor, here another\)/],
    [{ ...here, machine: { ...here.machine, node: "22.0.0" } }, /node: 20\.1\.0, here 22\.0\.0/],
  ] as const) {
    await assert.rejects(demandKeeps(file, other), { constructor: BadResults, message: words })
    await assert.rejects(keepRow(file, other, row("soak", 1)), { constructor: BadResults, message: words })
  }
  assert.equal(await readFile(file, "utf8"), text)
})

test("a folder is made, or it is said before anything is measured that it cannot be", async () => {
  const file = join(place, "made", "here.json")
  await demandKeeps(file, here)
  await keepRow(file, here, row("noop", 1))
  assert.equal((await readResults(file)).rows.length, 1)
  await assert.rejects(demandKeeps(join(file, "under", "a-file.json"), here), {
    constructor: BadResults,
    message: /could not be written: ENOTDIR/,
  })
})

for (const [what, text, words] of [
  ["text", "hello", /is not JSON/],
  ["a list", "[]", /names no format, and this version of the benchmark knows format 1 alone/],
  ["null", "null", /names no format/],
  ["another format", '{"format": 2}', /is of format 2, and this version .* measure again/],
  ["a file without rows", '{"format": 1, "quick": false}', /is not a file of results:[\s\S]*machine[\s\S]*rows/],
] as const) {
  test(`${what} is refused with the reason`, async () => {
    const file = join(place, "bad.json")
    await writeFile(file, text)
    await assert.rejects(readResults(file), (error: Error) => {
      assert(error instanceof BadResults)
      assert.match(error.message, words)
      assert(error.message.startsWith(file), error.message)
      return true
    })
  })
}

test("a row of an unknown name, without figures or twice is refused where it stands", async () => {
  const file = join(place, "rows.json")
  const write = (rows: readonly object[]) => writeFile(file, JSON.stringify({ format: 1, ...here, rows }))
  await write([{ ...row("noop", 1), name: "noup" }])
  await assert.rejects(readResults(file), /rows\[0\]\.name/)
  await write([{ ...row("noop", 1), figures: [] }])
  await assert.rejects(readResults(file), /rows\[0\]\.figures/)
  await write([row("noop", 1), row("noop", 2)])
  await assert.rejects(readResults(file), /has the row noop twice/)
})

test("a file that is not there is named with the command that makes it", async () => {
  const file = join(place, "absent.json")
  await assert.rejects(readResults(file), {
    constructor: BadResults,
    message: /there is no such file; npm run bench -- --json/,
  })
})

test("a file that cannot be read says why", async () => {
  await assert.rejects(readResults(place), { constructor: BadResults, message: /cannot be read: EISDIR/ })
})
