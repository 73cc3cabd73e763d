// Everything that must hold before a change goes in, in one command: `npm run check`; CI does the same. Needs no network, database or VM.
// A step that cannot be done here is skipped aloud, with the reason. `--without tests` leaves a step out, where it was done just before;
// `--node 24` does what depends on Node on the long-term release, and with words after it only the tests of paths that contain one.
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { root } from "./files.ts"
import { checkOn } from "./othernode.ts"
import { runTests } from "./runner.ts"

/** Small worlds with every fault on; a fresh seed each time finds what the fixed ones no longer can. */
const SIM_SEEDS = [1, 2, 3, 4, 5, 1 + Math.floor(Math.random() * 0x7fff_ffff)]
const SIM_WORLD = ["--agents", "20", "--jobs", "200", "--hours", "4", "--faults", "all"]

/** One command of a step. A simulated world that never ends must not hold up the machine that checks it. */
const COMMAND_MAX_MS = 5 * 60_000

type Verdict = { readonly ok: true; readonly skipped?: string } | { readonly ok: false; readonly why: string }

const steps: readonly { readonly name: string; readonly run: () => Verdict | Promise<Verdict> }[] = [
  { name: "format and lint", run: () => tool("biome", ["ci", "--colors=off", "--max-diagnostics=50"]) },
  { name: "types", run: () => tool("tsc", ["-p", "tsconfig.json"]) },
  { name: "protocol lint", run: () => tool("buf", ["lint"]) },
  { name: "protocol compatibility", run: breaking },
  { name: "generated code is fresh", run: genFresh },
  { name: "build", run: () => command(process.execPath, ["--import", "tsx", "release/build.ts"]) },
  { name: "tests", run: async () => ((await runTests([])) ? { ok: true } : { ok: false, why: "see above" }) },
  { name: "simulator seeds", run: simulate },
]

/** A tool of node_modules; its output is shown only when it fails. */
function tool(name: string, args: readonly string[]): Verdict {
  return command(join(root, "node_modules", ".bin", name), args)
}

function command(program: string, args: readonly string[]): Verdict {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
    timeout: COMMAND_MAX_MS,
    // The generator is found by name, as buf.gen.yaml says it.
    env: { ...process.env, PATH: `${join(root, "node_modules", ".bin")}:${process.env.PATH ?? ""}` },
  })
  if (status === 0) return { ok: true }
  return { ok: false, why: error?.message ?? `${stdout}${stderr}`.trim() }
}

function git(...args: readonly string[]): string | null {
  const { status, stdout } = spawnSync("git", args, { cwd: root, encoding: "utf8" })
  return status === 0 ? stdout.trim() : null
}

/** Against main; on main itself, against the commit before: an agent in the field must still understand us. */
function breaking(): Verdict {
  const head = git("rev-parse", "--verify", "-q", "HEAD^{commit}")
  if (head === null) return { ok: true, skipped: "no git history here to compare with" }
  const main =
    git("rev-parse", "--verify", "-q", "origin/main^{commit}") ?? git("rev-parse", "--verify", "-q", "main^{commit}")
  const base = main !== null && main !== head ? (git("merge-base", main, head) ?? main) : null
  const against = base !== null && base !== head ? base : git("rev-parse", "--verify", "-q", "HEAD~1^{commit}")
  if (against === null) {
    const why =
      git("rev-parse", "--is-shallow-repository") === "true" ? "the clone is shallow" : "this is the first commit"
    return { ok: true, skipped: `${why}: no earlier protocol to compare with` }
  }
  if (git("cat-file", "-e", `${against}:proto/cah/v1/link.proto`) === null) {
    return { ok: true, skipped: `commit ${against.slice(0, 10)} has no protocol yet` }
  }
  // buf reads the older protocol from a tree of its own: a linked worktree's .git is a file, which it does not follow.
  const older = mkdtempSync(join(tmpdir(), "cah-proto-"))
  try {
    const unpacked = command("sh", ["-c", 'git archive "$0" proto buf.yaml | tar -x -C "$1"', against, older])
    return unpacked.ok ? tool("buf", ["breaking", "--against", older]) : unpacked
  } finally {
    rmSync(older, { recursive: true, force: true })
  }
}

function genFresh(): Verdict {
  const fresh = mkdtempSync(join(tmpdir(), "cah-gen-"))
  try {
    const generated = tool("buf", ["generate", "--output", fresh])
    if (!generated.ok) return generated
    const same = command("diff", ["-r", "-q", join(fresh, "proto/gen"), join(root, "proto/gen")])
    return same.ok
      ? same
      : { ok: false, why: `${same.why}\nproto/gen is stale: run \`npm run gen\` and commit the result` }
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
}

function simulate(): Verdict {
  if (!existsSync(join(root, "hub/sim/main.ts")))
    return { ok: false, why: "hub/sim/main.ts is missing: nothing was simulated" }
  for (const seed of SIM_SEEDS) {
    const ran = command(process.execPath, ["--import", "tsx", "hub/sim/main.ts", "--seed", String(seed), ...SIM_WORLD])
    if (!ran.ok) return { ok: false, why: `seed ${seed}:\n${ran.why}` }
  }
  console.log(`  seeds ${SIM_SEEDS.join(", ")}`)
  return { ok: true }
}

async function main(args: readonly string[]): Promise<boolean> {
  const options = { without: { type: "string", multiple: true }, node: { type: "string" } } as const
  const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true })
  const { without = [], node } = values
  if (node !== undefined) return checkOn(node, positionals)
  if (positionals.length > 0) {
    console.error(`check: tests alone, of paths that contain a word: npm test -- ${positionals.join(" ")}`)
    return false
  }
  const unknown = without.find(name => !steps.some(step => step.name === name))
  if (unknown !== undefined) {
    console.error(`--without: there is no step "${unknown}"; there are ${steps.map(({ name }) => name).join(", ")}`)
    return false
  }
  const failed: string[] = []
  const skipped: string[] = []
  for (const step of steps) {
    if (without.includes(step.name)) continue
    const startedMs = performance.now()
    console.log(`• ${step.name}`)
    const verdict = await step.run()
    const took = `${((performance.now() - startedMs) / 1000).toFixed(1)} s`
    if (!verdict.ok) {
      failed.push(step.name)
      console.log(`${verdict.why.replace(/^/gm, "  ")}\n✗ ${step.name} (${took})\n`)
    } else if (verdict.skipped !== undefined) {
      skipped.push(`${step.name}: ${verdict.skipped}`)
      console.log(`- ${step.name}, skipped: ${verdict.skipped}\n`)
    } else {
      console.log(`✓ ${step.name} (${took})\n`)
    }
  }
  if (skipped.length > 0) console.log(`skipped: ${skipped.join("; ")}`)
  console.log(failed.length === 0 ? "all is well" : `not well: ${failed.join(", ")}`)
  return failed.length === 0
}

try {
  process.exitCode = (await main(process.argv.slice(2))) ? 0 : 1
} catch (error) {
  if (!String((error as NodeJS.ErrnoException).code).startsWith("ERR_PARSE_ARGS")) throw error
  console.error(`check: ${(error as Error).message}`)
  process.exitCode = 2
}
