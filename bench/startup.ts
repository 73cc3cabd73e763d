// How much processor time the start of `cah` takes, against a bare Node in the same run, in turns: as it was built, and from its sources. Times of the
// processor hardly change with what else the machine does. Exit code 1 where the build takes more than it may.
//   node --import tsx bench/startup.ts [--runs 9]
import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { root } from "../scripts/files.ts"

const RATIO_MAX = 2.5

const { values } = parseArgs({ options: { runs: { type: "string", default: "9" } } })
const place = mkdtempSync(join(tmpdir(), "cah-startup-"))
const built = "cah --version, built"
try {
  const make = spawnSync(process.execPath, ["--import", "tsx", "release/build.ts", "cah"], {
    cwd: root,
    encoding: "utf8",
  })
  if (make.status !== 0) throw new Error(make.stderr)
  const cah = join(root, "client/bin/cah.mjs")
  const told = join(place, "told")
  const exit = `process.on("exit", () => require("node:fs").writeFileSync(${JSON.stringify(told)}, JSON.stringify(process.cpuUsage())))`
  writeFileSync(join(place, "tell.cjs"), exit)
  const sources = JSON.stringify(join(root, "client/main.ts"))
  writeFileSync(join(place, "sources.mjs"), `import { main } from ${sources}\nawait main("cah", () => {})\n`)
  const starts: Readonly<Record<string, readonly string[]>> = {
    "bare Node": ["--eval", "0"],
    [built]: [cah, "--version"],
    "cah sub --help, built": [cah, "sub", "--help"],
    "cah --version, sources": ["--import", "tsx", join(place, "sources.mjs"), "--version"],
  }
  const seconds = new Map<string, number[]>(Object.keys(starts).map(name => [name, []]))
  for (let turn = 0; turn < Number(values.runs); turn++) {
    for (const [name, args] of Object.entries(starts)) {
      const { status, stderr } = spawnSync(process.execPath, ["--require", join(place, "tell.cjs"), ...args], {
        cwd: root,
      })
      if (status !== 0) throw new Error(`${name}: ${stderr}`)
      const { user, system } = JSON.parse(readFileSync(told, "utf8")) as NodeJS.CpuUsage
      seconds.get(name)?.push((user + system) / 1e6)
    }
  }
  const median = (name: string): number => {
    const sorted = [...(seconds.get(name) ?? [])].sort((a, b) => a - b)
    return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
  }
  const ratio = (name: string): number => median(name) / median("bare Node")
  for (const name of seconds.keys()) {
    console.log(`${name.padEnd(24)} ${median(name).toFixed(3)} s  ${ratio(name).toFixed(1)} × bare Node`)
  }
  if (ratio(built) > RATIO_MAX) {
    console.error(`cah takes more than ${RATIO_MAX} × bare Node to say its version`)
    process.exitCode = 1
  }
} finally {
  rmSync(place, { recursive: true })
}
