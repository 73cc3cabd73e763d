// How a benchmark was asked to run: from flags, once, with clear words for what is wrong.
import { parseArgs } from "node:util"

export interface Settings {
  readonly only: readonly string[]
  readonly json: string | null
  /** Small sizes and one run: whether every figure is produced and every count exact, not how fast. */
  readonly quick: boolean
  /** Of each side of each comparison. */
  readonly runs: number
  readonly plots: boolean
  readonly profile: boolean
  /** Agents report all four phases of a job and not only the two that a no-op job has. */
  readonly fourReports: boolean
  /** Make the page and its plots from this file, and run nothing. */
  readonly from: string | null
}

export const usage = `npm run bench [-- FLAGS]
  --only NAME[,NAME]  these rows alone
  --runs N            runs of each side (default 5; 1 with --quick)
  --quick             small sizes: whether all figures are there and all counts exact; times mean nothing
  --json FILE         keep all results there
  --plots             write docs/benchmarks.md and its plots from the results
  --from FILE         take the results from this file of --json and run nothing; with --plots
  --four-reports      with noop or array: agents report staging and returning too
  --profile           with noop or array: write CPU profiles of the hub, print where its time goes
  --help              show this`

export class WrongUsage extends Error {}

export function readSettings(argv: readonly string[], rows: readonly string[]): Settings | "help" {
  let values: ReturnType<typeof parse>
  try {
    values = parse(argv)
  } catch (error) {
    throw new WrongUsage((error as Error).message)
  }
  if (values.help) return "help"
  const quick = values.quick ?? false
  const runs = values.runs === undefined ? (quick ? 1 : 5) : Number(values.runs)
  if (!Number.isInteger(runs) || runs < 1)
    throw new WrongUsage(`--runs must be a whole number from 1, not ${values.runs}`)
  const only = values.only === undefined ? rows : values.only.split(",").map(name => name.trim())
  const unknown = only.filter(name => !rows.includes(name))
  if (unknown.length > 0)
    throw new WrongUsage(`--only: no row is called ${unknown.join(", ")}; there are ${rows.join(", ")}`)
  const from = values.from ?? null
  const plots = values.plots ?? false
  if (from !== null && !plots)
    throw new WrongUsage("--from takes results from a file; say --plots for what is to be made of them")
  return {
    only,
    json: values.json ?? null,
    quick,
    runs,
    plots,
    profile: values.profile ?? false,
    fourReports: values["four-reports"] ?? false,
    from,
  }
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
      plots: { type: "boolean" },
      from: { type: "string" },
      profile: { type: "boolean" },
      "four-reports": { type: "boolean" },
      help: { type: "boolean" },
    },
  })
  return values
}
