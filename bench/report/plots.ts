// The plots of docs/benchmarks.md: which figures of which row each shows, on which axes. Points are medians, and the bar through each
// goes from the least to the most of its runs. No figure stands here; what a row has not measured is an error that names it.
import type { CustomSeriesOption, EChartsOption, LineSeriesOption } from "echarts"
import { median, type Row, type RowName, show } from "../figures.ts"

export interface Plot {
  readonly file: string
  readonly row: RowName
  readonly title: string
  /** For those who do not see it. */
  readonly words: string
  option(row: Row): EChartsOption
}

/** Cores at which the system of the thesis, whose agents asked a database through REST, stopped working. */
const THESIS_WALL = 320

/** Of Okabe and Ito, told apart by the colour-blind as well; each line has its own symbol besides. */
const colours = {
  hub: "#0072b2",
  bare: "#767676",
  third: "#d55e00",
  ideal: "#009e73",
  text: "#222222",
  grid: "#dddddd",
}

interface Point {
  readonly x: number
  readonly median: number
  readonly min: number
  readonly max: number
}

interface Line {
  readonly name: string
  readonly colour: string
  readonly symbol: "circle" | "rect" | "triangle" | "none"
  readonly points: readonly Point[]
  readonly dashed?: boolean
}

export const plots: readonly Plot[] = [
  {
    file: "throughput.svg",
    row: "agents",
    title: "Throughput against agents",
    words: "No-op jobs a second of the hub and of the bare hub, over the number of agents, logarithmically",
    option: row =>
      chart({ type: "log", name: "agents" }, { type: "value", name: "jobs/s", min: 0 }, [
        { name: "hub", colour: colours.hub, symbol: "circle", points: points(row, "hub", "throughput") },
        { name: "bare hub", colour: colours.bare, symbol: "rect", points: points(row, "bare hub", "throughput") },
      ]),
  },
  {
    file: "peers.svg",
    row: "peers",
    title: "Throughput beside others",
    words:
      "No-op tasks a second of the hub and of each peer, logarithmically, coloured by whether acknowledged is durable",
    option: peersOption,
  },
  {
    file: "memory.svg",
    row: "idle",
    title: "Memory against agents",
    words:
      "Resident memory of the hub and of the bare hub, over the number of agents connected, and the target's slope",
    option: row => {
      const hub = points(row, "hub", "resident")
      return chart({ type: "value", name: "agents" }, { type: "value", name: "MiB resident", min: 0 }, [
        { name: "hub", colour: colours.hub, symbol: "circle", points: hub },
        { name: "bare hub", colour: colours.bare, symbol: "rect", points: points(row, "bare hub", "resident") },
        ...memoryTarget(row, hub),
      ])
    },
  },
  {
    file: "latency.svg",
    row: "latency",
    title: "Latency under load",
    words: "Time from submit to running of the hub, median and 99th percentile, over the share of full load beside it",
    option: row => {
      const percent = (series: string) => points(row, "hub", series).map(point => ({ ...point, x: point.x * 100 }))
      return chart(
        { type: "value", name: "% of full load beside", min: 0, max: 100 },
        { type: "log", name: "ms from submit to running" },
        [
          { name: "p50", colour: colours.hub, symbol: "circle", points: percent("p50") },
          { name: "p99", colour: colours.third, symbol: "triangle", points: percent("p99") },
        ],
      )
    },
  },
  {
    file: "speedup-frames.svg",
    row: "scale",
    title: "Speed-up of the thesis's campaign",
    words:
      "Speed-up of 720 frames over cores in the simulator, beside what nobody could beat, the wall of 320 cores marked",
    option: row =>
      chart(
        { type: "value", name: "cores", min: 0 },
        { type: "value", name: "× one core", min: 0 },
        [
          {
            name: "without any delay",
            colour: colours.ideal,
            symbol: "none",
            dashed: true,
            points: points(row, "simulator", "frames, ideal"),
          },
          { name: "hub, simulated", colour: colours.hub, symbol: "circle", points: points(row, "simulator", "frames") },
        ],
        true,
      ),
  },
  {
    file: "speedup.svg",
    row: "scale",
    title: "Speed-up against agents",
    words:
      "Speed-up over agents, both logarithmically, of a campaign in the simulator and of the real hub, the wall of 320 cores marked",
    option: row =>
      chart(
        { type: "log", name: "agents" },
        { type: "log", name: "× one agent" },
        [
          {
            name: "without any delay",
            colour: colours.ideal,
            symbol: "none",
            dashed: true,
            points: points(row, "simulator", "campaign, ideal"),
          },
          {
            name: "hub, simulated volunteers",
            colour: colours.hub,
            symbol: "circle",
            points: points(row, "simulator", "campaign"),
          },
          {
            name: "hub, real, jobs that sleep",
            colour: colours.third,
            symbol: "triangle",
            points: points(row, "hub", "real"),
          },
        ],
        true,
      ),
  },
]

/** Sorted by x. Throws when the row has none: it was renamed there and not here. */
function points(row: Row, subject: string, series: string): Point[] {
  const found = row.figures.filter(figure => figure.subject === subject && figure.series === series)
  if (found.length === 0) {
    throw new Error(
      `row ${row.name} has no figures of ${subject} in series "${series}": rows/ and report/plots.ts disagree`,
    )
  }
  return found
    .map(({ x = Number.NaN, values }) => {
      return { x, median: median(values), min: Math.min(...values), max: Math.max(...values) }
    })
    .sort((a, b) => a.x - b.x)
}

/** From where the hub is with its first agents (it loads some of its code for them), as steep as it may be. */
function memoryTarget(row: Row, hub: readonly Point[]): Line[] {
  const slope = row.figures.find(
    ({ subject, unit, target }) => subject === "hub" && unit === "KiB" && target !== undefined,
  )
  const [first, last] = [hub.find(({ x }) => x > 0)!, hub.at(-1)!]
  if (slope?.target?.max === undefined)
    throw new Error(`row ${row.name} has no figure with a target in KiB for each agent`)
  const { max } = slope.target
  const at = (x: number): Point => {
    const y = first.median + ((x - first.x) * max) / 1024
    return { x, median: y, min: y, max: y }
  }
  return [
    {
      name: `target: ${max} KiB an agent`,
      colour: colours.ideal,
      symbol: "none",
      dashed: true,
      points: [at(first.x), at(last.x)],
    },
  ]
}

/** The gap makes up for texts that are wider than they can be measured without a font. */
const legend = { top: 38, left: "center", itemGap: 36, textStyle: { color: colours.text } } as const

type Axis = { readonly type: "log" | "value"; readonly name: string; readonly min?: number; readonly max?: number }

function chart(x: Axis, y: Axis, lines: readonly Line[], hasWall = false): EChartsOption {
  return {
    legend: {
      ...legend,
      data: lines.map(({ name, symbol }) => (symbol === "none" ? { name, icon: "path://M0 4h24v2h-24z" } : name)),
    },
    grid: { left: 84, right: 40, top: 84, bottom: 60 },
    xAxis: { ...axis(x), nameGap: 34 },
    yAxis: { ...axis(y), nameGap: 62 },
    series: [
      ...lines.flatMap(line => [
        lineOf(line),
        ...(line.points.some(({ min, max }) => min < max) ? [spreadOf(line)] : []),
      ]),
      ...(hasWall ? [wall] : []),
    ],
  }
}

function axis({ type, name, min, max }: Axis) {
  return {
    type,
    name,
    nameLocation: "middle" as const,
    nameTextStyle: { color: colours.text, fontSize: 13 },
    axisLine: { show: true, lineStyle: { color: colours.text } },
    axisLabel: { color: colours.text, formatter: show },
    splitLine: { lineStyle: { color: colours.grid } },
    ...(min === undefined ? {} : { min }),
    ...(max === undefined ? {} : { max }),
  }
}

function lineOf({ name, colour, symbol, points, dashed = false }: Line): LineSeriesOption {
  return {
    type: "line",
    name,
    symbol,
    symbolSize: 8,
    color: colour,
    lineStyle: { width: 2, type: dashed ? "dashed" : "solid" },
    data: points.map(point => [point.x, point.median]),
  }
}

/** From the least to the most of the runs. */
function spreadOf({ colour, points }: Line): CustomSeriesOption {
  return {
    type: "custom",
    silent: true,
    encode: { x: 0, y: [1, 2] },
    data: points.map(({ x, min, max }) => [x, min, max]),
    renderItem: (_, api) => {
      const x = api.value(0)
      const [low, high] = [api.coord([x, api.value(1)]), api.coord([x, api.value(2)])] as [number[], number[]]
      const shape = { x1: low[0]!, y1: low[1]!, x2: high[0]!, y2: high[1]! }
      return { type: "line", shape, style: { stroke: colour, lineWidth: 1.5 } }
    },
  }
}

const wall: LineSeriesOption = {
  type: "line",
  data: [],
  silent: true,
  markLine: {
    symbol: "none",
    lineStyle: { color: colours.third, width: 1.5, type: "dotted" },
    label: {
      formatter: `${THESIS_WALL} cores: here the thesis's system stopped`,
      color: colours.third,
      // Above the plot, where no line goes.
      position: "end",
    },
    data: [{ xAxis: THESIS_WALL }],
  },
}

function peersOption(row: Row): EChartsOption {
  const hub = row.figures.find(({ subject, name }) => subject === "hub" && name === "throughput")
  if (hub === undefined)
    throw new Error(`row ${row.name} has no throughput of the hub: rows/ and report/plots.ts disagree`)
  const durable = new Set((row.peers ?? []).filter(({ isDurable }) => isDurable).map(({ name }) => name))
  const bars = [hub, ...row.figures.filter(({ series }) => series === "peer")]
    .map(({ subject, values }) => ({ subject, value: median(values) }))
    .sort((a, b) => a.value - b.value)
  const kinds = [
    { name: "hub", color: colours.hub, has: (subject: string) => subject === "hub" },
    { name: "durable before acknowledged", color: colours.ideal, has: (subject: string) => durable.has(subject) },
    {
      name: "not durable before acknowledged",
      color: colours.bare,
      has: (subject: string) => subject !== "hub" && !durable.has(subject),
    },
  ]
  return {
    legend,
    grid: { left: 200, right: 80, top: 76, bottom: 60 },
    xAxis: { ...axis({ type: "log", name: "tasks/s" }), nameGap: 34 },
    yAxis: {
      type: "category",
      data: bars.map(({ subject }) => subject),
      axisLabel: { color: colours.text },
      axisLine: { lineStyle: { color: colours.text } },
      axisTick: { show: false },
    },
    series: kinds.map(({ name, color, has }) => ({
      type: "bar",
      name,
      color,
      // One over the other: each has a bar where the other two have none.
      barGap: "-100%",
      barWidth: "60%",
      label: { show: true, position: "right", color: colours.text, formatter: ({ value }) => show(value as number) },
      data: bars.map(({ subject, value }) => (has(subject) ? value : "-")),
    })),
  }
}
