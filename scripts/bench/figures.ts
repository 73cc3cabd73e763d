// What a benchmark reports: figures with all their runs, ratios of runs that were measured side by side, and whether a target is
// met. Rows make them, bench.ts prints and keeps them, plots.ts draws them.

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

export interface Row {
  readonly name: string
  /** In a sentence: the work, and its size in this run. */
  readonly work: string
  readonly figures: readonly Figure[]
  /** What whoever reads the figures must know. */
  readonly caveats: readonly string[]
  /** What could not be measured here, and why. */
  readonly skipped?: readonly string[]
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
  const said = [...(row.skipped ?? []).map(one => `  skipped: ${one}`), ...(row.notes ?? [])]
  return [`${row.name}: ${row.work}`, ...text.map(line => `  ${line}`), ...said].join("\n")
}
