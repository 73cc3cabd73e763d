// npm run sim -- --seed S --agents N --jobs M --hours H [--faults …] [--seeds COUNT] [--break NAME]
// Exit code 0: nothing found. 1: a violation, with the seed that shows it again. 2: a wrong option.
import { parseArgs } from "node:util"
import { type MutantName, mutantNames } from "./broken.ts"
import { faultNames, faultsOf } from "./faults.ts"
import type { Setting } from "./setting.ts"
import { simulate } from "./world.ts"

const help = `Simulates a whole project in virtual time, with the hub's and the agents' production cores.

  npm run sim -- [options]

  --seed S      what decides everything (default 1)
  --seeds N     this many seeds, from S on (default 1)
  --agents N    volunteers' machines with 1 to 4 slots (default 20)
  --jobs M      (default 500)
  --hours H     virtual hours with faults, before peace (default 12)
  --faults F    none, all (default), or a list of: ${faultNames.join(", ")}
  --store S     memory (default), or sqlite: the hub's own database, so that each restart is the real one
  --no-rescue   never double slow attempts, to compare makespans
  --fair        three owners with shares 1, 1 and 2 and different pasts who all want more than there is
  --break NAME  a broken core that must be found: ${mutantNames.join(", ")}

Example: npm run sim -- --seed 7 --agents 1000 --jobs 100000 --hours 24`

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seed: { type: "string", default: "1" },
      seeds: { type: "string", default: "1" },
      agents: { type: "string", default: "20" },
      jobs: { type: "string", default: "500" },
      hours: { type: "string", default: "12" },
      faults: { type: "string", default: "all" },
      store: { type: "string", default: "memory" },
      break: { type: "string" },
      "no-rescue": { type: "boolean", default: false },
      fair: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  })
  if (values.help) {
    console.log(help)
    return 0
  }
  const broken = values.break ?? null
  if (broken !== null && !mutantNames.includes(broken as MutantName)) {
    throw new Error(`there is no broken core "${broken}": choose from ${mutantNames.join(", ")}`)
  }
  faultsOf(values.faults)
  const { store } = values
  if (store !== "memory" && store !== "sqlite") throw new Error(`there is no store "${store}": choose memory or sqlite`)
  const first = number("seed", values.seed, 0)
  const count = number("seeds", values.seeds, 1)
  let failed = 0
  for (let seed = first; seed < first + count; seed++) {
    const setting: Setting = {
      seed,
      agents: number("agents", values.agents, 1),
      jobs: number("jobs", values.jobs, 1),
      hours: number("hours", values.hours, 1),
      faults: values.faults,
      store,
      broken: broken as MutantName | null,
      rescue: !values["no-rescue"],
      fair: values.fair,
    }
    if (!(await runOne(setting, count === 1))) failed++
  }
  if (count > 1) console.log(`${count} seeds, ${failed} with violations`)
  return failed === 0 ? 0 : 1
}

async function runOne(setting: Setting, chatty: boolean): Promise<boolean> {
  const began = process.hrtime.bigint()
  const report = await simulate(setting)
  const seconds = Number(process.hrtime.bigint() - began) / 1e9
  const { violations, hash, outcomes } = report
  if (chatty) {
    console.log(`seed         ${setting.seed}`)
    console.log(`trace hash   ${hash}`)
    console.log(`virtual time ${report.virtualHours.toFixed(1)} h in ${seconds.toFixed(1)} s`)
    console.log(`moves        ${report.moves}`)
    console.log(
      `runs         ${report.runs} of ${setting.jobs} jobs, ${report.losses} attempts lost, ${report.rescues} doubled`,
    )
    console.log(`hub crashes  ${report.hubCrashes}`)
    console.log(`forgotten    ${report.forgotten} campaigns`)
    console.log(`tried again  ${report.retried} times`)
    for (const [outcome, jobs] of Object.entries(outcomes)) if (jobs > 0) console.log(`${outcome.padEnd(12)} ${jobs}`)
    console.log(`longest turn ${(report.longestWaitMs / 60_000).toFixed(0)} min`)
    for (const [owner, seconds] of Object.entries(report.used)) {
      console.log(`used         ${owner}: ${seconds.toFixed(0)} core-seconds in the second half`)
    }
    console.log(`violations   ${violations.length}`)
  }
  if (violations.length === 0) return true
  const { agents, jobs, hours, faults, broken, store } = setting
  const again = `--seed ${setting.seed} --agents ${agents} --jobs ${jobs} --hours ${hours} --faults ${faults} --store ${store}`
  console.log(`\nseed ${setting.seed} found:\n  ${violations.join("\n  ")}`)
  console.log(`See it again with: npm run sim -- ${again}${broken === null ? "" : ` --break ${broken}`}\n`)
  return false
}

function number(name: string, text: string, least: number): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= least) return value
  throw new Error(`--${name} must be a whole number from ${least} on, not "${text}"`)
}

main().then(
  code => {
    process.exitCode = code
  },
  (error: unknown) => {
    const message = error instanceof Error ? error.message : String(error)
    console.error(`sim: ${message}\nTry: npm run sim -- --help`)
    process.exitCode = 2
  },
)
