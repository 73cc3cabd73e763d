// docs/benchmarks.md as text, from results and prose. Every figure comes from the results; nothing is rounded twice, nothing left out,
// and what was not measured is said to be so. Pure: reads and writes nothing.
import { type Figure, gapOf, isMet, median, type RowName, rowNames, show, wordsOf } from "../figures.ts"
import type { MeasuredRow, Results } from "../results.ts"
import { plots } from "./plots.ts"
import { type Prose, prose } from "./prose.ts"

/** The folder of plots and results, as the page names it. */
export const FOLDER = "benchmarks"
const GIB = 1024 ** 3
/** Load average before a row, above which somebody else took more than a little of the machine. */
const BUSY = 1

export function pageOf(results: Results, words: Readonly<Record<RowName, Prose>> = prose): string {
  const { machine, rows, quick } = results
  const found = new Map(rows.map(row => [row.name, row]))
  const parts = [
    "# Benchmarks",
    `Made by \`npm run bench -- --report docs/${FOLDER}/results.json\` from [that file](${FOLDER}/results.json), which \`npm run bench -- --json\` wrote: change neither by hand.`,
    ...(quick
      ? [
          "**These are figures of `--quick`: small sizes, which show that everything is measured. Its times mean nothing.**",
        ]
      : []),
    "The machine is shared, so that absolute figures do not hold; ratios do, because both sides ran in turns in one run. A figure is the median of its runs, a ratio the median of the runs' own ratios.",
    table(
      ["machine", ""],
      [
        ["processor", `${machine.cores} cores of ${machine.cpu}`],
        ["memory", `${show(machine.memoryBytes / GIB)} GiB`],
        ["kernel", machine.kernel],
        ["Node", machine.node],
        ["cores", machine.pinned],
      ],
    ),
    "## Targets",
    targets(rows),
    ...rowNames.flatMap(name => section(name, words[name], found.get(name), quick)),
  ]
  return `${parts.join("\n\n")}\n`
}

/** Those that the results have nothing of. */
export function missingOf({ rows }: Results): RowName[] {
  return rowNames.filter(name => !rows.some(row => row.name === name))
}

function targets(rows: readonly MeasuredRow[]): string {
  const lines = rowNames.flatMap(name => {
    const row = rows.find(one => one.name === name)
    if (row === undefined) return [[name, "", "not measured", "", ""]]
    return row.figures
      .filter(({ target }) => target !== undefined)
      .map(figure => {
        const { ratio, target, values, unit } = figure
        const measured =
          target!.of === "ratio" ? ratioWords(figure) : `${show(median(values))}${unit === "1" ? "" : ` ${unit}`}`
        return [`[${name}](#${name})`, nameOf(figure), measured || ratio?.to || "", wordsOf(target!), verdict(figure)]
      })
  })
  return table(["row", "figure", "measured", "target", ""], lines)
}

function section(name: RowName, words: Prose, row: MeasuredRow | undefined, quick: boolean): string[] {
  const { title, about, causes } = words
  const head = [`## ${name}`, `**${title}.** ${about}`]
  if (row === undefined) {
    const flags = quick ? " --quick" : ""
    return [
      ...head,
      `**Not measured.** To do so: \`npm run bench -- --only ${name}${flags} --json docs/${FOLDER}/results.json\``,
    ]
  }
  const { work, figures, caveats, peers = [], skipped = [], notes = [] } = row
  const missed = figures.filter(figure => isMet(figure) === false)
  return [
    ...head,
    `${capital(work)}. ${circumstances(row)}`,
    `    ${row.measured.command}`,
    ...plots
      .filter(plot => plot.row === name)
      .map(({ file, words, title }) => `![${title}: ${words}](${FOLDER}/${file})`),
    figuresTable(figures),
    ...list(
      "Missed",
      missed.map(figure => `**${nameOf(figure)}**: ${verdict(figure)}. ${causeOf(figure, name, causes)}`),
    ),
    ...(peers.length === 0
      ? []
      : [
          table(
            ["peer", "versions", "durable", "what its acknowledgement means"],
            peers.map(peer => [peer.name, peer.versions.join(", "), peer.isDurable ? "yes" : "no", peer.durability]),
          ),
        ]),
    ...list("Skipped", skipped),
    ...list("To know when reading", caveats),
    ...(notes.length === 0 ? [] : [details(notes)]),
  ]
}

function circumstances({ measured: { at, seconds, commit, load } }: MeasuredRow): string {
  const busy = load.before > BUSY ? ": others were using the machine" : ""
  const minutes = seconds < 120 ? `${show(seconds)} s` : `${show(Math.round(seconds / 60))} minutes`
  return `Measured ${at.slice(0, 16).replace("T", " ")} UTC at commit ${commit} within ${minutes}; load average ${show(load.before)} before${busy}, ${show(load.after)} after.`
}

function figuresTable(figures: readonly Figure[]): string {
  const lines = figures.map(figure => {
    const { unit, values, target } = figure
    return [
      nameOf(figure),
      unit,
      show(median(values)),
      show(Math.min(...values)),
      show(Math.max(...values)),
      String(values.length),
      ratioWords(figure),
      target === undefined ? "" : wordsOf(target),
      verdict(figure),
    ]
  })
  return table(["figure", "unit", "median", "min", "max", "runs", "ratio", "target", ""], lines)
}

function nameOf({ subject, name }: Figure): string {
  return `${subject}: ${name}`
}

/** The median, and from where to where the runs' own ratios go. */
function ratioWords({ ratio }: Figure): string {
  if (ratio === undefined) return ""
  const [low, high] = [show(Math.min(...ratio.values)), show(Math.max(...ratio.values))]
  return `${show(median(ratio.values))}${low === high ? "" : ` (${low} – ${high})`} of ${ratio.to}`
}

function verdict(figure: Figure): string {
  const met = isMet(figure)
  if (met === null) return ""
  if (met) return "met"
  const gap = gapOf(figure)
  // Its ratio is missing, or what it is of could not be measured.
  return gap === null ? "**not to be told**" : `**missed by ${show(Math.max(1, Math.round(gap * 100)))} %**`
}

function causeOf(figure: Figure, row: RowName, causes: Prose["causes"]): string {
  const name = nameOf(figure)
  const [longest] = Object.keys(causes)
    .filter(start => name.startsWith(start))
    .sort((a, b) => b.length - a.length)
  return longest === undefined
    ? `The cause is not named yet: it belongs into \`bench/report/prose.ts\`, row ${row}.`
    : causes[longest]!
}

function list(title: string, items: readonly string[]): string[] {
  return items.length === 0 ? [] : [`${title}:`, items.map(item => `- ${item}`).join("\n")]
}

function details(notes: readonly string[]): string {
  return `<details><summary>Notes of the run</summary>\n\n\`\`\`text\n${notes.join("\n\n")}\n\`\`\`\n\n</details>`
}

function table(head: readonly string[], lines: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(cell => cell.replaceAll("|", "\\|")).join(" | ")} |`
  return [line(head), line(head.map(() => "---")), ...lines.map(line)].join("\n")
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
