// `npm run bench`: how fast the hub is, as ratios to a bare hub and to peers that were measured in turns with it, because absolute times
// do not hold on a shared machine. Each row is a file in bench/rows/ that says what it does and why it is fair. Every run
// checks its counts to the last job, and fails when one is wrong; times are judged by people, with --quick by nobody.
// --report measures nothing and makes docs/benchmarks.md from what --json kept.
import { printed, type Row, type RowName, rowNames } from "./figures.ts"
import { commit, describeMachine, loadNow } from "./machine.ts"
import { BadResults, demandKeeps, keepRow } from "./results.ts"
import { agents } from "./rows/agents.ts"
import { array } from "./rows/array.ts"
import { idle } from "./rows/idle.ts"
import { latency } from "./rows/latency.ts"
import { noop } from "./rows/noop.ts"
import { peers } from "./rows/peers.ts"
import { scale } from "./rows/scale.ts"
import { scheduler } from "./rows/scheduler.ts"
import { soak } from "./rows/soak.ts"
import { storm } from "./rows/storm.ts"
import { stream } from "./rows/stream.ts"
import { submit } from "./rows/submit.ts"
import { commandOf, readSettings, type Settings, usage, WrongUsage } from "./settings.ts"

const measures: Readonly<Record<RowName, (settings: Settings) => Promise<Row>>> = {
  noop,
  peers,
  latency,
  array,
  agents,
  idle,
  storm,
  stream,
  submit,
  scale,
  scheduler,
  soak,
}

const BUSY = 1
const WRONG_USAGE = 2

async function measure(settings: Settings<RowName>): Promise<void> {
  const machine = describeMachine()
  const { quick, json } = settings
  if (json !== null) await demandKeeps(json, { quick, machine })
  const head = commit()
  console.log(`${machine.cores} cores of ${machine.cpu}, Node ${machine.node}, commit ${head}; ${machine.pinned}`)
  if (loadNow() > BUSY && !quick) {
    console.log(
      `the machine is busy (load ${loadNow().toFixed(1)}): absolute figures mean little, ratios somewhat more`,
    )
  }
  for (const name of settings.only) {
    const at = new Date().toISOString()
    const loadBefore = loadNow()
    const startMs = performance.now()
    const row = await measures[name](settings)
    const seconds = Math.round((performance.now() - startMs) / 1_000)
    const load = { before: loadBefore, after: loadNow() }
    console.log(`\n${printed(row)}\n  (${seconds} s, load ${load.before.toFixed(1)} before)`)
    const measured = { at, seconds, commit: head, command: commandOf(settings, name), load }
    // After each row: hours of measuring must not be lost to the last one.
    if (json !== null) await keepRow(json, { quick, machine }, { ...row, measured })
  }
}

async function main(argv: readonly string[]): Promise<void> {
  const asked = readSettings(argv, rowNames)
  if (asked === "help") console.log(usage)
  else if ("report" in asked) {
    // Whoever measures needs no library for plots in memory.
    const { writeReport } = await import("./report/report.ts")
    const { files, missing } = await writeReport(asked.report, asked.into)
    console.log(files.join("\n"))
    if (missing.length > 0) console.warn(`not measured, and the page says so: ${missing.join(", ")}`)
  } else await measure(asked)
}

try {
  await main(process.argv.slice(2))
} catch (error) {
  if (error instanceof WrongUsage) console.error(`${error.message}\n\n${usage}`)
  else if (error instanceof BadResults) console.error(error.message)
  else throw error
  process.exitCode = WRONG_USAGE
}
