// OAR's habits against the real hub and a real agent, typed into bash by the names people know: arrays, parameter files, scripts with
// directives, dependencies, holds and deletion. The words that come back are OAR's; what ran shows in the jobs' own output.
import assert from "node:assert/strict"
import { execFile } from "node:child_process"
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, describe, test } from "node:test"
import { promisify } from "node:util"
import { Hub } from "./demo/hub.ts"
import { end, type Program, ready, start } from "./demo/processes.ts"
import { root } from "./files.ts"

const run = promisify(execFile)

describe("a scientist who comes from OAR", () => {
  let place = ""
  let hub: Hub
  const agents: Program[] = []

  before(async () => {
    place = await mkdtemp(join(tmpdir(), "cah-oar-"))
    hub = await Hub.start(join(place, "hub"), join(place, "hub.log"))
    const { secret } = await hub.ask<{ secret: string }>("OperatorService/CreateEnrolment", { account: "me", uses: 1 })
    const flags = [
      "--hub",
      hub.url,
      "--enroll",
      secret,
      "--state",
      join(place, "agent"),
      "--name",
      "home-1",
      "--slots",
      "2",
    ]
    const agent = start("agent", ["agent/bin/cah-agent.mjs", ...flags], {}, join(place, "agent.log"))
    agents.push(agent)
    await ready(agent, async () => {
      const { nodes = [] } = await hub.ask<{ nodes?: { state: string }[] }>("ScientistService/ListNodes", {})
      return nodes.some(node => node.state === "NODE_STATE_ONLINE") ? true : null
    })
    for (const folder of ["bin", "desk", "home"]) await mkdir(join(place, folder))
    for (const name of ["cah", "oarsub", "oarstat", "oardel", "oarhold", "oarresume", "oarnodes"]) {
      await symlink(join(root, "client/bin/cah.mjs"), join(place, "bin", name))
    }
    await copyFile(join(place, "hub/admin.token"), join(place, "home/token"))
    await bash(`cah login --hub ${hub.url} --token-file ../home/token`)
  })

  after(async () => {
    await end(agents)
    await end([hub.program])
    await rm(place, { recursive: true, force: true })
  })

  async function bash(line: string): Promise<string> {
    const environment = { PATH: `${join(place, "bin")}:${process.env.PATH}`, HOME: join(place, "home") }
    const { stdout } = await run("bash", ["-c", line], { cwd: join(place, "desk"), env: environment })
    return stdout
  }

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
    await writeFile(join(place, "desk/params"), '# a comment\n"two words" three\n\nfour five\n')
    const id = await submitted("oarsub --array-param-file params printf '[%s]'")
    await bash(`cah wait ${id}`)
    assert.equal(await bash(`cah logs ${id}.0; cah logs ${id}.1`), "[two words][three][four][five]")
  })

  test("submits a script whose directives are flags, and whose directory goes along", async () => {
    await mkdir(join(place, "desk/scene"))
    await writeFile(join(place, "desk/scene/a.txt"), "content")
    await writeFile(join(place, "desk/scene/b.o"), "object")
    await writeFile(join(place, "desk/scene/.cahignore"), "*.o\n")
    const text = "#!/bin/bash\n#OAR -n scripted -l /nodes=1/core=1,walltime=0:05:00\n#CAH -s scene\n"
    await writeFile(join(place, "desk/job.sh"), `${text}echo "$OAR_JOB_NAME $OAR_JOB_WALLTIME $1: $(ls -A)"\n`)
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
    assert.equal(await bash(`oarresume ${first}`), `[${first}] Resume request was taken.\n`)
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
})
