// The command line as a user meets it: the real bin/cah.mjs in a process of its own, called from another directory,
// against a hub on loopback. What is checked: exit codes, what goes to stdout and what to stderr, and what lies on disk.
import assert from "node:assert/strict"
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Readable } from "node:stream"
import { after, before, describe, test } from "node:test"
import { fileURLToPath } from "node:url"
import { create } from "@bufbuild/protobuf"
import { status as Status } from "@grpc/grpc-js"
import tar from "tar-stream"
import { NodeSchema, NodeState, Outcome } from "../proto/gen/cah/v1/job_pb.ts"
import { FakeHub, TOKEN } from "./fakehub.ts"
import { run } from "./main.ts"

const program = fileURLToPath(new URL("bin/cah.mjs", import.meta.url))
const root = mkdtempSync(join(tmpdir(), "cah-main-"))
after(() => rmSync(root, { recursive: true, force: true }))
let number = 0

interface Place {
  readonly home: string
  readonly cwd: string
}

function place(hub?: FakeHub): Place {
  const home = join(root, String(number++))
  const cwd = join(home, "some where")
  mkdirSync(cwd, { recursive: true })
  if (hub !== undefined) {
    const state = join(home, ".local", "state", "cah")
    mkdirSync(state, { recursive: true })
    writeFileSync(join(state, "credentials"), JSON.stringify({ current: hub.url, tokens: { [hub.url]: TOKEN } }), {
      mode: 0o600,
    })
  }
  return { home, cwd }
}

interface Done {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

interface Running {
  readonly child: ChildProcess
  readonly done: Promise<Done>
  /** Resolves when stderr has shown the text. */
  said(text: string): Promise<void>
}

function start(
  { home, cwd }: Place,
  args: readonly string[],
  environment: Record<string, string> = {},
  input = "",
): Running {
  const child = spawn(process.execPath, [program, ...args], {
    cwd,
    env: { PATH: process.env.PATH ?? "", HOME: home, ...environment },
    stdio: ["pipe", "pipe", "pipe"],
  })
  let [stdout, stderr] = ["", ""]
  const listeners = new Set<() => void>()
  child.stdout.on("data", chunk => {
    stdout += chunk
  })
  child.stderr.on("data", chunk => {
    stderr += chunk
    for (const listener of listeners) listener()
  })
  child.stdin.on("error", () => {})
  child.stdin.end(input)
  const done = new Promise<Done>(resolve => child.on("close", code => resolve({ code, stdout, stderr })))
  const said = (text: string) =>
    new Promise<void>(resolve => {
      const look = () => {
        if (stderr.includes(text)) resolve()
      }
      listeners.add(look)
      look()
    })
  return { child, done, said }
}

function cah(
  where: Place,
  args: readonly string[],
  environment: Record<string, string> = {},
  input = "",
): Promise<Done> {
  return start(where, args, environment, input).done
}

/** The same without a process of its own: for what needs neither the directory nor the process. Thirty times quicker. */
async function inside(
  { home, cwd }: Place,
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<Done> {
  const sink = () => {
    const chunks: string[] = []
    const write = (chunk: string | Uint8Array) => chunks.push(Buffer.from(chunk).toString()) > 0
    return { chunks, stream: { write, once: () => {}, destroyed: false } }
  }
  const [out, err] = [sink(), sink()]
  const code = await run({
    argv: args,
    environment: { HOME: home, ...environment },
    cwd,
    stdin: Readable.from([]),
    stdout: out.stream,
    stderr: err.stream,
    signal: new AbortController().signal,
  })
  return { code, stdout: out.chunks.join(""), stderr: err.chunks.join("") }
}

async function archive(entries: readonly [Partial<tar.Header> & { name: string }, string?][]): Promise<Buffer> {
  const packer = tar.pack()
  for (const [header, content] of entries) packer.entry(header as tar.Header, content ?? "")
  packer.finalize()
  const chunks: Buffer[] = []
  for await (const chunk of packer) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

const endings = [
  { stdout: "hello\n", stderr: "grumble\n" },
  { outcome: Outcome.FAILED, exitCode: 3, message: "boom" },
  { outcome: Outcome.FAILED, exitCode: 3, message: "boom" },
] as const

describe("one run, one line of this table", { concurrency: 2 }, () => {
  let hub: FakeHub
  let where: Place
  before(async () => {
    hub = await FakeHub.start()
    where = place(hub)
    hub.add({ name: "mixed" }, 3, index => endings[index])
    hub.add({ name: "under way" }, 2, () => undefined)
    hub.add({ name: "single" }, 1, () => ({ stdout: "one" }))
    hub.nodes.push(
      create(NodeSchema, { id: "n1", name: "attic\u001b[2J", state: NodeState.ONLINE, slots: 4, slotsBusy: 1 }),
    )
    writeFileSync(join(where.cwd, "params"), "# p\n1 2\n\n3\n")
    writeFileSync(join(where.cwd, "latin"), Buffer.from([0x61, 10, 0xe9, 10]))
    mkdirSync(join(where.cwd, "empty"))
    mkdirSync(join(where.cwd, "linked"))
    symlinkSync("/etc/passwd", join(where.cwd, "linked", "out"))
  })
  after(() => hub.stop())

  const table: readonly [args: string, code: number, stdout: RegExp, stderr: RegExp][] = [
    ["--help", 0, /Usage: cah[\s\S]*130 Ctrl-C/, /^$/],
    ["--version", 0, /^\d+\.\d+\.\d+\n$/, /^$/],
    ["version", 0, /^cah \d/, /^$/],
    ["version -o quiet", 0, /^\d+\.\d+\.\d+\n$/, /^$/],
    ["", 2, /^$/, /Which verb\?/],
    ["frobnicate", 2, /^$/, /Unknown command 'frobnicate'/],
    ["lss", 2, /^$/, /Did you mean ls/],
    ["ls --frob", 2, /^$/, /Unknown option '--frob'/],
    ["ls -o xml", 2, /^$/, /xml/],
    ["wait", 2, /^$/, /selector/],
    ["wait x", 2, /^$/, /"x" does not select anything/],
    ["wait 1 --timeout 5", 2, /^$/, /"5" is not a duration/],
    ["show 99", 3, /^$/, /no campaign 99/],
    ["show 1.99", 3, /^$/, /no job 1\.99/],
    ["show 1-2", 2, /^$/, /more than one/],
    ["wait 1.7", 2, /^$/, /has no job 1\.7[\s\S]*1\.0 to 1\.2/],
    ["ls", 0, /^ID[\s\S]*under way[\s\S]*0\/2/, /^$/],
    ["ls all", 0, /mixed[\s\S]*failed[\s\S]*3\/3/, /^$/],
    ["ls --all --state failed -o quiet", 0, /^1\n$/, /^$/],
    ["ls 1 --jobs --state failed -o quiet", 0, /^1\.1\n1\.2\n$/, /^$/],
    ["ls --state bad", 2, /^$/, /"bad" is not a state of a campaign/],
    ["ls --jobs", 2, /^$/, /of which campaign/],
    ["show 1", 0, /2 {2}failed, exit 3: boom {2}1\.1[\s\S]*cah logs 1\.1/, /^$/],
    ["show 1.1", 0, /State +failed[\s\S]*WHEN[\s\S]*submitted/, /^$/],
    ["nodes", 0, /attic\ufffd\[2J +online +1\/4/, /1 node online with 4 slots/],
    ["whoami", 0, /ada/, /^$/],
    ["wait 3", 0, /Campaign 3 has ended.*all finished/, /^$/],
    [
      "wait 1",
      1,
      /1 finished, 2 did not/,
      /2 of 3 jobs did not finish well[\s\S]*2 × failed, exit 3: boom, like 1\.1[\s\S]*cah logs 1\.1 --stderr/,
    ],
    ["wait 1 --any-exit-ok", 0, /2 did not/, /boom/],
    ["wait 1.0", 0, /1 job, all finished/, /^$/],
    ["wait 1.1-2,3", 1, /2 jobs/, /2 of 3 jobs/],
    ["wait 2 --timeout 1s", 124, /^$/, /has not ended after 1s\. 0 of 2 jobs have\.[\s\S]*cah del 2/],
    ["logs 3", 0, /^one$/, /^$/],
    ["logs 1.0 --stderr", 0, /^grumble\n$/, /^$/],
    ["logs 1.1", 0, /^$/, /wrote nothing/],
    ["logs 1", 2, /^$/, /has 3 jobs: whose log\?/],
    ["logs 2.0", 6, /^$/, /has not ended: it is queued[\s\S]*cah logs -f 2\.0/],
    ["del all", 2, /^$/, /--yes/],
    ["del 3", 0, /0 jobs cancelled/, /^$/],
    ["sub", 2, /^$/, /no command to run/],
    ["sub -- ", 2, /^$/, /no command to run/],
    ["sub --array 0 true", 2, /^$/, /--array: 0 is out of range/],
    ["sub --array 10000001 true", 2, /^$/, /--array/],
    ["sub --array x true", 2, /^$/, /not a whole number/],
    ["sub --walltime soon true", 2, /^$/, /--walltime: "soon"/],
    ["sub --walltime 31d true", 2, /^$/, /30 days/],
    ["sub --memory lots true", 2, /^$/, /--memory/],
    ["sub --env =x true", 2, /^$/, /KEY=VALUE/],
    ["sub --env 1A=x true", 2, /^$/, /"1A" is not a variable's name/],
    ["sub --stageout /etc true", 2, /^$/, /--stageout/],
    ["sub --array 2 --array-param-file params true", 2, /^$/, /exclude each other/],
    ["sub --array-param-file nowhere true", 2, /^$/, /nowhere cannot be read/],
    ["sub --array-param-file latin true", 2, /^$/, /latin, line 2: is not UTF-8/],
    ["sub --array 2 --propagate true", 2, /^$/, /--propagate/],
    ["sub -s nowhere true", 7, /^$/, /nowhere: there is no such file/],
    ["sub -s empty true", 7, /^$/, /empty directory/],
    ["sub -s linked true", 7, /^$/, /symbolic link out of the tree/],
    ["completion bash", 0, /complete .*-F _cah cah/, /^$/],
    ["completion powershell", 2, /^$/, /bash, zsh, fish/],
    ["get 2 -d later", 0, /2 not ended yet/, /^$/],
    ["get 99", 3, /^$/, /no campaign 99/],
  ]
  for (const [args, code, stdout, stderr] of table) {
    test(`cah ${args}`, async () => {
      // Words that mean files in the directory, or the process itself.
      const real = /params|nowhere|latin|empty|linked|later|^version$|^frob|^$|^wait 1$|^ls$/.test(args)
      const words = args.split(" ").filter(word => word !== "")
      const done = real ? await cah(where, words) : await inside(where, words)
      assert.match(done.stderr, stderr)
      assert.match(done.stdout, stdout)
      assert.equal(done.code, code)
    })
  }

  for (const args of ["frobnicate", "show 99", "sub --array 0 true", "wait 1"]) {
    test(`cah ${args} -o json says its error as JSON`, async () => {
      const [verb = "", ...rest] = args.split(" ")
      const done = await cah(where, [verb, "-o", "json", ...rest])
      const { error } = JSON.parse(done.stderr)
      assert.ok(error.code !== "" && error.message !== "")
      if (verb !== "wait") assert.equal(done.stdout, "")
    })
  }

  for (const args of [
    "ls --all",
    "ls 1 --jobs",
    "show 1",
    "show 1.0",
    "nodes",
    "whoami",
    "wait 3",
    "version",
    "del 3",
    "doctor",
    "logout --hub http://h:1",
  ]) {
    test(`cah ${args} -o json is one JSON value, -o ndjson one a line`, async () => {
      assert.ok(JSON.parse((await inside(where, [...args.split(" "), "-o", "json"])).stdout))
      const lines = (await inside(where, args.split(" "), { CAH_OUTPUT: "ndjson" })).stdout.trim().split("\n")
      for (const line of lines) assert.ok(JSON.parse(line))
    })
  }

  test("every verb's help fits one screen and shows an example", async () => {
    const verbs = [
      "sub",
      "ls",
      "show",
      "wait",
      "get",
      "logs",
      "del",
      "nodes",
      "login",
      "logout",
      "whoami",
      "doctor",
      "completion",
      "version",
    ]
    for (const verb of verbs) {
      const { code, stdout, stderr } = await inside(where, [verb, "--help"])
      assert.deepEqual([code, stderr], [0, ""], verb)
      assert.match(stdout, /Examples:\n {2}\S/, verb)
      const lines = stdout.trimEnd().split("\n")
      assert.ok(lines.length <= 40 && lines.every(line => line.length <= 110), verb)
    }
  })
})

describe("a submission", { concurrency: 2 }, () => {
  test("carries everything that was asked for, and stagein and results make the round trip", async () => {
    const stageout = await archive([
      [{ name: "out/frame.png" }, "picture"],
      [{ name: "run.sh", mode: 0o755 }, "#!"],
    ])
    const hub = await FakeHub.start({ endOf: () => ({ stageout, stdout: "said\n" }) })
    const where = place(hub)
    mkdirSync(join(where.cwd, "scene"))
    writeFileSync(join(where.cwd, "scene", "a.pov"), "sphere")
    const flags = [
      "-s",
      "scene",
      "--array",
      "1_2",
      "--stageout",
      "*.png",
      "--stageout",
      "out/**",
      "--walltime",
      "1h 15m",
      "--env",
      "A=b=c",
      "-n",
      "wing",
      "--project",
      "p",
      "--slots",
      "2",
      "--memory",
      "1G",
      "--idempotency-key",
      "k1",
      "--get",
      "frames",
    ]
    const done = await cah(where, ["sub", ...flags, "--", "./render", "-n", "--array"])
    assert.deepEqual([done.code, done.stdout], [0, `Campaign 1 submitted: 12 jobs.\n${done.stdout.split("\n")[1]}\n`])
    assert.match(done.stderr, /Stagein sent[\s\S]*12 results fetched into frames/)
    const spec = hub.campaigns.get(1n)?.campaign.spec
    assert.deepEqual(
      [
        spec?.command,
        spec?.stageout,
        spec?.env,
        spec?.walltime?.seconds,
        spec?.needs?.memoryBytes,
        spec?.needs?.slots,
        spec?.project,
        spec?.name,
        spec?.array,
      ],
      [["./render", "-n", "--array"], ["*.png", "out/**"], { A: "b=c" }, 4500n, 1n << 30n, 2, "p", "wing", 12],
    )
    assert.ok(hub.blobs.get(spec?.stagein?.digest ?? "")?.includes("sphere"))
    assert.equal(readFileSync(join(where.cwd, "frames", "11", "out", "frame.png"), "utf8"), "picture")
    const fetched = statSync(join(where.cwd, "frames", "0", "run.sh"))
    assert.equal(fetched.mode & 0o777, 0o755)
    assert.ok(fetched.mtimeMs >= statSync(join(where.cwd, "scene", "a.pov")).mtimeMs, "results are newer than inputs")

    const again = await cah(where, ["sub", "-s", "scene", "--idempotency-key", "k1", "-o", "quiet", "true"])
    assert.deepEqual([again.stdout, hub.campaigns.size], ["1\n", 1])
    hub.stop()
  })

  test("takes its parameters from a file or from stdin", async () => {
    const hub = await FakeHub.start()
    const where = place(hub)
    const done = await cah(where, ["sub", "--array-param-file", "-", "-o", "json", "./p"], {}, "# c\n1 2\n\n3\n")
    assert.deepEqual(JSON.parse(done.stdout), { campaign: "1", jobs: 2, existed: false })
    assert.deepEqual(
      hub.campaigns.get(1n)?.jobs.map(job => job.parameters?.line),
      ["1 2", "3"],
    )
    hub.stop()
  })

  test("that waits exits with 1, or with the job's own code if asked to, and is one JSON value", async () => {
    const hub = await FakeHub.start({ endOf: () => ({ outcome: Outcome.FAILED, exitCode: 42 }) })
    const where = place(hub)
    assert.equal((await cah(where, ["sub", "--wait", "false"])).code, 1)
    assert.equal((await cah(where, ["sub", "--propagate", "false"])).code, 42)
    const done = await cah(where, ["sub", "--wait", "-o", "json", "false"])
    assert.equal(JSON.parse(done.stdout).campaign.id, "3")
    assert.equal(JSON.parse(done.stderr).error.code, "jobs_failed")
    hub.stop()
  })

  test("refused by a rule of the hub's exits with 6 and the hub's reason", async () => {
    const hub = await FakeHub.start()
    hub.failNext("submit", Status.RESOURCE_EXHAUSTED, "you have 100000 jobs queued")
    const done = await cah(place(hub), ["sub", "true"])
    assert.deepEqual([done.code, done.stdout], [6, ""])
    assert.match(done.stderr, /you have 100000 jobs queued/)
    hub.stop()
  })
})

describe("waiting", { concurrency: 2 }, () => {
  test("outlives a hub that is killed and comes back, and says so once", async () => {
    const hub = await FakeHub.start()
    const id = hub.add({}, 2)
    const running = start(place(hub), ["wait", "last"])
    await hub.called("watchCampaign")
    hub.stop()
    await running.said("Trying again")
    hub.end(id, 0, {})
    await hub.resume()
    await running.said("is back")
    hub.end(id, 1, {})
    const done = await running.done
    assert.deepEqual([done.code, done.stderr.match(/Trying again/g)?.length], [0, 1])
    assert.match(done.stdout, /2 jobs, all finished/)
    hub.stop()
  })

  test("for some jobs notices those that ended while the watch was cut", async () => {
    const hub = await FakeHub.start()
    const id = hub.add({}, 5)
    const running = start(place(hub), ["wait", `${id}.0-1,${id}.3`])
    await hub.called("watchCampaign")
    hub.stop()
    for (const index of [0, 3]) hub.end(id, index, {})
    await running.said("Trying again")
    await hub.resume()
    await running.said("is back")
    hub.end(id, 1, { outcome: Outcome.LOST })
    const done = await running.done
    assert.deepEqual([done.code, done.stdout], [1, `Of campaign ${id}: 3 jobs, 2 finished, 1 did not.\n`])
    hub.stop()
  })

  test("ends at Ctrl-C with 130, telling that the work goes on", async () => {
    const hub = await FakeHub.start()
    hub.add({}, 2)
    const running = start(place(hub), ["wait", "1"])
    await hub.called("watchCampaign")
    running.child.kill("SIGINT")
    const done = await running.done
    assert.deepEqual(
      [done.code, done.stdout, done.stderr],
      [130, "", "cah: Interrupted.\n     The work goes on; cancel it with: cah del 1\n"],
    )
    hub.stop()
  })

  test("streams the campaign's states with -o ndjson", async () => {
    const hub = await FakeHub.start({ endOf: () => ({}) })
    hub.add({}, 2)
    const { stdout } = await cah(place(hub), ["wait", "1", "-o", "ndjson"])
    assert.equal(JSON.parse(stdout.trim().split("\n").at(-1) ?? "").campaign.counts.finished, 2)
    hub.stop()
  })
})

describe("fetching", { concurrency: 2 }, () => {
  test("skips what is complete, fetches what is missing, and never overwrites unasked", async () => {
    const stageout = await archive([[{ name: "a.txt" }, "theirs"]])
    const hub = await FakeHub.start({ endOf: () => ({ stageout, stdout: "said" }) })
    hub.add({}, 3)
    const where = place(hub)
    const get = async (...args: string[]) => cah(where, ["get", "1", "-d", "r", "-o", "json", ...args])
    assert.deepEqual(JSON.parse((await get()).stdout), {
      campaign: "1",
      directory: "r",
      fetched: 3,
      present: 0,
      empty: 0,
      notEnded: 0,
      failed: 0,
      bytes: 3 * stageout.length,
    })
    rmSync(join(where.cwd, "r", "1"), { recursive: true })
    assert.deepEqual(
      ((r: { fetched: number; present: number }) => [r.fetched, r.present])(JSON.parse((await get()).stdout)),
      [1, 2],
    )
    assert.equal(JSON.parse((await get("--logs")).stdout).fetched, 3)
    assert.equal(readFileSync(join(where.cwd, "r", "2", "stdout"), "utf8"), "said")
    assert.deepEqual(readdirSync(join(where.cwd, "r", ".cah")), ["fetched"])

    mkdirSync(join(where.cwd, "mine", "1"), { recursive: true })
    writeFileSync(join(where.cwd, "mine", "1", "a.txt"), "mine")
    const refused = await cah(where, ["get", "1", "-d", "mine"])
    assert.equal(refused.code, 1)
    assert.match(refused.stderr, /1\.1: .*a\.txt is there already, with another content[\s\S]*--overwrite/)
    assert.equal(readFileSync(join(where.cwd, "mine", "1", "a.txt"), "utf8"), "mine")
    assert.equal(readFileSync(join(where.cwd, "mine", "2", "a.txt"), "utf8"), "theirs")
    assert.equal((await cah(where, ["get", "1", "-d", "mine", "--overwrite"])).code, 0)
    assert.equal(readFileSync(join(where.cwd, "mine", "1", "a.txt"), "utf8"), "theirs")
    hub.stop()
  })

  test("puts a single job's files into the directory itself, and all jobs' with --flat unless they clash", async () => {
    const hub = await FakeHub.start()
    const [one, two] = [await archive([[{ name: "x/one" }, "1"]]), await archive([[{ name: "x/two" }, "2"]])]
    hub.add({}, 1, () => ({ stageout: one }))
    hub.add({}, 2, index => ({ stageout: index === 0 ? one : two }))
    const clash = await archive([[{ name: "x/one" }, "other"]])
    hub.add({}, 2, index => ({ stageout: index === 0 ? one : clash }))
    const where = place(hub)
    assert.equal((await cah(where, ["get", "1"])).code, 0)
    assert.equal(readFileSync(join(where.cwd, "cah-1", "x", "one"), "utf8"), "1")
    assert.equal((await cah(where, ["get", "2", "-d", "flat", "--flat"])).code, 0)
    assert.deepEqual(readdirSync(join(where.cwd, "flat", "x")).sort(), ["one", "two"])
    const clashed = await cah(where, ["get", "3", "-d", "clash", "--flat"])
    assert.equal(clashed.code, 1)
    assert.match(clashed.stderr, /without --flat/)
    hub.stop()
  })

  test("refuses a hostile archive with 7, keeps it packed, and fetches the others", async () => {
    const good = await archive([[{ name: "fine" }, "ok"]])
    const hostile = [
      await archive([[{ name: "../escaped" }, "x"]]),
      await archive([[{ name: "/tmp/escaped" }, "x"]]),
      await archive([[{ name: "l", type: "symlink", linkname: "/etc" }], [{ name: "l/x" }, "x"]]),
      Buffer.from("this is no archive".repeat(100)),
    ]
    const hub = await FakeHub.start({ endOf: index => ({ stageout: hostile[index] ?? good }) })
    hub.add({}, hostile.length + 1)
    const where = place(hub)
    const done = await cah(where, ["get", "1"])
    assert.equal(done.code, 7)
    assert.match(done.stderr, /4 results of campaign 1 could not be fetched[\s\S]*not safe to unpack/)
    assert.equal(readFileSync(join(where.cwd, "cah-1", "4", "fine"), "utf8"), "ok")
    assert.deepEqual(readdirSync(join(where.cwd, "cah-1")).sort(), [".cah", "4"])
    assert.ok(!existsSync(join(where.cwd, "escaped")))
    assert.equal(readdirSync(join(where.cwd, "cah-1", ".cah")).filter(name => name.endsWith(".partial")).length, 4)
    hub.stop()
  })

  test("exits with 7 when bytes do not match their digest, and resumes after a cut", async () => {
    const stageout = await archive([[{ name: "big" }, randomBytes(400_000).toString("hex")]])
    const hub = await FakeHub.start({ endOf: () => ({ stageout }) })
    hub.add({}, 1)
    const where = place(hub)
    hub.damage = { bytes: randomBytes(stageout.length), times: 2 }
    const done = await cah(where, ["get", "1"])
    assert.deepEqual([done.code, done.stderr.includes("are not the result")], [7, true])
    hub.cutDownloadsAt = [200_000]
    assert.equal((await cah(where, ["get", "1"])).code, 0)
    assert.equal(statSync(join(where.cwd, "cah-1", "big")).size, 800_000)
    hub.stop()
  })
})

describe("logs", { concurrency: 2 }, () => {
  test("are bytes as they are, large ones too, and a reader may leave early", async () => {
    const text = `${"0123456789abcdef".repeat(64)}\n`.repeat(2_000)
    const hub = await FakeHub.start({ endOf: () => ({ stdout: text }) })
    hub.add({}, 1)
    const where = place(hub)
    assert.equal((await cah(where, ["logs", "1"])).stdout, text)
    const running = start(where, ["logs", "1"])
    running.child.stdout?.once("data", () => running.child.stdout?.destroy())
    const done = await running.done
    assert.deepEqual([done.code, done.stderr], [0, ""])
    hub.stop()
  })

  test("are followed while the job runs", async () => {
    const hub = await FakeHub.start()
    hub.running(hub.add({}, 1), 0)
    hub.following = ["one\n", "two\n"]
    const done = await cah(place(hub), ["logs", "-f", "last"])
    assert.deepEqual([done.code, done.stdout], [0, "one\ntwo\n"])
    hub.stop()
  })
})

describe("the way to the hub", { concurrency: 2 }, () => {
  test("login takes a token from a file or stdin, tries it, keeps it 0600, and never shows it; logout forgets it", async () => {
    const hub = await FakeHub.start()
    const where = place()
    const credentials = join(where.home, ".local", "state", "cah", "credentials")
    const file = join(where.home, "token")
    writeFileSync(file, `${TOKEN}\n`, { mode: 0o600 })
    const runs = [
      await cah(where, ["whoami", "--hub", hub.url]),
      await cah(where, ["login", "--hub", hub.url], {}, "wrong-token\n"),
      await cah(where, ["login", "--hub", hub.url, "--token-file", file]),
      await cah(where, ["whoami"]),
      await cah(where, ["login", "--hub", hub.url], {}, `${TOKEN}\n`),
      await cah(where, ["doctor"], { CAH_DEBUG: "1" }),
      await cah(where, ["logout"]),
      await cah(where, ["whoami", "--hub", hub.url]),
    ]
    assert.deepEqual(
      runs.map(run => run.code),
      [4, 4, 0, 0, 0, 5, 0, 4],
    )
    assert.ok(runs.every(run => !`${run.stdout}${run.stderr}`.includes(TOKEN)))
    assert.match(runs[0]?.stderr ?? "", /cah login --hub/)
    assert.equal(statSync(credentials).mode & 0o777, 0o600)
    assert.ok(!readFileSync(credentials, "utf8").includes(TOKEN))
    hub.stop()
  })

  test("a token that others can read is refused with the chmod to type", async () => {
    const hub = await FakeHub.start()
    const where = place(hub)
    const credentials = join(where.home, ".local", "state", "cah", "credentials")
    chmodSync(credentials, 0o644)
    const done = await inside(where, ["ls"])
    assert.deepEqual([done.code, hub.calls.length], [4, 0])
    assert.ok(done.stderr.includes(`chmod 600 ${credentials}`))
    hub.stop()
  })

  test("a hub chosen by the directory gets no token from the environment", async () => {
    const hub = await FakeHub.start()
    const where = place()
    writeFileSync(join(where.cwd, ".cah.toml"), `hub = "${hub.url}"\n`)
    const done = await inside(where, ["ls"], { CAH_TOKEN: TOKEN })
    assert.deepEqual([done.code, hub.calls.length], [4, 0])
    assert.match(done.stderr, /not sent there[\s\S]*--hub/)
    assert.equal((await inside(where, ["ls", "--hub", hub.url], { CAH_TOKEN: TOKEN })).code, 0)
    hub.stop()
  })

  test("a hub that is not there exits with 5, one that refuses the token with 4", async () => {
    const hub = await FakeHub.start()
    const done = await inside(place(), ["ls", "--hub", hub.url], { CAH_TOKEN: "revoked" })
    assert.equal(done.code, 4)
    assert.match(done.stderr, /not known here[\s\S]*cah login/)
    hub.stop()
    const gone = await inside(place(), ["ls", "--hub", hub.url], { CAH_TOKEN: TOKEN })
    assert.equal(gone.code, 5)
    assert.match(gone.stderr, /does not answer: connection refused[\s\S]*cah doctor/)
  })

  test("something that is no hub exits with 5", async () => {
    const server = createServer(socket => socket.end("SSH-2.0-OpenSSH\r\n"))
    await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve))
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    assert.equal((await cah(place(), ["whoami", "--hub", `http://127.0.0.1:${port}`], { CAH_TOKEN: TOKEN })).code, 5)
    server.close()
  })

  test("TLS is used for https, trusts only what it is told to, and says what to do", async () => {
    const where = place()
    const [key, cert] = [join(where.home, "key.pem"), join(where.home, "cert.pem")]
    execFileSync(
      "openssl",
      [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=hub",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        key,
        "-out",
        cert,
      ],
      { stdio: "ignore" },
    )
    const hub = await FakeHub.start({ tls: { key: readFileSync(key), cert: readFileSync(cert) } })
    const trusted = await cah(where, ["whoami", "--hub", hub.url, "--ca-file", cert], { CAH_TOKEN: TOKEN })
    assert.equal(trusted.code, 0, trusted.stderr)
    const stranger = await cah(where, ["whoami", "--hub", hub.url], { CAH_TOKEN: TOKEN })
    assert.equal(stranger.code, 5)
    assert.match(stranger.stderr, /could not prove who it is[\s\S]*--ca-file/)
    assert.equal((await cah(where, ["whoami", "--hub", hub.url, "--ca-file", key], { CAH_TOKEN: TOKEN })).code, 2)
    hub.stop()
  })
})
