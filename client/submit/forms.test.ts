// The forms of a submission through the whole command line, against the fake hub: script, stdin, job file, graph, tables, dry run,
// resubmission. What was asked of the hub, and that what is refused asked nothing.
import assert from "node:assert/strict"
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { after, before, describe, test } from "node:test"
import { create } from "@bufbuild/protobuf"
import { status as Status } from "@grpc/grpc-js"
import { Reason } from "../../proto/gen/cah/v1/error_pb.ts"
import { NodeSchema, Outcome } from "../../proto/gen/cah/v1/job_pb.ts"
import { FakeHub } from "../fakehub.ts"
import { LOSS_MAX_MAX } from "../limits.ts"
import { showTime } from "../quantities.ts"
import { inside, type Place, place } from "../spawning.ts"

describe("cah sub", () => {
  let hub: FakeHub
  let where: Place
  before(async () => {
    hub = await FakeHub.start()
    where = place(hub)
  })
  after(() => hub.stop())

  const path = (name: string) => join(where.home, name)
  const write = (name: string, text: string) => {
    writeFileSync(path(name), text)
    return path(name)
  }
  const sub = (args: readonly string[], input?: string) =>
    inside(where, ["sub", ...args], {}, input === undefined ? {} : { input })
  const newest = () => hub.campaigns.get(BigInt(hub.campaigns.size))

  test("takes a script from stdin, and its flags from its lines", async () => {
    const done = await sub(["-"], "#!/bin/sh\n#CAH --array 4 -n piped\necho $CAH_ARRAY_INDEX\n")
    assert.match(done.stdout, /4 jobs/)
    assert.equal(newest()?.campaign.spec?.name, "piped")
    assert.equal(newest()?.campaign.spec?.command[0], "/bin/sh")
  })

  test("lets the command line win over the script, flag by flag, and one way of counting over any other", async () => {
    const script = write("job.sh", "#CAH --array 4 -n script --project p\ntrue\n")
    await sub(["-S", "-n", "line", "--sweep", "x=1..3", script])
    const spec = newest()?.campaign.spec
    assert.deepEqual([spec?.name, spec?.project, spec?.parameterNames, newest()?.jobs.length], ["line", "p", ["x"], 3])
    assert.deepEqual(
      newest()?.jobs.map(job => job.parameters?.line),
      ['["1"]', '["2"]', '["3"]'],
    )
  })

  test("takes tables of named parameters from files", async () => {
    for (const [flag, text, names, first] of [
      ["--csv", "seed,colour\n1,red\n2,blue\n", ["seed", "colour"], '["1","red"]'],
      ["--from-json", '[{"a":1},{"a":"x"}]', ["a"], '["1"]'],
      ["--each-line", "one\ntwo\n", ["line"], '["one"]'],
    ] as const) {
      const done = await sub([flag, write("table", text), "true"])
      assert.equal(done.stderr.includes("cah:"), false)
      assert.deepEqual(newest()?.campaign.spec?.parameterNames, names)
      assert.deepEqual([newest()?.jobs.length, newest()?.jobs[0]?.parameters?.line], [2, first])
    }
  })

  test("submits a graph in order, with keys made from one, and the same again makes nothing new", async () => {
    const file = write(
      "film.yaml",
      "jobs:\n  film: {command: ffmpeg, gather: frames}\n  mail: {command: mail, after: film, after-ok: frames}\n  frames: {command: ./render, array: 3}\n",
    )
    const before = hub.campaigns.size
    const done = await sub(["-f", file, "--idempotency-key", "k"])
    const [frames, film, mail] = [1, 2, 3].map(n => hub.campaigns.get(BigInt(before + n)))
    assert.match(done.stdout, /\(frames\) submitted: 3 jobs[\s\S]*\(film\)[\s\S]*\(mail\)/)
    assert.deepEqual([frames?.key, film?.key, mail?.key], ["k/frames", "k/film", "k/mail"])
    assert.equal(film?.campaign.spec?.gather, frames?.campaign.id)
    assert.deepEqual(
      mail?.campaign.spec?.after.map(one => [one.campaign, one.success]),
      [
        [film?.campaign.id, false],
        [frames?.campaign.id, true],
      ],
    )
    await sub(["-f", file, "--idempotency-key", "k"])
    assert.equal(hub.campaigns.size, before + 3)
  })

  test("that is cut in the middle of a graph says what is there and how to go on", async () => {
    const file = write("two.yaml", "jobs:\n  a: {command: x}\n  b: {command: y, after: a}\n")
    const before = hub.campaigns.size
    // The first passes; fake failures are taken in order.
    hub.failNext("submit", Status.RESOURCE_EXHAUSTED, "no more today")
    const refused = await sub(["-f", file, "--idempotency-key", "g"])
    assert.deepEqual([refused.code, hub.campaigns.size], [6, before])
    assert.match(refused.stderr, /a: no more today/)
  })

  test("F18: a script whose lines end in CRLF is converted, and says so", async () => {
    const done = await sub([
      "-S",
      write("windows.sh", "#!/bin/bash\r\n#CAH --array 3\r\nif true; then\r\n  echo hi\r\nfi\r\n"),
    ])
    assert.equal(done.code, 0)
    assert.match(done.stderr, /windows\.sh: its lines end in CRLF, as on Windows; they were converted to LF/)
    const spec = newest()?.campaign.spec
    assert.deepEqual(spec?.command, [
      ...["/bin/bash", "-c", "#!/bin/bash\n#CAH --array 3\nif true; then\n  echo hi\nfi\n", "windows.sh"],
    ])
    assert.equal(spec?.array, 3)
  })

  test("F18: one that goes along as a file is remarked on, however it is run", async () => {
    mkdirSync(path("crlf"))
    write("crlf/run.sh", "#!/bin/sh\r\necho hi\r\n")
    write("crlf/fine.sh", "#!/bin/sh\necho 'a\r\n'\n")
    const remark = /run\.sh: its lines end in CRLF, as on Windows, which no shell on a node reads: sed -i/
    for (const words of [["./run.sh"], ["sh", "run.sh"], ["bash run.sh > out"]]) {
      assert.match((await sub(["-s", path("crlf"), "--", ...words])).stderr, remark)
    }
    assert.doesNotMatch((await sub(["-s", path("crlf"), "--", "sh", "fine.sh"])).stderr, /CRLF/)
  })

  test("M7: --dereference brings what links lead to, and without it the links are named", async () => {
    for (const name of ["elsewhere", "linked"]) mkdirSync(path(name))
    write("elsewhere/genome.fa", "ACGT")
    write("linked/run.sh", "")
    symlinkSync(path("elsewhere"), path("linked/data"))
    const refused = await sub(["-s", path("linked"), "true"])
    assert.equal(refused.code, 7)
    assert.match(refused.stderr, /"data": a symbolic link out of the tree[\s\S]*--dereference/)
    const plan = JSON.parse(
      (await sub(["--dry-run", "-o", "json", "--dereference", "-s", path("linked"), "true"])).stdout,
    )
    assert.equal(plan.stagein.entries, 3)
    assert.equal((await sub(["--dereference", "-s", path("linked"), "true"])).code, 0)
    assert.equal(hub.blobs.get(newest()?.campaign.spec?.stagein?.digest ?? "")?.includes("ACGT"), true)
  })

  test("says with --dry-run what it would do, and sends nothing", async () => {
    mkdirSync(path("scene/tmp"), { recursive: true })
    write("scene/a.pov", "sphere")
    write("scene/tmp/junk", "x".repeat(10_000))
    write("scene/.cahignore", "tmp/\n")
    const [calls, campaigns] = [hub.calls.length, hub.campaigns.size]
    const done = await sub([
      "--dry-run",
      "-o",
      "json",
      "-s",
      path("scene"),
      "-l",
      "core=2,mem=1G",
      "--array",
      "5",
      "./x",
      "y",
    ])
    const plan = JSON.parse(done.stdout)
    assert.deepEqual(
      [plan.jobs, plan.command, plan.stagein.entries, plan.stagein.toSendBytes],
      [5, ["./x", "y"], 1, 2048],
    )
    assert.deepEqual([hub.campaigns.size, hub.calls.slice(calls)], [campaigns, ["getUpload", "plan"]])
    await sub(["-s", path("scene"), "true"])
    const again = await sub(["--dry-run", "-o", "json", "-s", path("scene"), "true"])
    assert.equal(JSON.parse(again.stdout).stagein.toSendBytes, 0)
  })

  test("takes a stagein that is on the hub by its digest, and no other", async () => {
    await sub(["-s", path("scene"), "true"])
    const blob = newest()?.campaign.spec?.stagein
    const uploaded = hub.uploadedBytes
    assert.equal((await sub(["-s", blob?.digest ?? "", "true"])).code, 0)
    assert.deepEqual([newest()?.campaign.spec?.stagein, hub.uploadedBytes], [blob, uploaded])
    assert.equal((await sub(["-s", `${blob?.digest}/${blob?.sizeBytes}`, "true"])).code, 0)
    const other = await sub(["-s", `sha256:${"0".repeat(64)}`, "true"])
    assert.deepEqual([other.code, other.stdout], [7, ""])
    assert.match(other.stderr, /no stagein sha256:0+ of yours/)
    assert.match((await sub(["-s", "sha256:short", "true"])).stderr, /is not a digest/)
  })

  test("submits an ended campaign again, or only its failed jobs under their old numbers", async () => {
    const id = hub.add({ name: "numbered", command: ["./p", "it's"] }, 4, index =>
      index % 2 === 0 ? {} : { outcome: Outcome.FAILED, exitCode: 1 },
    )
    const done = await inside(where, ["resub", String(id), "--failed"])
    assert.match(done.stderr, new RegExp(`They were ${id}\\.1, ${id}\\.3, in this order`))
    const spec = newest()?.campaign.spec
    assert.deepEqual(
      newest()?.jobs.map(job => job.parameters?.line),
      ["1", "3"],
    )
    assert.deepEqual(spec?.command.slice(3), ["exec ./p 'it'\\''s'"])
    assert.match(spec?.command[2] ?? "", /CAH_ARRAY_INDEX=\$1 .*CAH_ARRAY_SIZE=4; exec/)
    const whole = await inside(where, ["resub", String(id)])
    assert.deepEqual([whole.code, newest()?.jobs.length, newest()?.campaign.spec?.command], [0, 4, ["./p", "it's"]])
    const well = hub.add({}, 2, () => ({}))
    assert.match((await inside(where, ["resub", String(well), "--failed"])).stderr, /finished well/)
    const live = hub.add({}, 2, () => undefined)
    assert.match((await inside(where, ["resub", String(live), "--failed"])).stderr, /has not ended/)
  })

  test("keeps the parameters of the failed jobs", async () => {
    const file = write("params", "1 a\n2 b\n3 c\n")
    await sub(["--array-param-file", file, "./p"])
    const old = hub.campaigns.size
    for (const [index, outcome] of [Outcome.FINISHED, Outcome.LOST, Outcome.FINISHED].entries()) {
      hub.end(BigInt(old), index, { outcome })
    }
    await inside(where, ["resub", "last", "--failed"])
    assert.deepEqual(
      newest()?.jobs.map(job => job.parameters?.line),
      ["2 b"],
    )
  })

  test("remarks on a program that lies here and does not go along, or may not be executed", async () => {
    const here = (name: string, mode = 0o644) => writeFileSync(join(where.cwd, name), "echo\n", { mode })
    mkdirSync(join(where.cwd, "study"))
    here("run.sh")
    here("study/run.sh")
    here("study/may.sh", 0o755)
    const stays = /run\.sh lies here and does not go along\. Bring it: -s run\.sh -- \.\/run\.sh/
    for (const [args, remark] of [
      [["./run.sh", "1"], stays],
      [["run.sh"], stays],
      [["./run.sh; true"], stays],
      [["-s", join(where.cwd, "study/may.sh"), "./run.sh"], stays],
      [["-s", join(where.cwd, "study"), "./run.sh"], /study\/run\.sh may not be executed: chmod \+x/],
      [["-s", join(where.cwd, "study"), "./may.sh"], null],
      [["-s", join(where.cwd, "study"), "sh run.sh"], null],
      [["./elsewhere.sh"], null],
      [["true"], null],
      [["--gather", "1", "./run.sh"], null],
    ] as const) {
      const done = await sub(args)
      assert.equal(done.code, 0, done.stderr)
      if (remark === null) assert.doesNotMatch(done.stderr, /^cah:/m)
      else assert.match(done.stderr, remark)
    }
  })

  test("remarks on flags after the command, unless -- says that they are its own", async () => {
    assert.match((await sub(["./fit", "--array", "3"])).stderr, /cah: --array stands after the command/)
    assert.match((await sub(["./fit", "--stageout=x"])).stderr, /cah: --stageout stands after the command/)
    for (const own of [
      ["--", "./fit", "--array", "3"],
      ["./fit", "--rate", "3"],
      ["./fit", "--mem", "3"],
    ]) {
      assert.doesNotMatch((await sub(own)).stderr, /stands after/)
    }
  })

  test("S26: what the hub refuses by its bounds is refused here by the very same ones", async () => {
    const campaigns = hub.campaigns.size
    const done = await sub(["--after", "1-101", "true"])
    assert.deepEqual(
      [done.code, /waits for 100 others at most, and these are 101/.test(done.stderr)],
      [2, true],
      done.stderr,
    )
    assert.equal(hub.campaigns.size, campaigns)
    await sub(["--loss-retries", "inf", "true"])
    assert.equal(newest()?.campaign.spec?.lossMax, LOSS_MAX_MAX)
  })

  test("F15: says that a program which goes along is begun as ./NAME", async () => {
    writeFileSync(join(where.cwd, "mp.py"), "print(1)\n", { mode: 0o644 })
    const bare = await sub(["-s", join(where.cwd, "mp.py"), "--", "mp.py"])
    assert.match(
      bare.stderr,
      /mp\.py goes along, but is looked for among .* Begin it as \.\/mp\.py, and may not be executed/,
    )
    assert.match((await sub(["-s", join(where.cwd, "mp.py"), "mp.py 1; true"])).stderr, /Begin it as \.\/mp\.py/)
    assert.doesNotMatch((await sub(["-s", join(where.cwd, "mp.py"), "python3 mp.py"])).stderr, /Begin it as/)
  })

  test("F20, O15: remarks on flags after a script, which are the script's; letters are no range", async () => {
    const script = write("sim.sh", "true\n")
    const after = await sub(["-S", script, "--wait"])
    assert.deepEqual(
      [after.code, /--wait stands after the script.*: cah sub --wait -S .*sim\.sh/.test(after.stderr)],
      [0, true],
    )
    assert.doesNotMatch((await sub(["-S", script, "--rate", "1"])).stderr, /stands after/)
    const letters = await sub(["--sweep", "a=a..c", "true"])
    assert.deepEqual([letters.code, /"a=a\.\.c", column 3: .* Write each value: a,b,c/.test(letters.stderr)], [2, true])
  })

  test("remarks on lines of another system in a script", async () => {
    const script = write("slurm.sh", "#!/bin/sh\n#SBATCH --array=0-9\ntrue\n")
    assert.match((await sub(["-S", script])).stderr, /slurm\.sh: its #SBATCH lines are not read/)
    assert.match((await sub(["-"], "#!/bin/sh\n#HQ --cpus=2\ntrue\n")).stderr, /stdin: its #HQ lines are not read/)
  })

  test("names properties that no node reports when none can ever run it", async () => {
    const told = create(NodeSchema, { id: "n1", properties: { os: "linux", cpu_flags: "avx2" } })
    hub.nodes.push(told)
    const noNode = { detail: { reason: Reason.NO_NODE } }
    hub.failNext("submit", Status.FAILED_PRECONDITION, "nothing here is like that", noNode)
    const done = await sub(["-p", "memory > 4 AND os = 'linux' OR NOT cpu_flag LIKE 'x'", "true"])
    assert.equal(done.code, 6)
    assert.match(
      done.stderr,
      /No node reports "memory": did you mean mem\?\n {5}No node reports "cpu_flag": did you mean cpu_flags\?\n/,
    )
    hub.failNext("submit", Status.FAILED_PRECONDITION, "nothing here is like that", noNode)
    assert.doesNotMatch((await sub(["-p", "os = 'plan9'", "true"])).stderr, /No node reports/)
  })

  test("M4: --at-once and --array 1-10%2 are sent, and numbers that do not begin at 0 are each job's own", async () => {
    await sub(["--array", "1-10%2", "echo $CAH_ARRAY_INDEX"])
    const { campaign, jobs } = newest()!
    const { spec } = campaign
    const parameters = jobs.map(job => job.parameters?.line)
    assert.deepEqual([spec?.atOnce, parameters.length, parameters[0], parameters[9]], [2, 10, "1", "10"])
    assert.match(spec?.command.join(" ") ?? "", /CAH_ARRAY_INDEX=\$1 .*CAH_ARRAY_SIZE=10/)
    await sub(["--array", "0-9%3", "true"])
    assert.deepEqual(
      [newest()?.campaign.spec?.array, newest()?.campaign.spec?.atOnce, newest()?.jobs[0]?.parameters?.line],
      [10, 3, ""],
    )
    await sub(["--array", "7", "--at-once", "4", "true"])
    assert.deepEqual([newest()?.campaign.spec?.array, newest()?.campaign.spec?.atOnce], [7, 4])
  })

  test("M3: --max-fails is sent, from a script and a job file too", async () => {
    await sub(["--array", "500", "--max-fails", "20", "true"])
    assert.equal(newest()?.campaign.spec?.maxFails, 20)
    await sub(["-"], "#!/bin/sh\n#CAH --array 4%2 --max-fails 3\ntrue\n")
    assert.deepEqual([newest()?.campaign.spec?.maxFails, newest()?.campaign.spec?.atOnce], [3, 2])
    await sub(["-f", "-"], "command: ./render\narray: 1-36%4\nmax-fails: 5\n")
    assert.deepEqual([newest()?.campaign.spec?.maxFails, newest()?.campaign.spec?.atOnce], [5, 4])
  })

  const refused: readonly (readonly [args: readonly string[], error: RegExp])[] = [
    [["-f", "nowhere.yaml"], /The job file nowhere\.yaml cannot be read/],
    [["-f", "-", "true"], /the command stands in the file/],
    [["-S"], /there is no script/],
    [["--csv", "a", "--sweep", "k=1", "true"], /--csv and --sweep exclude each other/],
    [["--retry-exit", "3", "true"], /--retry-exit: how many times/],
    [["--retry-exit", "300", "--retries", "1", "true"], /out of range/],
    [["--gather", "1", "-s", ".", "true"], /exclude each other/],
    [["--gather", "1.2", "true"], /--gather 1\.2: it takes a whole campaign/],
    [["--after", "all", "true"], /waits for whole campaigns/],
    [["--loss-retries", "1001", "true"], /out of range/],
    [["--after", "x", "true"], /--after: "x" does not select anything/],
    [
      ["--array", "1,5,7", "true"],
      /"1,5,7" is not a whole number of jobs, nor a range\.\n {5}Steps and lists are a sweep/,
    ],
    [["--array", "many", "true"], /--array: "many" is not a whole number of jobs, nor a range\.\n {5}Write it like/],
    [["--array", "9-5", "true"], /has no jobs/],
    [["--array", "5%0", "true"], /no job could ever run/],
    [["--array", "10%2", "--at-once", "3", "true"], /contradict each other/],
    [["--array", "1-200000", "true"], /are too many: 100000 at most/],
    [["--max-fails", "0", "true"], /--max-fails/],
    [["--priority", "high", "true"], /--priority: "high"/],
    [["--deadline", "2h", "--idempotency-key", "k", "true"], /another one at each try/],
    [["--deadline", "2020-01-01", "true"], /has passed/],
    [["-p", " ", "true"], /-p: the condition is empty/],
    [["--loss-retries", "-1", "true"], /not a whole number/],
    [["--resubmit", "1", "true"], /takes the campaign's own command/],
    [["-l", "core=4,mem=12", "true"], /column 12: 12 of what/],
  ]
  for (const [args, error] of refused) {
    test(`cah sub ${args.join(" ")} is refused and nothing is submitted`, async () => {
      const [calls, campaigns] = [hub.calls.filter(call => call === "submit").length, hub.campaigns.size]
      const done = await sub(args, "")
      assert.match(done.stderr, error)
      assert.deepEqual([done.code, done.stdout, hub.campaigns.size], [2, "", campaigns])
      assert.equal(hub.calls.filter(call => call === "submit").length, calls)
    })
  }

  test("F3: one grammar of times in flags, job files, directives and OAR's verbs, and what it was taken for is said", async () => {
    const [calls, campaigns] = [hub.calls.length, hub.campaigns.size]
    const job = (text: string, name: string) => ["-f", write(name, `command: [a, b]\n${text}\n`)]
    for (const args of [
      ["--walltime", "1:30", "true"],
      ["-l", "core=1,walltime=1:30", "true"],
      job("walltime: 1:30", "a.yaml"),
      job("resource: [walltime=1:30]", "b.yaml"),
      ["-S", write("a.sh", "#CAH --walltime 1:30\ntrue\n")],
      ["-S", write("b.sh", "#OAR -l /core=1,walltime=1:30\ntrue\n")],
    ]) {
      const done = await sub(args)
      assert.equal(done.code, 2, args.join(" "))
      assert.match(done.stderr, /"1:30" is 1h 30m to oarsub and 1m 30s to sbatch/, args.join(" "))
    }
    const asOar = await inside(where, ["-l", "walltime=1:30", "true"], {}, { name: "oarsub" })
    assert.match(asOar.stderr, /1h 30m to oarsub and 1m 30s to sbatch/)
    for (const args of [
      ["wait", "1", "--timeout", "1:30"],
      ["admin", "enrol", "--for", "1:30"],
      ["admin", "token", "create", "x", "--for", "1:30"],
      ["cache", "rm", "--older", "1:30"],
    ]) {
      const done = await inside(where, args)
      assert.match(done.stderr, /"1:30" is 1h 30m to oarsub/, args.join(" "))
      assert.equal(done.code, 2)
    }
    assert.deepEqual([hub.calls.slice(calls), hub.campaigns.size], [[], campaigns])
    const soon = new Date(Date.now() + 3_600_000 * 5)
    const said = `${soon.getFullYear()}-${soon.getMonth() + 1}-${soon.getDate()} ${soon.getHours()}:00`
    const taken = await sub(["--walltime", "1:30:05", "--deadline", said, "true"])
    const shown = showTime(new Date(said).getTime()).replace("+", "\\+")
    assert.match(taken.stderr, new RegExp(`^Walltime 1h 30m 5s, deadline ${shown} \\(in [34]h`, "m"))
    assert.equal(Number(newest()?.campaign.spec?.deadline?.seconds), new Date(said).getTime() / 1000)
    assert.match((await sub(["--dry-run", "--deadline", said, "true"])).stdout, new RegExp(`Deadline +${shown}`))
    const lines = await inside(where, ["-l", "walltime=2:00:00", "true"], {}, { name: "oarsub" })
    assert.match(lines.stderr, /^Walltime 2h\.$/m)
  })

  test("F4: --grace says how long a job may go on at its walltime", async () => {
    const taken = await sub(["--walltime", "1h", "--grace", "2m", "true"])
    assert.equal(taken.code, 0, taken.stderr)
    assert.equal(newest()?.campaign.spec?.grace?.seconds, 120n)
    const refused = await sub(["--grace", "31m", "true"])
    assert.deepEqual([refused.code, /--grace: 31m is more than 30 minutes/.test(refused.stderr)], [2, true])
  })

  test("cah hold and resume take campaigns, and jobs of them", async () => {
    const id = hub.add({}, 6, () => undefined)
    assert.equal((await inside(where, ["hold", String(id)])).stdout, `Campaign ${id} is held.\n`)
    assert.match((await inside(where, ["ls", String(id)])).stdout, /held/)
    // F22: its jobs are held too.
    assert.match((await inside(where, ["ls", `${id}.2`])).stdout, /\.2 +held/)
    assert.match((await inside(where, ["show", `${id}.2`])).stdout, /State +held[\s\S]*Next: cah resume/)
    const listed = async (state: string) => (await inside(where, ["ls", `${id}`, "--jobs", "--state", state])).stdout
    assert.deepEqual([(await listed("held")).split("\n").length, await listed("queued")], [8, ""])
    assert.equal((await inside(where, ["resume", String(id), "-o", "json"])).code, 0)
    assert.equal(hub.campaigns.get(id)?.campaign.held, false)
    const held = await inside(where, ["hold", `${id}.3-5,${id}.1`])
    assert.equal(held.stdout, `Campaign ${id}: 4 jobs held.\n`)
    assert.equal(hub.campaigns.get(id)?.campaign.counts?.held, 4)
    assert.match(
      (await inside(where, ["hold", `${id}.3`])).stdout,
      /nothing was changed for .*\.3: they run, have ended/,
    )
    assert.equal((await inside(where, ["resume", `${id}.3`])).stdout, `Campaign ${id}: 1 job goes on.\n`)
    assert.deepEqual(JSON.parse((await inside(where, ["resume", `${id}.0-9`, "-o", "json"])).stdout), {
      campaign: String(id),
      held: false,
      jobs: 3,
    })
  })

  test("passes types, reservations, notices on, and says what the hub warns of and expects", async () => {
    hub.submitted = {
      warnings: ["no node has been seen with so much memory"],
      expectation: { jobs: 2.5, confidence: 0.9999, nodes: 7 },
    }
    const flags = [
      "-t",
      "besteffort",
      "-t",
      "idempotent",
      "--notify",
      "[END]mail:a@b.org",
      "--notify",
      "https://x.org/h",
    ]
    const secret = "s".repeat(16)
    const done = await inside(where, ["sub", ...flags, "true"], { CAH_NOTIFY_SECRET: secret })
    assert.match(done.stderr, /^cah: no node has been seen with so much memory$/m)
    assert.ok(!`${done.stdout}${done.stderr}`.includes(secret))
    const { spec } = newest()?.campaign ?? {}
    assert.deepEqual([spec?.bestEffort, spec?.retries?.max, spec?.retries?.exitCodes], [true, 10, [99]])
    assert.deepEqual(
      newest()?.notices.map(({ occasions, target }) => [occasions, target.case]),
      [
        [[3], "mail"],
        [[1, 2, 3], "webhook"],
      ],
    )
    const reserved = await sub(["-r", "2030-01-01 10:00, 2030-01-01 12:00", "true"])
    assert.match(
      reserved.stderr,
      /OK: about 1 of 1 job will find a place at once, all of them with more than 99 %, judged from 7 nodes\.\n/,
    )
    const { start, end } = newest()?.campaign.spec?.reservation ?? {}
    assert.deepEqual(
      [Number(end?.seconds) - Number(start?.seconds), newest()?.campaign.spec?.walltime?.seconds],
      [7200, 7200n],
    )
    hub.submitted = {}
  })

  test("a container holds its place without a command, and others run inside it, also within a graph", async () => {
    await sub(["-t", "container", "-l", "core=8,walltime=1:00:00"])
    const container = newest()?.campaign
    assert.deepEqual([container?.spec?.container, container?.spec?.command], [true, ["sleep", "3595"]])
    await sub(["-t", "inner=last", "--array", "3", "true"])
    assert.equal(newest()?.campaign.spec?.inside, container?.id)
    await sub([
      "-f",
      write("g.yaml", "jobs:\n  a: {command: x, type: inner=pilot}\n  pilot: {command: y, type: container}\n"),
    ])
    const [pilot, inner] = [...hub.campaigns.values()].slice(-2)
    assert.deepEqual([pilot?.campaign.name, inner?.campaign.spec?.inside], ["pilot", pilot?.campaign.id])
    const noop = await sub(["-t", "noop", "-l", "walltime=0:10:00", "./prog"])
    assert.match(noop.stderr, /noop runs nothing: the command is left out/)
    assert.deepEqual(newest()?.campaign.spec?.command, ["sleep", "595"])
  })

  test("a command of --notify exec: is run here, at its occasions, while it waits", async () => {
    const out = path("told")
    const hubOfItsOwn = await FakeHub.start({ endOf: index => (index === 0 ? {} : { outcome: Outcome.FAILED }) })
    const there = place(hubOfItsOwn)
    const args = ["--notify", `[END,ERROR]exec:printf '%s|' >> ${out}`, "-n", "wing", "--array", "2", "--wait", "true"]
    assert.equal((await inside(there, ["sub", ...args])).code, 1)
    const told = readFileSync(out, "utf8").split("|").slice(0, -1)
    assert.deepEqual([told.slice(0, 3), told.slice(4, 7)].sort(), [
      ["1", "wing", "END"],
      ["1", "wing", "ERROR"],
    ])
    assert.equal(told[3], "2 of 2 jobs ended: 1 finished, 1 failed")
    const failing = await inside(there, ["sub", "--notify", "exec:exit 3 #", "--wait", "true"])
    assert.match(failing.stderr, /--notify exec:exit 3 # ended with 3/)
    hubOfItsOwn.stop()
  })

  test("--follow prints what the single job writes, and nothing else", async () => {
    const hubOfItsOwn = await FakeHub.start()
    hubOfItsOwn.following = ["one\n"]
    const there = place(hubOfItsOwn)
    const done = await inside(there, ["sub", "--follow", "true"])
    assert.match(done.stdout, /^Campaign 1 submitted: 1 job\.\none\n$/)
    assert.match(
      (await inside(there, ["sub", "--follow", "--array", "2", "true"])).stderr,
      /have? ?has? not one output|not one output/,
    )
    hubOfItsOwn.stop()
  })

  test("--dry-run says what the hub would do, and exits as its refusal would", async () => {
    hub.plan = {
      nodesOnline: 3,
      nodesAway: 1,
      jobsNow: 2,
      jobsAtOnce: 6,
      jobsAhead: 4n,
      atMost: { seconds: 3600n },
      warnings: ["it may be long"],
    }
    const done = await sub(["--dry-run", "--array", "7", "true"])
    assert.match(done.stdout, /Nodes +3 online could take it, and 1 that is away\nAt once +2 jobs now, 6 when/)
    assert.match(done.stdout, /Ahead +4 ready jobs[\s\S]*At most +1h, if every job/)
    assert.match(done.stderr, /Nothing was sent or submitted\.\ncah: it may be long/)
    hub.plan = { refusal: "no node known here has 9 TiB of memory; the nearest, attic, has 16 GiB" }
    const refused = await sub(["--dry-run", "-l", "mem=9T", "true"])
    assert.deepEqual([refused.code, /Refused +no node known here/.test(refused.stdout)], [6, true])
    hub.plan = null
    const older = await sub(["--dry-run", "true"])
    assert.deepEqual([older.code, /older than this cah/.test(older.stderr)], [0, true])
    hub.plan = {}
  })

  test("cah resub changes what its flags say, leaves out what it is told to, and takes some jobs", async () => {
    const needs = { $typeName: "cah.v1.Needs", slots: 4, memoryBytes: 1n << 33n, diskBytes: 0n } as const
    const id = hub.add({ command: ["./p"], needs, property: "mem > 64", bestEffort: true, env: { A: "1" } }, 4)
    const flags = ["-l", "mem=6G", "--env", "B=2", "--without", "property", "--without", "besteffort"]
    const done = await inside(where, ["resub", `${id}.1-2`, ...flags])
    assert.match(done.stderr, new RegExp(`They were ${id}\\.1, ${id}\\.2, in this order`))
    const spec = newest()?.campaign.spec
    assert.deepEqual(
      [
        spec?.needs?.slots,
        spec?.needs?.memoryBytes,
        spec?.property,
        spec?.bestEffort,
        spec?.env,
        newest()?.jobs.length,
      ],
      [4, 6n << 30n, "", false, { A: "1", B: "2" }, 2],
    )
    for (const [args, error] of [
      [["resub", "1-2"], /not one campaign/],
      [["resub", `${id}.9`], /has no job/],
      [["resub", String(id), "--array", "3"], /Unknown option '--array'/],
      [["resub", String(id), "--without", "walltime"], /cannot be left out/],
      [["resub", String(id), "--notify", "exec:x"], /only while cah waits/],
      [["sub", "--notify", "exec:x", "true"], /only while cah waits/],
      [["sub", "--notify", "https://x.org", "true"], /no secret to sign it with[\s\S]*CAH_NOTIFY_SECRET/],
      [["sub", "-t", "besteffort", "-r", "now", "true"], /-r and -t besteffort exclude/],
      [["sub", "-t", "inner=1", "-p", "mem > 1", "true"], /-t inner and -p exclude/],
      [["sub", "-r", "now", "--idempotency-key", "k", "true"], /another one at each try/],
    ] as const) {
      const bad = await inside(where, args)
      assert.deepEqual([bad.code, bad.stdout], [2, ""], args.join(" "))
      assert.match(bad.stderr, error)
    }
    assert.match(
      (await inside(where, ["sub", "--notify", "https://x.org", "true"], { CAH_NOTIFY_SECRET: "short" })).stderr,
      /holds 5 characters/,
    )
  })
})
