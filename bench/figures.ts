// What a benchmark reports: figures with all their runs, ratios of runs that were measured side by side, and whether a target is
// met. Rows make them, bench.ts prints them, results.ts keeps them in a file, report/ makes the page and its plots of that.

/** In the order in which they run and stand on the page. */
export const rowNames = [
  "noop",
  "peers",
  "latency",
  "array",
  "agents",
  "idle",
  "storm",
  "stream",
  "submit",
  "scale",
  "scheduler",
  "soak",
] as const
export type RowName = (typeof rowNames)[number]

export interface Figure {
  readonly name: string
  readonly unit: string
  /** Whose it is: "hub", "bare hub", a peer. */
  readonly subject: string
  /** For plots: the figures of one series of a row, and where on the axis each stands (agents, share of full load). */
  readonly series?: string
  readonly x?: number
  /** One for each run, in the order of running. */
  readonly values: readonly number[]
  /** Of the same runs against another subject's, run by run. */
  readonly ratio?: { readonly to: string; readonly values: readonly number[] }
  readonly target?: Target
}

export interface Target {
  /** What the median of this must be. */
  readonly of: "value" | "ratio"
  readonly min?: number
  readonly max?: number
}

/** What somebody else's program was, beside whose figures it stands. */
export interface PeerFacts {
  readonly name: string
  /** Of the server and of the libraries that spoke to it. */
  readonly versions: readonly string[]
  readonly isDurable: boolean
  /** What its acknowledgement means. */
  readonly durability: string
}

export interface Row {
  readonly name: RowName
  /** In a sentence: the work, and its size in this run. */
  readonly work: string
  readonly figures: readonly Figure[]
  /** What whoever reads the figures must know. */
  readonly caveats: readonly string[]
  /** What could not be measured here, and why. */
  readonly skipped?: readonly string[]
  readonly peers?: readonly PeerFacts[]
  /** Files beside the figures, and texts to print: profiles. */
  readonly notes?: readonly string[]
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** Between neighbours, linearly. */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) return Number.NaN
  const sorted = [...values].sort((a, b) => a - b)
  const at = (sorted.length - 1) * q
  const low = Math.floor(at)
  const high = Math.ceil(at)
  return sorted[low]! + (sorted[high]! - sorted[low]!) * (at - low)
}

/** Least squares: y = intercept + slope · x. */
export function fit(points: readonly (readonly [x: number, y: number])[]): { slope: number; intercept: number } {
  const n = points.length
  const sumX = points.reduce((sum, [x]) => sum + x, 0)
  const sumY = points.reduce((sum, [, y]) => sum + y, 0)
  const sumXX = points.reduce((sum, [x]) => sum + x * x, 0)
  const sumXY = points.reduce((sum, [x, y]) => sum + x * y, 0)
  const slope = (n * sumXY - sumX * sumY) / (n * sumXX - sumX * sumX)
  return { slope, intercept: (sumY - slope * sumX) / n }
}

/** Run by run, so that what slowed both down at the same time divides out. */
export function ratios(ours: readonly number[], theirs: readonly number[]): number[] {
  return ours.map((value, run) => value / theirs[run]!)
}

/** Null: no target. */
export function isMet({ values, ratio, target }: Figure): boolean | null {
  if (target === undefined) return null
  const measured = median(target.of === "ratio" ? (ratio?.values ?? []) : values)
  return measured >= (target.min ?? Number.NEGATIVE_INFINITY) && measured <= (target.max ?? Number.POSITIVE_INFINITY)
}

/** How far a missed target is away, as a share of it; what is met or cannot be told has none. */
export function gapOf(figure: Figure): number | null {
  const { values, ratio, target } = figure
  if (target === undefined || isMet(figure) !== false) return null
  const measured = median(target.of === "ratio" ? (ratio?.values ?? []) : values)
  if (Number.isNaN(measured)) return null
  const bound = measured < (target.min ?? Number.NEGATIVE_INFINITY) ? target.min! : target.max!
  return Math.abs(measured - bound) / bound
}

export function wordsOf({ of, min, max }: Target): string {
  const bounds = [min === undefined ? "" : `≥ ${show(min)}`, max === undefined ? "" : `≤ ${show(max)}`]
  return `${bounds.filter(bound => bound !== "").join(", ")}${of === "ratio" ? " as ratio" : ""}`
}

/** Three digits that count, with thousands apart. */
export function show(value: number): string {
  if (!Number.isFinite(value)) return "–"
  if (Number.isInteger(value) || Math.abs(value) >= 100) return Math.round(value).toLocaleString("en-GB")
  return String(Number(value.toPrecision(3)))
}

function wordsOfPeer({ versions, isDurable, durability }: PeerFacts): string {
  return `${versions.join(", ")}; ${isDurable ? "durable" : "NOT durable"}: ${durability}`
}

/** A table for terminals. */
export function printed(row: Row): string {
  const head = ["", "median", "min", "max", "runs", "ratio", "target", ""]
  const lines = row.figures.map(figure => {
    const { subject, name, unit, values, ratio, target } = figure
    const met = isMet(figure)
    return [
      `${subject}: ${name}, ${unit}`,
      show(median(values)),
      show(Math.min(...values)),
      show(Math.max(...values)),
      String(values.length),
      ratio === undefined ? "" : `${show(median(ratio.values))} of ${ratio.to}`,
      target === undefined ? "" : wordsOf(target),
      met === null ? "" : met ? "met" : "MISSED",
    ]
  })
  const widths = head.map((_, column) => Math.max(...[head, ...lines].map(line => line[column]!.length)))
  const text = [head, ...lines].map(line =>
    line
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
      .join("  ")
      .trimEnd(),
  )
  const peers = (row.peers ?? []).map(peer => `  ${peer.name}: ${wordsOfPeer(peer)}`)
  const said = [...peers, ...(row.skipped ?? []).map(one => `  skipped: ${one}`), ...(row.notes ?? [])]
  return [`${row.name}: ${row.work}`, ...text.map(line => `  ${line}`), ...said].join("\n")
}
