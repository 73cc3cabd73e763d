// `npm run e2e` runs all end-to-end pieces one after the other, `npm run e2e -- boinc` one, `npm run e2e -- crash --rounds 10` with flags of its
// own. A piece is a program that exits 0, or 77 when this machine cannot do it, having said why. Knows the pieces' budgets; what is done and
// judged is each piece's own affair.
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { root } from "../scripts/files.ts"

const ENDING = ".e2e.ts"
const CANNOT = 77
const BUDGET_MS = 5 * 60_000
/** One builds an image twice, which packs 350 MB as small as it gets; one types every flag, well and badly; one boots emulated machines again and again. */
const LONG_MS = 9 * 60_000
const long = ["appliance", "commandline", "volunteer-kills"]
/** From SIGTERM to SIGKILL. */
const GRACE_MS = 30_000

const pieces = readdirSync(join(root, "e2e"))
  .filter(name => name.endsWith(ENDING))
  .map(name => name.slice(0, -ENDING.length))
  .sort()

async function main([name, ...flags]: readonly string[]): Promise<number> {
  if (name === undefined) {
    for (const piece of pieces) {
      const code = await run(piece, [], long.includes(piece) ? LONG_MS : BUDGET_MS)
      if (code !== 0 && code !== CANNOT) return code
    }
    return 0
  }
  if (pieces.includes(name)) return run(name, flags, null)
  if (name !== "--help") console.error(`e2e: there is no piece "${name}"`)
  console.error(`npm run e2e [-- PIECE [flags]], of which there are ${pieces.join(", ")}`)
  return 2
}

/** Its exit code. With a budget the piece has a process group of its own, all of which ends with it. */
async function run(piece: string, flags: readonly string[], budgetMs: number | null): Promise<number> {
  console.log(`== ${piece}`)
  const startedMs = performance.now()
  const args = ["--import", "tsx", join(root, "e2e", piece + ENDING), ...flags]
  const child = spawn(process.execPath, args, { cwd: root, stdio: "inherit", detached: budgetMs !== null })
  const end = (signal: NodeJS.Signals): void => {
    try {
      if (child.pid !== undefined) process.kill(budgetMs === null ? child.pid : -child.pid, signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error
    }
  }
  // A terminal's Ctrl-C reaches a piece in our own group by itself.
  const told = ["SIGTERM", ...(budgetMs === null ? [] : ["SIGINT" as const])] as const
  for (const signal of told) process.on(signal, end)
  const timers =
    budgetMs === null ? [] : [setTimeout(end, budgetMs, "SIGTERM"), setTimeout(end, budgetMs + GRACE_MS, "SIGKILL")]
  const [code, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null]
  for (const timer of timers) clearTimeout(timer)
  for (const signal of told) process.off(signal, end)
  const seconds = Math.round((performance.now() - startedMs) / 1_000)
  const how = code === 0 ? "passed" : code === CANNOT ? "skipped" : `FAILED (${signal ?? code})`
  console.log(`== ${piece}: ${how} after ${seconds} s`)
  return code ?? 1
}

process.exitCode = await main(process.argv.slice(2))
