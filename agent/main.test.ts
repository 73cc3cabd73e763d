// The agent as people start it: a process with flags, signals and an exit code. No hub is there to answer.
import assert from "node:assert/strict"
import { type ChildProcess, spawn } from "node:child_process"
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { after, test } from "node:test"
import { scratch } from "./fixtures.ts"
import { AGENT_NODE_FLAGS } from "./limits.ts"

const binary = join(import.meta.dirname, "bin", "cah-agent.mjs")
const children: ChildProcess[] = []
after(() => {
  for (const child of children) if (child.exitCode === null) child.kill("SIGKILL")
})

interface Started {
  readonly child: ChildProcess
  readonly ended: Promise<{ readonly code: number | null; readonly stderr: string; readonly stdout: string }>
  said(text: string): Promise<void>
}

function agent(...argv: string[]): Started {
  return started([process.execPath, binary, ...argv])
}

function started([program, ...argv]: string[]): Started {
  const child = spawn(program!, argv, { stdio: ["ignore", "pipe", "pipe"], env: { PATH: process.env.PATH } })
  children.push(child)
  let stderr = ""
  let stdout = ""
  const waiting: { text: string; resolve: () => void }[] = []
  child.stdout!.on("data", chunk => (stdout += String(chunk)))
  child.stderr!.on("data", chunk => {
    stderr += String(chunk)
    for (const { text, resolve } of waiting) if (stderr.includes(text)) resolve()
  })
  const ended = new Promise<{ code: number | null; stderr: string; stdout: string }>(resolve => {
    child.once("close", code => resolve({ code, stderr, stdout }))
  })
  const said = (text: string): Promise<void> =>
    Promise.race([
      new Promise<void>(resolve => waiting.push({ text, resolve })),
      ended.then(end => assert.fail(`it ended without saying "${text}": ${end.stderr}`)),
    ])
  return { child, ended, said }
}
// Port 9 discards, where there is anything at all: no hub.
const hub = ["--hub", "http://127.0.0.1:9"]
/** Root needs the second word. */
const unwalled = ["--sandbox", "none", ...(process.getuid?.() === 0 ? ["--allow-root-jobs"] : [])]

test("wrong use ends with 2 and says what is wrong", async () => {
  const { code, stderr } = await agent("--hub", "http://127.0.0.1", "--slotz", "2").ended
  assert.equal(code, 2)
  assert.match(stderr, /unknown option --slotz: did you mean --slots\?/)
})

test("it says aloud whether jobs run in a sandbox, keeps its state to itself, and ends with 0 when told", async () => {
  const state = join(scratch(), "state")
  const it = agent(...hub, "--state", state, ...unwalled)
  await it.said("the agent is up")
  assert.equal(statSync(state).mode & 0o777, 0o700)
  it.child.kill("SIGTERM")
  const { code, stderr } = await it.ended
  assert.equal(code, 0)
  assert.match(stderr, /JOBS RUN WITHOUT A SANDBOX/)
  assert.ok(!existsSync(join(state, "lock")))
})

test("S1: without bubblewrap there is no agent, and it says what to do", {
  skip: process.getuid?.() !== 0 && "needs root to hide bubblewrap",
}, async () => {
  const state = join(scratch(), "state")
  const hidden = ["unshare", "-m", "sh", "-c", 'mount --bind /dev/null /usr/bin/bwrap && exec "$@"', "sh"]
  const { code, stderr } = await started([...hidden, process.execPath, binary, ...hub, "--state", state]).ended
  assert.equal(code, 1)
  assert.match(stderr, /bubblewrap does not work here \(.*\), and jobs run behind it or not at all; install bubblewrap/)
  assert.doesNotMatch(stderr, /the agent is up/)
})

test("a second agent with the same state is refused; after kill -9 of the first it may start", async () => {
  const state = join(scratch(), "state")
  const first = agent(...hub, "--state", state, ...unwalled)
  await first.said("the agent is up")
  const second = await agent(...hub, "--state", state, ...unwalled).ended
  assert.equal(second.code, 1)
  assert.match(second.stderr, new RegExp(`another agent \\(pid ${first.child.pid}\\) uses this state directory`))
  first.child.kill("SIGKILL")
  await first.ended
  const third = agent(...hub, "--state", state, ...unwalled)
  await third.said("the agent is up")
  third.child.kill("SIGINT")
  assert.equal((await third.ended).code, 0)
})

test("a key that others can read, and a state directory that is none, are refused with the remedy", async () => {
  const state = join(scratch(), "state")
  mkdirSync(state)
  writeFileSync(join(state, "node.key"), "")
  chmodSync(join(state, "node.key"), 0o644)
  const readable = await agent(...hub, "--state", state, ...unwalled).ended
  assert.equal(readable.code, 1)
  assert.match(readable.stderr, /chmod 600/)
  const none = await agent(...hub, "--state", join(state, "node.key"), ...unwalled).ended
  assert.equal(none.code, 1)
  assert.match(none.stderr, /state directory .* cannot be used/)
})

for (const launcher of [
  "appliance/guest/supervisor",
  "release/package/debian/cah-agent",
  "release/package/debian/cah-agent.init",
]) {
  test(`${launcher} gives Node the agent's flags`, () => {
    const words = readFileSync(new URL(`../${launcher}`, import.meta.url), "utf8").split(/\s+/)
    const before = words.slice(
      0,
      words.findIndex(word => word.endsWith("/cah-agent.mjs")),
    )
    for (const flag of AGENT_NODE_FLAGS) assert.ok(before.includes(flag), `${launcher} has no ${flag} before the agent`)
  })
}
