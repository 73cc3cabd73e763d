// OAR's habits under OAR's names: what its own documentation types for arrays, parameter files, scripts, dependencies, holds and
// properties, and what is answered. Against the fake hub: what was asked of it, and the words that come back.
import assert from "node:assert/strict"
import { execFile } from "node:child_process"
import { symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { after, before, describe, test } from "node:test"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { create } from "@bufbuild/protobuf"
import { status as Status } from "@grpc/grpc-js"
import { Reason } from "../../proto/gen/cah/v1/error_pb.ts"
import { NodeSchema, NodeState, Outcome, Phase } from "../../proto/gen/cah/v1/job_pb.ts"
import { FakeHub } from "../fakehub.ts"
import { inside, type Place, place } from "../spawning.ts"
import { oarExit, oarState, oarWalltime } from "./convert.ts"

describe("under the names of OAR", () => {
  let hub: FakeHub
  let where: Place
  before(async () => {
    hub = await FakeHub.start()
    where = place(hub)
  })
  after(() => hub.stop())

  const oar = (line: string, ...more: string[]) => {
    const [name = "", ...args] = line.split(" ").filter(word => word !== "")
    return inside(where, [...args, ...more], {}, { name })
  }
  const specOf = (id: bigint) => hub.campaigns.get(id)?.campaign.spec
  const newest = () => BigInt(hub.campaigns.size)

  test("oarsub answers with the job's number, and for an array with all of them and the array's", async () => {
    const one = await oar("oarsub -l /nodes=1/core=4,walltime=2:00:00 ./prog")
    assert.deepEqual([one.code, one.stdout, one.stderr], [0, `OAR_JOB_ID=${newest()}\n`, "Walltime 2h.\n"])
    assert.deepEqual([specOf(newest())?.needs?.slots, specOf(newest())?.walltime?.seconds], [4, 7200n])
    const array = await oar("oarsub --array 3 -n test ./prog")
    const id = newest()
    assert.equal(array.stdout, `OAR_JOB_ID=${id}.0\nOAR_JOB_ID=${id}.1\nOAR_JOB_ID=${id}.2\nOAR_ARRAY_ID=${id}\n`)
    assert.equal((await oar("oarsub -o quiet ./prog")).stdout, `${newest()}\n`)
  })

  test("oarsub passes moldable needs, properties, dependencies, holds and retries on", async () => {
    const flags = "-l /nodes=1/core=8,walltime=1 -l core=1,walltime=8 -a 1 --after-ok 2 --hold -t desktop_computing"
    const done = await oar(`oarsub ${flags} --retries 3 --retry-exit 99,75 -q default -p`, "mem > 64", "./prog")
    assert.equal(done.stderr, "Walltime 1h, or else 8h.\n")
    const spec = specOf(newest())
    assert.deepEqual(
      [
        spec?.needs?.slots,
        spec?.shapes.map(one => [one.needs?.slots, one.walltime?.seconds]),
        spec?.property,
        spec?.hold,
      ],
      [8, [[1, 28_800n]], "mem > 64", true],
    )
    assert.deepEqual(
      spec?.after.map(one => [one.campaign, one.success]),
      [
        [1n, false],
        [2n, true],
      ],
    )
    assert.deepEqual([spec?.retries?.max, spec?.retries?.exitCodes], [3, [75, 99]])
  })

  for (const [line, error] of [
    ["oarsub -I", /-I: a job here has no terminal/],
    ["oarsub -C 12", /-C: nobody can connect/],
    ["oarsub -r 2026-12-01 ./x", /at what time of 2026-12-01/],
    ["oarsub -t token:licence=1 ./x", /token counts licences/],
    ["oarsub -t besteffort -r now ./x", /-r and -t besteffort exclude/],
    ["oarsub -l /nodes=2 ./x", /one node, not on 2/],
    ["oarsub -d /tmp ./x", /-d: a job begins in an empty directory/],
    ["oarsub -O out ./x", /-O: what a job writes stays at the hub/],
    ["oarsub -q besteffort ./x", /there is no queue "besteffort"/],
    ["oarsub --notify mail:me ./x", /"me" is not a mail address/],
    ["oarsub --checkpoint 60 ./x", /checkpoints are not supported yet/],
    ["oarsub -a 1.2 ./x", /waits for whole campaigns/],
    ["oarsub", /no command to run/],
    ["oarsub --frob ./x", /Unknown option '--frob'/],
    ["oardel", /Which job/],
    ["oardel all", /cah del all/],
    ["oarhold", /Which job/],
    ["oarhold -r 1", /-r: a volunteer's machine suspends nothing/],
    ["oarhold --sql x", /--sql: no database is asked/],
    ["oarresume --sql x", /--sql: no database is asked/],
    ["oardel --sql x", /--sql: no database is asked/],
    ["oardel -c 1", /-c: checkpoints/],
    ["oarstat --sql x", /--sql: no database is asked/],
    ["oarstat -c", /-c: a line for each campaign/],
    ["oarstat -X", /there is no XML/],
    ["oarsub ./x -y", /Unknown option '-y'/],
    ["oarstat -s", /the state of which job/],
  ] as const) {
    test(`${line} is refused with its reason`, async () => {
      const done = await oar(line)
      assert.deepEqual([done.code, done.stdout], [2, ""])
      assert.match(done.stderr, error)
    })
  }

  test("oarstat shows OAR's table, states and full form, by number or by array", async () => {
    hub.running(2n, 1)
    hub.end(2n, 2, { outcome: Outcome.FAILED, exitCode: 3, message: "boom" })
    const list = await oar("oarstat")
    const lines = list.stdout.split("\n")
    assert.equal(lines[0], "Job id     Name           User           Submission Date     S Queue")
    assert.equal(lines[1], "---------- -------------- -------------- ------------------- - ----------")
    assert.match(list.stdout, /^2\.1 {8}test {11}ada {12}\d{4}-\d\d-\d\d \d\d:\d\d:\d\d R default/m)
    assert.ok(!list.stdout.includes("2.2"), "what has ended is not listed")
    assert.equal((await oar("oarstat -s -j 2")).stdout, "2.0: Waiting\n2.1: Running\n2.2: Error\n")
    assert.match(
      (await oar("oarstat -fj 2.2")).stdout,
      /^Job_Id: 2\.2\n {4}job_array_id = 2\n {4}job_array_index = 2\n {4}name = test[\s\S]*state = Error[\s\S]*exit_code = 768 \(3,0,0\)[\s\S]*message = boom/,
    )
    const json = JSON.parse((await oar("oarstat --array 2 -J")).stdout)
    assert.deepEqual(
      [Object.keys(json), json["2.1"].state, json["2.1"].owner],
      [["2.0", "2.1", "2.2"], "Running", "ada"],
    )
    assert.match((await oar("oarstat -j 1 -Y")).stdout, /^"1":\n {2}Job_Id: "1"/)
    assert.equal((await oar("oarstat -j 99")).code, 3)
  })

  test("oarsub's flags may stand after the command, and -J and -Y answer for programs", async () => {
    await oar("oarsub -l /nodes=1 ./prog --array 2")
    assert.deepEqual([hub.campaigns.get(newest())?.jobs.length, specOf(newest())?.command], [2, ["./prog"]])
    await oar("oarsub -- ./prog --array 2")
    assert.deepEqual(specOf(newest())?.command, ["./prog", "--array", "2"])
    assert.equal((await oar("oarsub -J ./prog")).stdout, `{\n   "job_id": ${newest()}\n}\n`)
    assert.equal((await oar("oarsub -Y ./prog")).stdout, `---\njob_id: ${newest()}\n`)
  })

  test("oarsub answers a reservation in OAR's words, with what they are worth on stderr", async () => {
    hub.submitted = { expectation: { jobs: 0.9, confidence: 0.87, nodes: 3 } }
    const ok = await oar("oarsub -r now ./prog")
    assert.equal(
      ok.stdout,
      `OAR_JOB_ID=${newest()}\n# Advance reservation request: waiting for validation...\n# Reservation valid --> OK\n`,
    )
    assert.match(ok.stderr, /OK: about 0\.9 of 1 job .* with 87 %, judged from 3 nodes/)
    hub.submitted = {}
    hub.failNext("submit", Status.FAILED_PRECONDITION, "it is refused: 1 of 9 slots is to be expected", {
      detail: { reason: Reason.RESERVATION },
    })
    const ko = await oar("oarsub -r now ./prog")
    assert.match(ko.stdout, /# Reservation not valid --> KO \(it is refused: 1 of 9 slots/)
    assert.equal(ko.code, 6)
  })

  test("oarstat -f tells the types that were asked for, and a reservation", async () => {
    await oar("oarsub -t besteffort true")
    assert.match(
      (await oar(`oarstat -fj ${newest()}`)).stdout,
      /types = desktop_computing,idempotent,besteffort\n[\s\S]*reservation = None\n/,
    )
    await oar("oarsub -t container -r now -l core=1,walltime=1 true")
    assert.match(
      (await oar(`oarstat -fj ${newest()}`)).stdout,
      /types = desktop_computing,idempotent,container\n[\s\S]*reservation = Scheduled\n/,
    )
  })

  test("oarhold and oarresume, then oardel", async () => {
    assert.equal((await oar("oarhold 1")).stdout, "[1] Hold request was sent to the OAR server.\n")
    assert.equal(hub.campaigns.get(1n)?.campaign.held, true)
    assert.equal((await oar("oarresume --array 1")).stdout, "[1] Resume request was sent to the OAR server.\n")
    assert.equal(hub.campaigns.get(1n)?.campaign.held, false)
    assert.equal((await oar("oarhold 2.0")).stdout, "[2.0] Hold request was sent to the OAR server.\n")
    assert.equal((await oar("oarstat -s -j 2.0")).stdout, "2.0: Hold\n")
    const again = await oar("oarhold 2.0 99")
    assert.deepEqual(
      [again.code, again.stdout, again.stderr],
      [
        1,
        "",
        "/!\\ Cannot hold 2.0: the job is not in the right state.\n/!\\ Cannot hold 99: this job does not exist.\n",
      ],
    )
    assert.equal((await oar("oarresume 2.0")).stdout, "[2.0] Resume request was sent to the OAR server.\n")
    const wrong = await oar("oarresume 2.0")
    assert.deepEqual(
      [wrong.code, wrong.stderr],
      [1, "/!\\ Cannot resume 2.0: the job is not in the Hold or Suspended state.\n"],
    )
    const done = await oar("oardel 2.0 1")
    assert.match(done.stdout, /job = 2\.0 \.\.\.REGISTERED[\s\S]*\[ 2\.0 1 \] will be deleted/)
    assert.deepEqual(
      hub.campaigns.get(2n)?.jobs.map(job => job.outcome === Outcome.CANCELLED),
      [true, false, false],
    )
  })

  test("oarnodes shows nodes by OAR's states", async () => {
    hub.nodes.push(
      create(NodeSchema, {
        id: "n1",
        name: "attic",
        state: NodeState.ONLINE,
        slots: 4,
        properties: { arch: "x86_64" },
      }),
    )
    assert.match(
      (await oar("oarnodes")).stdout,
      /^attic\n {4}resource_id : n1[\s\S]*state : Alive[\s\S]*core : 4[\s\S]*arch : x86_64/,
    )
    assert.equal((await oar("oarnodes -s")).stdout, "attic\n    n1 : Alive\n")
  })

  test("each has a help of its own, with an example, on one screen", async () => {
    for (const name of ["oarsub", "oarstat", "oardel", "oarhold", "oarresume", "oarnodes"]) {
      const { code, stdout } = await oar(`${name} --help`)
      assert.equal(code, 0)
      assert.match(stdout, new RegExp(`^Usage: ${name} [\\s\\S]*Examples:\\n {2}${name}`))
      assert.ok(stdout.trimEnd().split("\n").length <= 50, name)
    }
  })

  test("the program is told apart by the name of the link that it was called by", async () => {
    const link = join(where.home, "oarsub")
    symlinkSync(fileURLToPath(new URL("../bin/cah.mjs", import.meta.url)), link)
    writeFileSync(join(where.cwd, "job.sh"), "#!/bin/bash\n#OAR -n fromscript --array 2\necho $1\n")
    const { stdout } = await promisify(execFile)(process.execPath, [link, "-S", "./job.sh a b"], {
      cwd: where.cwd,
      env: { PATH: process.env.PATH, HOME: where.home },
    })
    const id = newest()
    assert.equal(stdout, `OAR_JOB_ID=${id}.0\nOAR_JOB_ID=${id}.1\nOAR_ARRAY_ID=${id}\n`)
    assert.equal(specOf(id)?.name, "fromscript")
    assert.deepEqual(specOf(id)?.command.slice(0, 2), ["/bin/bash", "-c"])
    assert.deepEqual(specOf(id)?.command.slice(3), ["job.sh", "a", "b"])
  })
})

test("our states have words of OAR's", () => {
  const states = [
    [Phase.QUEUED, 0, "Waiting"],
    [Phase.HELD, 0, "Hold"],
    [Phase.STAGING, 0, "toLaunch"],
    [Phase.RUNNING, 0, "Running"],
    [Phase.RETURNING, 0, "Finishing"],
    [Phase.ENDED, Outcome.FINISHED, "Terminated"],
    [Phase.ENDED, Outcome.CANCELLED, "Error"],
    [Phase.ENDED, Outcome.LOST, "Error"],
  ] as const
  assert.equal(oarState({ phase: Phase.QUEUED, outcome: 0 }, true), "Hold")
  for (const [phase, outcome, word] of states) assert.equal(oarState({ phase, outcome }), word)
  assert.deepEqual([oarExit(3), oarExit(137), oarWalltime(5_430)], ["768 (3,0,0)", "9 (0,9,0)", "1:30:30"])
})
