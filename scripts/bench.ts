// `npm run bench`: how fast the hub is, as ratios to a bare hub and to peers that were measured in turns with it, because absolute times
// do not hold on a shared machine. Each row is a file in bench/rows/ that says what it does and why it is fair. Every run
// checks its counts to the last job, and fails when one is wrong; times are judged by people, with --quick by nobody.
import { writeFile } from "node:fs/promises"
import { loadavg } from "node:os"
import { printed, type Row } from "./bench/figures.ts"
import { describeMachine, type Machine } from "./bench/machine.ts"
import { agents } from "./bench/rows/agents.ts"
import { array } from "./bench/rows/array.ts"
import { idle } from "./bench/rows/idle.ts"
import { latency } from "./bench/rows/latency.ts"
import { noop } from "./bench/rows/noop.ts"
import { peers } from "./bench/rows/peers.ts"
import { scale } from "./bench/rows/scale.ts"
import { scheduler } from "./bench/rows/scheduler.ts"
import { soak } from "./bench/rows/soak.ts"
import { storm } from "./bench/rows/storm.ts"
import { stream } from "./bench/rows/stream.ts"
import { submit } from "./bench/rows/submit.ts"
import { readSettings, type Settings, usage, WrongUsage } from "./bench/settings.ts"

const rows: Readonly<Record<string, (settings: Settings) => Promise<Row>>> = {
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

export interface Results {
  readonly machine: Machine
  readonly startedAt: string
  readonly settings: Settings
  readonly rows: readonly Row[]
}

const BUSY = 1
const WRONG_USAGE = 2

async function run(settings: Settings): Promise<Results> {
  const machine = describeMachine()
  console.log(
    `${machine.cores} cores of ${machine.cpu}, Node ${machine.node}, commit ${machine.commit}; ${machine.pinned}`,
  )
  if (machine.loadAverage > BUSY && !settings.quick) {
    console.log(
      `the machine is busy (load ${machine.loadAverage.toFixed(1)}): absolute figures mean little, ratios somewhat more`,
    )
  }
  const done: Row[] = []
  const startedAt = new Date().toISOString()
  for (const name of settings.only) {
    const startMs = performance.now()
    const row = await rows[name]!(settings)
    done.push(row)
    const took = ((performance.now() - startMs) / 1_000).toFixed(0)
    console.log(`\n${printed(row)}\n  (${took} s, load ${loadavg()[0]!.toFixed(1)})`)
    // After each row: hours of measuring must not be lost to the last one.
    if (settings.json !== null) await keep(settings.json, { machine, startedAt, settings, rows: done })
  }
  return { machine, startedAt, settings, rows: done }
}

async function keep(file: string, results: Results): Promise<void> {
  await writeFile(file, `${JSON.stringify(results, null, 1)}\n`)
}

async function main(argv: readonly string[]): Promise<void> {
  const settings = readSettings(argv, Object.keys(rows))
  if (settings === "help") {
    console.log(usage)
    return
  }
  await run(settings)
}

try {
  await main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof WrongUsage)) throw error
  console.error(`${error.message}\n\n${usage}`)
  process.exitCode = WRONG_USAGE
}
