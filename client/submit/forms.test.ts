// The forms of a submission through the whole command line, against the fake hub: script, stdin, job file, graph, tables, dry run,
// resubmission. What was asked of the hub, and that what is refused asked nothing.
import assert from "node:assert/strict"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { after, before, describe, test } from "node:test"
import { status as Status } from "@grpc/grpc-js"
import { Outcome } from "../../proto/gen/cah/v1/job_pb.ts"
import { FakeHub } from "../fakehub.ts"
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
    assert.deepEqual([hub.campaigns.size, hub.calls.slice(calls)], [campaigns, ["getUpload"]])
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

  const refused: readonly (readonly [args: readonly string[], error: RegExp])[] = [
    [["-f", "nowhere.yaml"], /The job file nowhere\.yaml cannot be read/],
    [["-f", "-", "true"], /the command stands in the file/],
    [["-S"], /there is no script/],
    [["--csv", "a", "--sweep", "k=1", "true"], /--csv and --sweep exclude each other/],
    [["--retry-exit", "3", "true"], /--retry-exit: how many times/],
    [["--retry-exit", "300", "--retries", "1", "true"], /out of range/],
    [["--gather", "1", "-s", ".", "true"], /exclude each other/],
    [["--gather", "1.2", "true"], /gathers a whole campaign/],
    [["--after", "all", "true"], /waits for whole campaigns/],
    [["--priority", "high", "true"], /--priority: "high"/],
    [["--deadline", "2h", "--idempotency-key", "k", "true"], /another one at each try/],
    [["--deadline", "2020-01-01", "true"], /has passed/],
    [["-p", " ", "true"], /-p: the condition is empty/],
    [["--loss-retries", "-1", "true"], /not a whole number/],
    [["--resubmit", "1", "true"], /takes the campaign as it was/],
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

  test("cah hold and resume take whole campaigns", async () => {
    const id = hub.add({}, 2, () => undefined)
    assert.equal((await inside(where, ["hold", String(id)])).stdout, `Campaign ${id} is held.\n`)
    assert.match((await inside(where, ["ls", String(id)])).stdout, /held/)
    assert.equal((await inside(where, ["resume", String(id), "-o", "json"])).code, 0)
    assert.equal(hub.campaigns.get(id)?.campaign.held, false)
    assert.match((await inside(where, ["hold", `${id}.1`])).stderr, /takes whole campaigns/)
  })
})
