// fixture.json is what --quick wrote once: every row, small, of no meaning.
import assert from "node:assert/strict"
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, test } from "node:test"
import { fileURLToPath } from "node:url"
import { type Figure, median, type RowName, rowNames, show } from "../figures.ts"
import { BadResults, type MeasuredRow, type Results, readResults } from "../results.ts"
import { missingOf, pageOf } from "./page.ts"
import { plots } from "./plots.ts"
import { prose } from "./prose.ts"
import { writeReport } from "./report.ts"
import { svgOf } from "./svg.ts"

const fixture = fileURLToPath(new URL("./fixture.json", import.meta.url))
const allFiles = ["results.json", ...plots.map(({ file }) => file)].sort()

let results: Results
let place: string
before(async () => {
  results = await readResults(fixture)
  place = await mkdtemp(join(tmpdir(), "cah-bench-report-"))
})
after(() => rm(place, { recursive: true, force: true }))

function rowOf(name: RowName): MeasuredRow {
  return results.rows.find(row => row.name === name)!
}

/** The results with that row changed, or left out. */
function withRow(name: RowName, change: (row: MeasuredRow) => MeasuredRow | null): Results {
  return { ...results, rows: results.rows.flatMap(row => (row.name === name ? (change(row) ?? []) : row)) }
}

function withFigure(name: RowName, change: Partial<Figure>): Results {
  return withRow(name, row => ({ ...row, figures: [{ ...row.figures[0]!, ...change }] }))
}

test("the page has every row with its prose, command, commit and every figure, and shows every plot", () => {
  const page = pageOf(results)
  assert.deepEqual(missingOf(results), [])
  assert.doesNotMatch(page, /[Nn]ot measured/)
  for (const name of rowNames) {
    const section = page.split(/^## /m).find(text => text.startsWith(`${name}\n`))
    assert(section !== undefined, name)
    const row = rowOf(name)
    const { about, title } = prose[name]
    for (const text of [about, title, row.measured.command, row.measured.commit, ...row.caveats]) {
      assert(section.includes(text), `${name}: ${text}`)
    }
    for (const figure of row.figures) {
      const line = `| ${figure.subject}: ${figure.name} | ${figure.unit} | ${show(median(figure.values))} |`
      assert(section.includes(line), `${name}: ${line}`)
    }
    for (const { file } of plots.filter(plot => plot.row === name))
      assert(section.includes(`(benchmarks/${file})`), file)
  }
})

test("the page tells each peer's versions and what its acknowledgement means", () => {
  const page = pageOf(results)
  const { peers } = rowOf("peers")
  assert(peers !== undefined && peers.length > 0)
  for (const { name, versions, isDurable, durability } of peers) {
    const line = `| ${name} | ${versions.join(", ")} | ${isDurable ? "yes" : "no"} | ${durability} |`
    assert(page.includes(line), line)
  }
})

test("the same results give the same bytes, whatever was drawn before", async () => {
  const texts: string[][] = []
  for (const folder of ["first", "second"]) {
    const { files, missing } = await writeReport(fixture, join(place, folder))
    assert.deepEqual(missing, [])
    assert.deepEqual((await readdir(join(place, folder, "benchmarks"))).sort(), allFiles)
    texts.push(await Promise.all(files.map(file => readFile(file, "utf8"))))
  }
  assert.deepEqual(texts[0], texts[1])
  assert.equal(texts[0]!.length, allFiles.length + 1)
})

test("a plot has a background of its own, a title, and units on its axes", () => {
  const svg = (file: string) => {
    const { row, title, option } = plots.find(one => one.file === file)!
    const text = svgOf(title, option(rowOf(row))).replaceAll("&#39;", "'")
    assert.match(text, /<rect width="\d+" height="\d+" x="0" y="0" fill="#ffffff">/)
    assert(text.includes(`>${title}</text>`), title)
    assert.doesNotMatch(text, /NaN|undefined|zr\d/)
    return text
  }
  for (const [file, ...words] of [
    ["throughput.svg", "agents", "jobs/s", "hub", "bare hub"],
    ["peers.svg", "tasks/s", "hub", ...rowOf("peers").peers!.map(({ name }) => name)],
    ["memory.svg", "agents", "MiB resident", "target: 12 KiB an agent"],
    ["latency.svg", "% of full load beside", "ms from submit to running", "p50", "p99"],
    ["speedup-frames.svg", "cores", "× one core", "320 cores: here the thesis's system stopped"],
    ["speedup.svg", "agents", "× one agent", "320 cores: here the thesis's system stopped"],
  ] as const) {
    const text = svg(file)
    for (const word of words) assert(text.includes(`>${word}</text>`), `${file}: ${word}`)
  }
})

test("points of several runs stand at their median, with a line from the least to the most", () => {
  const plot = plots.find(({ file }) => file === "throughput.svg")!
  const row = rowOf("agents")
  const several = row.figures.map(figure => ({
    ...figure,
    values: figure.values.flatMap(one => [one / 2, one, one * 1.2]),
  }))
  const lines = (figures: readonly Figure[]) =>
    [...svgOf(plot.title, plot.option({ ...row, figures })).matchAll(/stroke-width="1\.5"/g)].length
  const points = row.figures.filter(({ series }) => series === "throughput").length
  assert.equal(lines(several) - lines(row.figures), points)
})

test("a row that was not measured is said to be so, by the page, by its plots' absence and to who asked", async () => {
  const file = join(place, "less.json")
  const less = withRow("scale", () => null)
  await writeFile(file, JSON.stringify(less))
  const folder = join(place, "less")
  await writeReport(fixture, folder)
  const { missing } = await writeReport(file, folder)
  assert.deepEqual(missing, ["scale"])
  const page = await readFile(join(folder, "benchmarks.md"), "utf8")
  assert.match(page, /\| scale \| {2}\| not measured \|/)
  assert.match(
    page,
    /^## scale\n\n.*\n\n\*\*Not measured\.\*\* To do so: `npm run bench -- --only scale --quick --json /m,
  )
  assert.doesNotMatch(page, /speedup/)
  assert.deepEqual(
    (await readdir(join(folder, "benchmarks"))).sort(),
    allFiles.filter(name => !name.startsWith("speedup")),
    "plots of an older report would be taken for new",
  )
})

test("a plot whose figures a measured row does not have is an error, and nothing is written", async () => {
  const file = join(place, "renamed.json")
  const renamed = withRow("agents", row => ({ ...row, figures: row.figures.map(({ series, ...rest }) => rest) }))
  await writeFile(file, JSON.stringify(renamed))
  const folder = join(place, "renamed")
  await assert.rejects(writeReport(file, folder), /row agents has no figures of hub in series "throughput"/)
  await assert.rejects(readdir(folder), { code: "ENOENT" })
})

test("results that are none leave an older page as it was", async () => {
  const folder = join(place, "older")
  await writeReport(fixture, folder)
  const page = await readFile(join(folder, "benchmarks.md"), "utf8")
  const file = join(place, "none.json")
  await writeFile(file, '{"format": 0}')
  await assert.rejects(writeReport(file, folder), BadResults)
  assert.equal(await readFile(join(folder, "benchmarks.md"), "utf8"), page)
})

for (const [what, change, words] of [
  ["met", { values: [10, 30, 20], target: { of: "value", min: 20 } }, /\| 20 jobs\/s \| ≥ 20 \| met \|/],
  ["missed from below", { values: [10], target: { of: "value", min: 20 } }, /\| ≥ 20 \| \*\*missed by 50 %\*\* \|/],
  ["missed from above", { values: [30], target: { of: "value", max: 20 } }, /\| ≤ 20 \| \*\*missed by 50 %\*\* \|/],
  ["missed by a hair", { values: [20.01], target: { of: "value", max: 20 } }, /\*\*missed by 1 %\*\*/],
  [
    "of a ratio",
    { values: [1, 2], ratio: { to: "bare hub", values: [0.5, 0.7] }, target: { of: "ratio", min: 0.5 } },
    /\| 0\.6 \(0\.5 – 0\.7\) of bare hub \| ≥ 0\.5 as ratio \| met \|/,
  ],
  [
    "not to be told",
    { values: [Number.NaN], target: { of: "value", max: 20 } },
    /\| – jobs\/s \| ≤ 20 \| \*\*not to be told\*\* \|/,
  ],
] as const) {
  test(`a target that is ${what} is shown with its gap`, () => {
    const { ratio: _, ...plain } = rowOf("noop").figures[0]!
    const page = pageOf(withRow("noop", row => ({ ...row, figures: [{ ...plain, ...change }] })))
    assert.match(page.split("## noop")[0]!, words)
  })
}

test("a missed target stands with its cause, the nearest by name, or with where the cause belongs", () => {
  const missed = withFigure("noop", {
    subject: "hub",
    name: "throughput",
    values: [1],
    target: { of: "value", min: 2 },
  })
  const because = (causes: Readonly<Record<string, string>>) =>
    pageOf(missed, { ...prose, noop: { ...prose.noop, causes } })
  assert.match(because({ hub: "All is slow.", "hub: through": "The disk." }), /missed by 50 %\*\*\. The disk\.\n/)
  assert.match(because({ hub: "All is slow." }), /missed by 50 %\*\*\. All is slow\.\n/)
  assert.match(
    because({ "hub: other": "No." }),
    /missed by 50 %\*\*\. The cause is not named yet: it belongs into `bench\/report\/prose\.ts`, row noop/,
  )
})

test("prose holds no figures, which would outlive their measurement", () => {
  for (const [name, { about, causes }] of Object.entries(prose)) {
    for (const text of [about, ...Object.values(causes)]) {
      assert.doesNotMatch(text, /\d+(\.\d+)? ?(%|µs|ms|s|jobs|KiB|MiB|MB|×)(?!\w)/, name)
    }
  }
})

test("figures of --quick are said to mean nothing, and figures of a busy machine to be of one", () => {
  assert.match(pageOf(results), /These are figures of `--quick`/)
  assert.doesNotMatch(pageOf({ ...results, quick: false }), /These are figures of/)
  const at = (before: number) =>
    pageOf(withRow("noop", row => ({ ...row, measured: { ...row.measured, load: { before, after: 2 } } }))).split(
      "## peers",
    )[0]!
  assert.match(at(1.5), /load average 1\.5 before: others were using the machine, 2 after/)
  assert.match(at(0.2), /load average 0\.2 before, 2 after/)
})
