import assert from "node:assert/strict"
import { test } from "node:test"
import { commandOf, readSettings, type Settings, WrongUsage } from "./settings.ts"

const rows = ["noop", "peers", "soak"] as const
const read = (...argv: string[]) => readSettings(argv, rows)

test("without flags every row is measured five times and nothing is kept", () => {
  const wanted = { only: rows, json: null, quick: false, runs: 5, profile: false, fourReports: false }
  assert.deepEqual(read(), wanted)
  assert.deepEqual(read("--quick"), { ...wanted, quick: true, runs: 1 })
})

test("rows that are asked for run in their own order, each once", () => {
  assert.deepEqual((read("--only", "soak, noop,soak") as Settings).only, ["noop", "soak"])
})

test("a report measures nothing and goes to docs unless it is told where", () => {
  assert.deepEqual(read("--report", "a.json"), { report: "a.json", into: "docs" })
  assert.deepEqual(read("--report", "a.json", "--into", "there"), { report: "a.json", into: "there" })
})

for (const [argv, words] of [
  [["--only", "noop,nope"], /no row is called "nope"; there are noop, peers, soak/],
  [["--runs", "0"], /--runs must be a whole number from 1, not 0/],
  [["--runs", "many"], /not many/],
  [["--report", "a.json", "--quick"], /--report measures nothing, so --quick does not go with it/],
  [["--report", "a.json", "--json", "b.json"], /--json does not go with it/],
  [["--into", "docs"], /there is no --report/],
  [["--plots"], /'--plots'/],
  [["noop"], /noop/],
] as const) {
  test(`${argv.join(" ")} is refused`, () => {
    assert.throws(() => read(...argv), { constructor: WrongUsage, message: words })
  })
}

test("the command of a row measures it alone in the same way", () => {
  const settings = read("--quick", "--runs", "3", "--four-reports", "--json", "a.json") as Settings
  const command = commandOf(settings, "soak")
  assert.equal(command, "npm run bench -- --only soak --quick --runs 3 --four-reports")
  const again = readSettings(command.split(" -- ")[1]!.split(" "), rows)
  assert.deepEqual(again, { ...settings, only: ["soak"], json: null })
})
