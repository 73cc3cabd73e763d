// What a benchmark was asked to do: from flags, once, with clear words for what is wrong.
import { parseArgs } from "node:util"

export interface Settings<Name extends string = string> {
  readonly only: readonly Name[]
  readonly json: string | null
  /** Small sizes and one run: whether every figure is produced and every count exact, not how fast. */
  readonly quick: boolean
  /** Of each side of each comparison. */
  readonly runs: number
  readonly profile: boolean
  /** Agents report all four phases of a job and not only the two that a no-op job has. */
  readonly fourReports: boolean
}

/** Nothing is measured: the page and its plots are made from what was. */
export interface ReportOrder {
  readonly report: string
  readonly into: string
}

export type Asked<Name extends string> = "help" | ReportOrder | Settings<Name>

export const usage = `npm run bench [-- FLAGS]
  --only NAME[,NAME]  these rows alone
  --runs N            runs of each side (default 5; 1 with --quick)
  --quick             small sizes: whether all figures are there and all counts exact; times mean nothing
  --json FILE         keep the results there, after each row. A file that is there keeps its other rows, each with its own date,
                      commit and load; refused if it is of another machine, or one of both is --quick
  --four-reports      with noop, array or agents: agents report staging and returning too
  --profile           with noop or array: write CPU profiles of the hub, print where its time goes

npm run bench -- --report FILE [--into FOLDER]
  --report FILE       measure nothing: make benchmarks.md, its plots and a copy of the results from this file of --json
  --into FOLDER       where to (default docs)

  --help              show this`

/** The message is for whoever called; usage goes with it. */
export class WrongUsage extends Error {}

export function readSettings<Name extends string>(argv: readonly string[], rows: readonly Name[]): Asked<Name> {
  let values: ReturnType<typeof parse>
  try {
    values = parse(argv)
  } catch (error) {
    throw new WrongUsage((error as Error).message)
  }
  if (values.help) return "help"
  const { report, into, ...measuring } = values
  if (report !== undefined) {
    const [odd] = Object.keys(measuring)
    if (odd !== undefined) throw new WrongUsage(`--report measures nothing, so --${odd} does not go with it`)
    return { report, into: into ?? "docs" }
  }
  if (into !== undefined) throw new WrongUsage("--into says where --report writes; there is no --report")
  const quick = values.quick ?? false
  const runs = values.runs === undefined ? (quick ? 1 : 5) : Number(values.runs)
  if (!Number.isInteger(runs) || runs < 1)
    throw new WrongUsage(`--runs must be a whole number from 1, not ${values.runs}`)
  return {
    only: values.only === undefined ? rows : chosen(values.only, rows),
    json: values.json ?? null,
    quick,
    runs,
    profile: values.profile ?? false,
    fourReports: values["four-reports"] ?? false,
  }
}

/** In the order of the rows, whatever the order of asking. */
function chosen<Name extends string>(list: string, rows: readonly Name[]): Name[] {
  const names = list.split(",").map(name => name.trim())
  const unknown = names.filter(name => !(rows as readonly string[]).includes(name))
  if (unknown.length > 0)
    throw new WrongUsage(`--only: no row is called "${unknown.join('", "')}"; there are ${rows.join(", ")}`)
  return rows.filter(row => names.includes(row))
}

/** What to type to measure that row alone in the same way. */
export function commandOf(settings: Settings, row: string): string {
  const { runs, quick, fourReports } = settings
  const flags = [quick ? ["--quick"] : [], ["--runs", String(runs)], fourReports ? ["--four-reports"] : []].flat()
  return `npm run bench -- --only ${row} ${flags.join(" ")}`
}

function parse(argv: readonly string[]) {
  const { values } = parseArgs({
    args: [...argv],
    strict: true,
    allowPositionals: false,
    options: {
      only: { type: "string" },
      runs: { type: "string" },
      quick: { type: "boolean" },
      json: { type: "string" },
      profile: { type: "boolean" },
      "four-reports": { type: "boolean" },
      report: { type: "string" },
      into: { type: "string" },
      help: { type: "boolean" },
    },
  })
  return values
}
