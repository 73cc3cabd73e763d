// The whole command line, typed into bash against a real hub and a real agent: every verb and every flag at least once well, every flag with a
// value at least once badly, with exit code and words. Then gathering, from a whole array, from one that gave nothing and from a cancelled one;
// and Ctrl-C at one moment after the other, after which what was said must be true. That no flag is left out is checked against the tree itself.
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { createHmac } from "node:crypto"
import { once } from "node:events"
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Command } from "commander"
import { isRefused } from "../client/submit/refused.ts"
import { wholeTree } from "../client/tree.ts"
import { Desk } from "../harness/desk.ts"
import { files, first, last, type Row, together } from "./lines.ts"

const LANES = 3

// ---- every flag ---------------------------------------------------------------------------------------------------

/** Values that are never wrong here: any path or text is one. */
const neverWrong = new Set(["cah sub --get", "cah sub --file", "cah sub --walltime"])

/** What of the tree no row has typed, well or badly. */
async function forgotten(rows: readonly Row[]): Promise<string[]> {
  const root = await wholeTree()
  const common = new Set(root.options.map(({ long }) => long))
  const missing: string[] = []
  const look = (command: Command, path: string) => {
    for (const inner of command.commands) if (inner.name() !== "help") look(inner, `${path} ${inner.name()}`)
    if (command.commands.length > 0) return
    const typed = rows.filter(([line]) => new RegExp(`(^|[;&|(] *|\\b)${path}\\b`).test(line) || usual(path, line))
    const good = typed.filter(([, code]) => code !== 2)
    const bad = typed.filter(([, code]) => code !== 0)
    if (good.length === 0) missing.push(`${path}: never well`)
    if (bad.length === 0) missing.push(`${path}: never badly`)
    for (const option of command.options) {
      if (isRefused(option) || common.has(option.long)) continue
      const spelled = [option.short, option.long].filter(name => name).join("|")
      const has = ([line]: Row) => new RegExp(`(?<=\\s)(${spelled})(?=[\\s=]|$)`).test(line)
      const name = `${path} ${option.long}`
      // What sub has and try or resub take as well is shown by sub.
      const isShared = path !== "cah sub" && sharedBySub.has(option.long ?? "") && path !== "cah wait"
      if (!isShared && !good.some(has)) missing.push(`${name}: never well`)
      if (!isShared && option.required && !neverWrong.has(name) && !bad.some(has)) missing.push(`${name}: never badly`)
    }
  }
  const sub = root.commands.find(command => command.name() === "sub")
  const sharedBySub = new Set(sub?.options.map(({ long }) => long ?? "") ?? [])
  for (const own of ["--get", "--propagate", "--idempotency-key"]) sharedBySub.delete(own)
  look(root, "cah")
  return missing
}

/** `cah nodes` is `cah nodes ls`. */
function usual(path: string, line: string): boolean {
  const group = /^(.*) (ls|list)$/.exec(path)?.[1]
  return group !== undefined && new RegExp(`\\b${group}( -|$| &&)`).test(line)
}

// ---- rows ---------------------------------------------------------------------------------------------------------

async function check(desk: Desk, environment: Record<string, string>, row: Row): Promise<string | null> {
  const [line, code, stdout, stderr] = row
  const done = await desk.type(line, environment)
  try {
    assert.equal(done.code, code)
    assert.match(done.stdout, stdout)
    assert.match(done.stderr, stderr)
    return null
  } catch (thrown) {
    const why = thrown instanceof Error ? (thrown.message.split("\n")[0] ?? "") : String(thrown)
    return `$ ${line}\n${done.stdout}${done.stderr}-> ${done.code}, wanted ${code}: ${why}; stdout ${stdout}, stderr ${stderr}\n`
  }
}

async function inLanes(
  rows: readonly Row[],
  lanes: number,
  run: (row: Row) => Promise<string | null>,
): Promise<string[]> {
  const wrong: string[] = []
  const queue = [...rows]
  const lane = async () => {
    for (let row = queue.shift(); row !== undefined; row = queue.shift()) {
      const complaint = await run(row)
      if (complaint !== null) wrong.push(complaint)
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  return wrong
}

// ---- gathering ----------------------------------------------------------------------------------------------------

async function gathering(desk: Desk): Promise<void> {
  // Job 2 leaves nothing: there is no directory of that number.
  await desk.says(
    "cah sub -n parts --array 12 --stageout part 'test $CAH_ARRAY_INDEX = 2 || echo $CAH_ARRAY_INDEX > part'",
  )
  await desk.says(
    'cah sub -n whole --gather @parts --wait \'cat */part | sort -n | tr "\\n" " "; ls -d 02 2>&1 | wc -c\'',
  )
  assert.match(await desk.says("cah logs @whole"), /^0 1 3 4 5 6 7 8 9 10 11 \d+\n$/)
  assert.match(await desk.says("cah show @whole"), /Waits for|Command/)
  await desk.says("cah sub -n empty --array 2 --stageout nothing true")
  await desk.says("cah sub -n gathers-nothing --gather @empty --wait 'ls | wc -l'")
  assert.equal(await desk.says("cah logs @gathers-nothing"), "0\n")
  // One that is cancelled while it is waited for takes with it what would have gathered it.
  await desk.says("cah sub -n long --array 4 sleep 100")
  await desk.says("cah sub -n never --gather @long true")
  assert.match(await desk.says("cah explain @never"), /it waits for campaign \d+ to end well/)
  await desk.says("cah del @long")
  const never = await desk.type("cah wait @never")
  assert.equal(never.code, 1)
  assert.match(await desk.says("cah show @never"), /State +cancelled/)
  const late = await desk.type("cah sub --gather @long true")
  assert.equal(late.code, 6)
  assert.match(late.stderr, /which must end well first, did not/)
}

// ---- Ctrl-C -------------------------------------------------------------------------------------------------------

/** Parts of the time that a submission takes here: from before the program has begun until long after the answer. */
const moments = [0.05, 0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.5, 2.5]

async function interrupting(desk: Desk): Promise<void> {
  const begunMs = performance.now()
  await desk.says("cah sub -n measured -s study --hold -- true")
  const wholeMs = performance.now() - begunMs
  for (const [number, part] of moments.entries()) {
    const ms = Math.round(part * wholeMs)
    const name = `interrupted-${number}`
    // A stagein of its own each time, so that there is something to send.
    await writeFile(join(desk.directory, "study", "number"), String(number))
    const { code, stderr } = await interrupted(
      desk,
      `exec cah sub -n ${name} -s study --array 2 --wait -- sleep 600`,
      ms,
    )
    const found = await desk.type(`cah ls @${name} --all -o quiet`)
    const id = found.code === 0 ? found.stdout.trim() : null
    const place = `Ctrl-C after ${ms} of ${Math.round(wholeMs)} ms said ${JSON.stringify(stderr)}`
    if (code === null) {
      // Node itself had not begun: the system's own end.
      assert.equal(id, null, place)
      continue
    }
    assert.equal(code, 130, place)
    const [before = "", second = ""] = stderr.trimEnd().split("\n").slice(-2)
    assert.equal(before, "cah: Interrupted.", place)
    const goes = /^ {5}The work goes on; cancel it with: cah del (\d+)$/.exec(second)?.[1]
    if (goes !== undefined) assert.equal(goes, id, place)
    else if (/^ {5}Nothing was (submitted|done)\.$/.test(second)) assert.equal(id, null, place)
    else
      assert.match(second, /^ {5}It may have been submitted: see cah ls, or repeat with --idempotency-key \S+$/, place)
    if (id === null) continue
    const { counts } = JSON.parse(await desk.says(`cah show ${id} -o json`)).campaign
    assert.equal(counts.cancelled + counts.failed, 0, `${place}, and the job did not go on`)
    await desk.says(`cah del ${id}`)
  }
  await desk.says("cah sub -n watched --hold true")
  for (const line of ["cah wait @watched --progress", "cah logs -f @watched", "cah sub --hold --follow true"]) {
    const { code, stderr } = await interrupted(desk, `exec ${line}`, "first words")
    assert.deepEqual(
      [code, /goes on; cancel it with: cah del \d+(\.0)?\n$/.test(stderr)],
      [130, true],
      `${line}: ${stderr}`,
    )
  }
}

function interrupted(
  desk: Desk,
  line: string,
  when: number | "first words",
): Promise<{ code: number | null; stderr: string }> {
  // A group of its own, as a terminal's foreground: Ctrl-C reaches all of it.
  const child = spawn("bash", ["-c", line], {
    cwd: desk.directory,
    env: desk.environment,
    stdio: ["ignore", "ignore", "pipe"],
    detached: true,
  })
  let stderr = ""
  const interrupt = () => child.pid !== undefined && process.kill(-child.pid, "SIGINT")
  child.stderr.on("data", chunk => {
    if (stderr === "" && when === "first words") interrupt()
    stderr += chunk
  })
  const timer = when === "first words" ? undefined : setTimeout(interrupt, when)
  return new Promise(resolve => {
    child.once("close", code => {
      clearTimeout(timer)
      resolve({ code, stderr })
    })
  })
}

// ---- webhooks -----------------------------------------------------------------------------------------------------

const TOLD_MAX_MS = 30_000

/** What the hub tells at $HOOK. */
class Hook {
  readonly #server: Server
  readonly #posts: { readonly signature: string; readonly body: string }[] = []

  private constructor(server: Server) {
    this.#server = server
    server.on("request", async (request, response) => {
      let body = ""
      for await (const chunk of request) body += chunk
      this.#posts.push({ signature: String(request.headers["cah-signature"]), body })
      response.end()
      server.emit("told")
    })
  }

  static async listen(): Promise<Hook> {
    const server = createServer()
    await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve))
    return new Hook(server)
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Until the end of the campaign was told, signed with the secret. */
  async told(name: string, secret: string): Promise<void> {
    const signal = AbortSignal.timeout(TOLD_MAX_MS)
    for (;;) {
      const post = this.#posts.find(({ body }) => {
        const { campaign, occasion } = JSON.parse(body)
        return campaign.name === name && /end/i.test(occasion)
      })
      if (post !== undefined) {
        const [, seconds = "", hex = ""] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(post.signature) ?? []
        assert.equal(hex, createHmac("sha256", secret).update(`${seconds}.${post.body}`).digest("hex"))
        return
      }
      await once(this.#server, "told", { signal })
    }
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}

// ---- the piece ----------------------------------------------------------------------------------------------------

async function main(): Promise<void> {
  const startedMs = performance.now()
  const rows = [...first, ...together, ...last]
  assert.deepEqual(await forgotten(rows), [], "flags that no row types")
  const hook = await Hook.listen()
  const backups = await mkdtemp(join(tmpdir(), "cah-backups-"))
  const desk = await Desk.start(["--webhooks", "any", "--backups", backups])
  try {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(join(desk.directory, path, ".."), { recursive: true })
      await writeFile(join(desk.directory, path), text)
    }
    const environment = { HUB: desk.hub.url, HOOK: hook.url }
    const run = (row: Row) => check(desk, environment, row)
    const wrong = await inLanes(first, 1, run)
    if (wrong.length === 0) {
      wrong.push(...(await inLanes(together, LANES, run)))
      for (const part of [gathering, interrupting]) await part(desk).catch(error => wrong.push(wordsOf(error)))
      wrong.push(...(await inLanes(last, 1, run)))
      await hook.told("hooked", "0123456789abcdef").catch(error => wrong.push(wordsOf(error)))
    }
    if (wrong.length > 0)
      throw new Error(`${wrong.length} of ${rows.length} lines are not as they should be:\n\n${wrong.join("\n")}`)
    const seconds = Math.round((performance.now() - startedMs) / 1000)
    console.log(
      `${rows.length} lines, gathering, and Ctrl-C at ${moments.length + 1} moments: as they should be, after ${seconds} s`,
    )
  } finally {
    hook.close()
    await desk.end()
    await rm(backups, { recursive: true })
  }
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
})
