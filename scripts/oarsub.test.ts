// OAR's habits against the real hub and a real agent, typed into bash by the names people know: arrays, parameter files, scripts with
// directives, dependencies, holds and deletion. The words that come back are OAR's; what ran shows in the jobs' own output.
import assert from "node:assert/strict"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { after, before, describe, test } from "node:test"
import { Desk } from "../harness/desk.ts"

describe("a scientist who comes from OAR", () => {
  let desk: Desk
  let place = ""
  const bash = (line: string) => desk.says(line)

  before(async () => {
    desk = await Desk.start()
    place = desk.directory
    await bash(`cah login --hub ${desk.hub.url} --token-file token`)
  })

  after(() => desk.end())

  /** The number that oarsub answered, as scripts cut it out. */
  async function submitted(line: string): Promise<string> {
    const answer = await bash(line)
    return /^OAR_(?:ARRAY|JOB)_ID=(\d+)$/m.exec(answer)?.[1] ?? assert.fail(`no number in ${answer}`)
  }

  test("submits an array and finds each job's index in its environment", async () => {
    const id = await submitted(
      "oarsub --array 3 -n indices 'echo $OAR_ARRAY_INDEX of $OAR_ARRAY_ID; exit $OAR_JOB_INDEX'",
    )
    await bash(`cah wait ${id} --any-exit-ok`)
    assert.equal(await bash(`cah logs ${id}.1`), `1 of ${id}\n`)
    assert.equal(await bash(`oarstat -s -j ${id}`), `${id}.0: Terminated\n${id}.1: Error\n${id}.2: Error\n`)
    assert.match(await bash(`oarstat -fj ${id}.2`), /name = indices[\s\S]*exit_code = 512 \(2,0,0\)/)
    const again = await bash(`cah resub ${id} --failed -o quiet`)
    await bash(`cah wait ${again.trim()} --any-exit-ok`)
    assert.equal(await bash(`cah logs ${again.trim()}.1`), `2 of ${again.trim()}\n`, "the old index, in the new array")
  })

  test("submits a parameter file with quotes and comments", async () => {
    await writeFile(join(place, "params"), '# a comment\n"two words" three\n\nfour five\n')
    const id = await submitted("oarsub --array-param-file params printf '[%s]'")
    await bash(`cah wait ${id}`)
    assert.equal(await bash(`cah logs ${id}.0; cah logs ${id}.1`), "[two words][three][four][five]")
  })

  test("submits a script whose directives are flags, and whose directory goes along", async () => {
    await mkdir(join(place, "scene"))
    await writeFile(join(place, "scene/a.txt"), "content")
    await writeFile(join(place, "scene/b.o"), "object")
    await writeFile(join(place, "scene/.cahignore"), "*.o\n")
    const text = "#!/bin/bash\n#OAR -n scripted -l /nodes=1/core=1,walltime=0:05:00\n#CAH -s scene\n"
    await writeFile(join(place, "job.sh"), `${text}echo "$OAR_JOB_NAME $OAR_JOB_WALLTIME $1: $(ls -A)"\n`)
    const id = await submitted("oarsub -S './job.sh hello'")
    await bash(`cah wait ${id}`)
    assert.equal(
      await bash(`cah logs ${id}`),
      "scripted 0:05:00 hello: a.txt\n".replace("0:05:00", await walltimeOf(id)),
    )
  })

  /** In OAR's form, whose digits are the agent's to choose. */
  async function walltimeOf(id: string): Promise<string> {
    return /^scripted (\S+) /.exec(await bash(`cah logs ${id}`))?.[1] ?? ""
  }

  test("holds a job that another waits for, resumes it, and sees both end in that order", async () => {
    const first = await submitted("oarsub --hold 'date +%s%N'")
    const second = await submitted(`oarsub -a ${first} 'date +%s%N'`)
    assert.equal(await bash(`oarstat -s -j ${first}`), `${first}: Hold\n`)
    assert.equal(await bash(`oarresume ${first}`), `[${first}] Resume request was sent to the OAR server.\n`)
    await bash(`cah wait ${first},${second}`)
    const [before, then] = [await bash(`cah logs ${first}`), await bash(`cah logs ${second}`)]
    assert.ok(BigInt(before.trim()) < BigInt(then.trim()), `${before} ${then}`)
  })

  test("takes a property of the nodes, and deletes what will never run", async () => {
    const runs = await submitted(`oarsub -p "sandbox IS NOT NULL AND cores > 0" true`)
    await bash(`cah wait ${runs}`)
    const stays = await submitted(`oarsub --hold sleep 1000`)
    assert.match(await bash("oarstat"), new RegExp(`^${stays} .* H default`, "m"))
    assert.match(await bash(`oardel ${stays}`), /REGISTERED/)
    assert.equal(
      await bash(`cah wait ${stays} --any-exit-ok; oarstat -s -j ${stays}`).then(text => text.split("\n").at(-2)),
      `${stays}: Error`,
    )
    assert.match(await bash("oarnodes -s"), /^home-1\n.* : Alive\n$/)
  })

  /** From OAR's manual page and its users' documentation; /nodes=4 is refused here, so that a node's part is asked for. */
  test("takes the parametric array of OAR's manual page: one argument, none, and two with blanks", async () => {
    const lines = [
      "# my param file",
      "# a subjob with a single parameter",
      "p100",
      "# a subjob without parameter",
      '""',
    ]
    await writeFile(join(place, "params.txt"), [...lines, '"arg1a arg1b arg1c" "arg2a arg2b"', ""].join("\n"))
    await writeFile(join(place, "prog"), "#!/bin/sh\necho $#:$1:$2\n")
    const id = await submitted("oarsub -s prog 'sh prog' --array-param-file params.txt")
    await bash(`cah wait ${id}`)
    assert.equal(
      await bash(`for n in 0 1 2; do cah logs ${id}.$n; done`),
      "1:p100:\n1::\n2:arg1a arg1b arg1c:arg2a arg2b\n",
    )
    assert.equal(await bash("oarsub -l /nodes=1 true --array 3 | tail -n 1"), `OAR_ARRAY_ID=${Number(id) + 1}\n`)
  })

  test("takes the job script of OAR's manual page, but for what no volunteer's machine has", async () => {
    const directives = ["#OAR -l /nodes=1/cpu=1,walltime=3:15:00", "#OAR -p os = 'linux' or switch = 'sw5'"]
    await writeFile(
      join(place, "script.sh"),
      ["#!/bin/bash", ...directives, "#OAR -t besteffort", "echo $0", ""].join("\n"),
    )
    const id = await submitted("oarsub -S ./script.sh")
    await bash(`cah wait ${id}`)
    const { spec } = JSON.parse(await bash(`cah show ${id} -o json`)).campaign
    assert.deepEqual(
      [spec.property, spec.bestEffort, spec.walltime, spec.needs.slots],
      ["os = 'linux' or switch = 'sw5'", true, "11700s", 1],
    )
    for (const [line, reason] of [
      ["#OAR -k", /line 2: -k: jobs have no keys/],
      ["#OAR --stdout stdoutfile.log", /line 2: -O: what a job writes stays at the hub/],
      ["#OAR -t type2", /line 2: -t: "type2" is not a type/],
      ["#OAR -l /nodes=4/cpu=1", /line 2: -l "\/nodes=4\/cpu=1", column 8: a job runs on one node/],
    ] as const) {
      await writeFile(join(place, "bad.sh"), `#!/bin/bash\n${line}\ntrue\n`)
      const { code, stderr } = await desk.type("oarsub -S ./bad.sh")
      assert.equal(code, 2)
      assert.match(stderr, reason)
    }
  })

  test("leaves a node out by its host, and refuses what no node has as OAR's admission does", async () => {
    const elsewhere = await submitted(`oarsub -p "not host like 'nodename.%'" true`)
    await bash(`cah wait ${elsewhere}`)
    const { code, stdout, stderr } = await desk.type(`oarsub -q default -l /nodes=1/cpu=1 -p "switch = 'sw1'" ./prog`)
    assert.deepEqual([code, stdout], [6, ""])
    assert.match(stderr, /no node can ever run it/)
    const held = await desk.type(`oarsub --hold -p "switch = 'sw1'" ./prog`)
    assert.match(held.stdout, /^OAR_JOB_ID=\d+$/m)
    assert.match(held.stderr, /no node can ever run it/)
  })

  test("holds and resumes one job of an array, which runs when it is let go", async () => {
    const id = await submitted("oarsub --hold --array 2 'echo $OAR_ARRAY_INDEX'")
    assert.equal(await bash(`oarhold ${id}.1`), `[${id}.1] Hold request was sent to the OAR server.\n`)
    assert.equal(await bash(`cah resume ${id}`), `Campaign ${id} goes on.\n`)
    await bash(`cah wait ${id}.0`)
    assert.equal(await bash(`oarstat -s -j ${id}`), `${id}.0: Terminated\n${id}.1: Hold\n`)
    const wrong = await desk.type(`oarhold ${id}.0`)
    assert.deepEqual([wrong.code, wrong.stderr], [1, `/!\\ Cannot hold ${id}.0: the job is not in the right state.\n`])
    assert.equal(await bash(`oarresume ${id}.1`), `[${id}.1] Resume request was sent to the OAR server.\n`)
    await bash(`cah wait ${id}`)
    assert.equal(await bash(`cah logs ${id}.1`), "1\n")
  })

  test("runs inner jobs in a container, and best effort from a loop over parameters", async () => {
    const container = await submitted("oarsub -t container -l nodes=1,walltime=0:01:00")
    const inner = await submitted(`oarsub -t inner=${container} -l nodes=1 'echo inside'`)
    await bash(`cah wait ${inner}`)
    assert.equal(await bash(`cah logs ${inner}`), "inside\n")
    assert.match(await bash(`oarstat -s -j ${container}`), /: Running$/m)
    const large = await desk.type(`oarsub -t inner=${container} -l core=2 true`)
    assert.deepEqual([large.code, /no job of it fits into container/.test(large.stderr)], [6, true])
    await bash(`oardel ${container}`)
    await writeFile(join(place, "paramlist"), "1\n2\n")
    const loop = 'for param in $(< ./paramlist); do oarsub -t besteffort -l core=1 "echo got $param"; done'
    const ids = (await bash(loop)).match(/\d+/g) ?? []
    await bash(`cah wait ${ids.join(",")}`)
    assert.equal(await bash(`cah logs ${ids[1]}`), "got 2\n")
  })

  test("reserves in OAR's words, and runs at the moment", async () => {
    const ok = await desk.type("oarsub true -l core=1,walltime=0:05:00 -r now")
    assert.match(
      ok.stdout,
      /^OAR_JOB_ID=\d+\n# Advance reservation request: waiting for validation\.\.\.\n# Reservation valid --> OK\n$/,
    )
    const ko = await desk.type("oarsub true -l core=2 --array 500 -r now")
    assert.deepEqual([ko.code, /# Reservation not valid --> KO \(the reservation/.test(ko.stdout)], [6, true])
    const id = /\d+/.exec(ok.stdout)?.[0] ?? ""
    await bash(`cah wait ${id}`)
    assert.equal(await bash(`oarstat -s -j ${id}`), `${id}: Terminated\n`)
  })
})
