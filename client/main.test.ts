// The command line, verb by verb: exit codes, what goes to stdout and what to stderr, good input and bad.
import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { after, before, describe, test } from "node:test"
import { create } from "@bufbuild/protobuf"
import { status as Status } from "@grpc/grpc-js"
import { EarlierAttemptSchema, NodeSchema, NodeState, Outcome } from "../proto/gen/cah/v1/job_pb.ts"
import { FakeHub, TOKEN } from "./fakehub.ts"
import { archive, cah, inside, type Place, place, program } from "./spawning.ts"
import { foreignVerbs, verbs } from "./verbs.ts"

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
    const single = hub.campaigns.get(3n)?.jobs[0]
    single?.earlier.push(
      create(EarlierAttemptSchema, {
        attempt: 1,
        node: "n1",
        result: { outcome: Outcome.FAILED, exitCode: 9, stdout: { inline: Buffer.from("first\n") } },
      }),
    )
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
    ["help", 0, /Usage: cah[\s\S]*130 Ctrl-C/, /^$/],
    ["--version", 0, /^\d+\.\d+\.\d+\n$/, /^$/],
    ["version", 0, /^cah \d/, /^$/],
    ["version -o quiet", 0, /^\d+\.\d+\.\d+\n$/, /^$/],
    ["", 2, /^$/, /Which verb\?/],
    ["frobnicate", 2, /^$/, /Unknown command 'frobnicate'/],
    ["lss", 2, /^$/, /Did you mean ls/],
    ["ls --frob", 2, /^$/, /Unknown option '--frob'/],
    ["ls -o xml", 2, /^$/, /-o: "xml" is none of table, json/],
    ["sub -o out.txt true", 2, /^$/, /"out\.txt" is none of[\s\S]*read with cah logs/],
    ["sub --mem=4G true", 2, /^$/, /--mem: that is sbatch's word\.\n {5}Write -l mem=4G/],
    ["sub --test-only true", 2, /^$/, /--test-only: that is sbatch's word\.\n {5}Write --dry-run/],
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
    ["wait 2,3 --any", 0, /^Campaign 3 has ended.*all finished\.\n$/, /^$/],
    ["wait 2,1 --any", 1, /^Campaign 1 has ended.*2 did not\.\n$/, /2 of 3 jobs/],
    ["wait 2 --any --timeout 1s", 124, /^$/, /has not ended after 1s/],
    ["wait 1.1-2,3", 1, /2 jobs/, /Campaign 1: 2 of 2 jobs/],
    ["wait 2 --timeout 1s", 124, /^$/, /has not ended after 1s\. 0 of 2 jobs have\.[\s\S]*cah del 2/],
    ["logs 3", 0, /^one$/, /^$/],
    ["logs 1.0 --stderr", 0, /^grumble\n$/, /^$/],
    ["logs 1.1", 0, /^$/, /wrote nothing/],
    ["logs 1", 0, /^hello\n$/, /^$/],
    ["logs 1,3 --header", 0, /^==> 1\.0 <==\nhello\n==> 1\.1 <==\n==> 1\.2 <==\n==> 3\.0 <==\none\n$/, /^$/],
    ["logs 1.0-1 3 --stderr", 0, /^grumble\n$/, /^$/],
    ["logs 2", 0, /^$/, /2 jobs more have not ended yet/],
    ["logs 1 -f", 2, /^$/, /--follow: of which job\?/],
    ["logs 1 --tail 0", 2, /^$/, /--tail: 0 is out of range/],
    ["logs 1.0 -f --tail 1", 2, /^$/, /exclude each other/],
    ["logs 3.0#1", 0, /^first\n$/, /^$/],
    ["logs 3#2", 3, /^$/, /Nothing is kept of 3\.0#2[\s\S]*tried again: 3\.0#1/],
    ["logs 3.0#x", 2, /^$/, /attempts are numbered from 1/],
    ["show 3.0", 0, /Tried again +#1 on n1 \(exit 9\)/, /^$/],
    ["logs 2.0", 6, /^$/, /has not ended: it is queued[\s\S]*cah logs -f 2\.0/],
    ["del all", 2, /^$/, /--yes/],
    ["del 3", 0, /0 jobs cancelled/, /^$/],
    ["sub", 2, /^$/, /no command to run/],
    ["sub -- ", 2, /^$/, /no command to run/],
    ["sub --array 0 true", 2, /^$/, /--array: 0 has no jobs/],
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
    const fetched = statSync(join(where.cwd, "frames", "00", "run.sh"))
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
    assert.deepEqual(JSON.parse(done.stdout), { campaign: "1", jobs: 2, existed: false, warnings: [] })
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

  test("F15: --propagate passes on every code, also of what was killed", async () => {
    const hub = await FakeHub.start({
      endOf: () => ({ outcome: Outcome.FAILED, exitCode: 137, message: "ended by SIGKILL" }),
    })
    assert.equal((await cah(place(hub), ["sub", "--propagate", "kill -9 $$"])).code, 137)
    hub.stop()
  })

  test("M2: the logs of an array come in order, with whose they are and as much of their ends as is wanted", async () => {
    const hub = await FakeHub.start()
    const texts = ["a\nb\nc\n", "\n", "x\ny", "", "one\n\ntwo\n"]
    hub.add({}, texts.length, index => ({ stdout: texts[index] ?? "" }))
    const where = place(hub)
    const said = async (...args: string[]) => (await inside(where, ["logs", "1", ...args])).stdout
    assert.equal(await said(), texts.join(""))
    const heads = (ends: readonly string[]) => ends.map((text, index) => `==> 1.${index} <==\n${text}`).join("")
    assert.equal(await said("--header"), heads(["a\nb\nc\n", "\n", "x\ny\n", "", "one\n\ntwo\n"]))
    assert.equal(await said("--header", "--tail", "1"), heads(["c\n", "\n", "y\n", "", "two\n"]))
    assert.equal(await said("--tail", "2"), "b\nc\n\nx\ny\ntwo\n")
    assert.equal((await inside(where, ["logs", "1.0", "--tail", "9"])).stdout, texts[0])
    hub.stop()
  })

  test("M8, F22: a manifest has a row a job; lists and stories name nodes and parameters as people do", async () => {
    const hub = await FakeHub.start({
      endOf: index => (index === 1 ? { outcome: Outcome.FAILED, exitCode: 3, message: "boom" } : { stdout: "x" }),
    })
    const where = place(hub)
    await inside(where, ["sub", "--sweep", "seed=5..6", "--sweep", "colour=red,dark blue", "true"])
    const job = hub.campaigns.get(1n)?.jobs[1]
    assert.ok(job !== undefined)
    Object.assign(job, { node: "n0123", nodeName: "attic" })
    const listed = (await inside(where, ["ls", "1", "--jobs"])).stdout
    assert.match(
      listed,
      /NODE +PARAMETERS +MESSAGE\n[\s\S]*1\.1 +failed +3 +\d+ +attic +seed=5 colour='dark blue' +boom\n/,
    )
    const shown = (await inside(where, ["show", "1.1"])).stdout
    assert.match(shown, /Parameters +seed=5 colour='dark blue'\n/)
    assert.match(shown, /Attempt +\d+ on attic \(n0123\)\n/)
    const out = join(where.home, "out")
    for (const name of ["jobs.csv", "jobs.json"]) {
      const got = await inside(where, ["get", "1", "-d", out, "--logs", "--manifest", join(out, name)])
      assert.match(got.stderr, /^4 jobs in .*jobs\.(csv|json)\.$/m)
    }
    const rows = JSON.parse(readFileSync(join(out, "jobs.json"), "utf8"))
    assert.deepEqual(
      [rows.length, rows[0].files, rows[1].parameters, rows[1].exit_code, rows[1].node, rows[1].state],
      [4, ["0/stdout"], { seed: "5", colour: "dark blue" }, 3, "attic", "failed"],
    )
    const [head = "", , second = ""] = readFileSync(join(out, "jobs.csv"), "utf8").split("\r\n")
    assert.ok(
      head.startsWith("job,index,state,exit_code,attempt,node,") && head.endsWith("parameters.seed,parameters.colour"),
    )
    assert.ok(second.startsWith("1.1,1,failed,3,") && second.endsWith(",5,dark blue"), second)
    assert.equal((await inside(where, ["get", "1", "--manifest", "jobs.txt"])).code, 2)
    hub.stop()
  })

  test("F15: verbs of other systems are answered with ours", async () => {
    for (const [typed, ours] of [
      ["cancel", "del"],
      ["status", "ls"],
      ["squeue", "ls"],
      ["submit", "sub"],
    ] as const) {
      const done = await inside(place(), [typed, "12"])
      assert.deepEqual([done.code, done.stderr.includes(`That is cah ${ours} here.`)], [2, true], done.stderr)
    }
    for (const [theirs, ours] of Object.entries(foreignVerbs)) {
      assert.ok(Object.hasOwn(verbs, ours) && !Object.hasOwn(verbs, theirs), theirs)
    }
  })

  test("F21: a full disk, a folder that is gone and a home that takes nothing are told in words, and end it", async () => {
    const shell = (line: string, home: string) =>
      spawnSync("/bin/sh", ["-c", line, "sh", process.execPath, program], {
        encoding: "utf8",
        env: { PATH: process.env.PATH, HOME: home, CAH_TOKEN: TOKEN },
        timeout: 60_000,
      })
    const { home, cwd } = place()
    const full = shell('"$1" "$2" help > /dev/full', home)
    assert.deepEqual(
      [full.status, /could not be written\. There is no space left.*\n {5}Make room/.test(full.stderr)],
      [1, true],
    )
    const gone = shell(`cd '${cwd}' && rmdir '${cwd}' && "$1" "$2" version`, home)
    assert.deepEqual([gone.status, gone.stdout], [1, ""])
    assert.equal(gone.stderr, "cah: The folder that you are in is gone.\n     Go to one that is there: cd\n")
    const hub = await FakeHub.start()
    const login = await cah({ home: "/proc", cwd: home }, ["login", "--hub", hub.url], {}, `${TOKEN}\n`)
    assert.equal(login.code, 1)
    assert.match(
      login.stderr,
      /^cah: There is no such file or folder, and none can be made: \/proc\/.*ENOENT\)\.\n {5}Look at/,
    )
    hub.add({}, 1)
    hub.end(1n, 0, {})
    const got = await cah(place(hub), ["get", "1", "-d", "/proc/nowhere/out"])
    assert.match(got.stderr, /\/proc\/nowhere\/out cannot be made or written to/)
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
