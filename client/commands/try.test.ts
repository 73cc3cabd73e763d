// cah try with the real agent's program: jobs of arrays, tables, scripts and graphs, what is reported of them, and what is refused before
// anything runs. No hub anywhere.
import assert from "node:assert/strict"
import { execFileSync, spawnSync } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { before, describe, test } from "node:test"
import { cah, type Place, place, program, start } from "../spawning.ts"

describe("cah try", { concurrency: 2 }, () => {
  let where: Place
  before(() => {
    where = place()
    mkdirSync(join(where.cwd, "study"))
    writeFileSync(join(where.cwd, "study", "in.txt"), "input")
    writeFileSync(join(where.cwd, "points.csv"), "x,y\n1,2\n3,4\n")
    writeFileSync(
      join(where.cwd, "job.sh"),
      "#!/bin/sh\n#CAH --array 5 -n scripted\necho $CAH_JOB_NAME $CAH_ARRAY_INDEX $1\n",
    )
    writeFileSync(join(where.cwd, "g.yaml"), "jobs:\n  a: {command: echo one}\n  b: {command: echo two, after: a}\n")
  })

  const table: readonly (readonly [args: readonly string[], code: number, stdout: string, stderr: RegExp])[] = [
    [
      ["-s", "study", "--array", "9", "--index", "7", "cat in.txt; echo $CAH_ARRAY_INDEX > i"],
      0,
      "input",
      /^Job 7 of 9 finished: exit code 0, .*\n1 file would come back, 2 B:\n +2 B {2}i\n/,
    ],
    [
      ["--csv", "points.csv", "--index", "1", "echo $CAH_P_x-$CAH_P_y"],
      0,
      "3-4\n",
      /Job 1 of 2 finished[\s\S]*Nothing would come back/,
    ],
    [["-S", "./job.sh", "arg"], 0, "scripted 0 arg\n", /Job 0 of 5 finished/],
    [["-f", "g.yaml", "--job", "b"], 0, "two\n", /The job finished/],
    [["-t", "besteffort", "--notify", "https://x.org", "--after", "12", "true"], 0, "", /The job finished/],
    [
      ["exit 7"],
      1,
      "",
      /The job failed: exit code 7[\s\S]*Mind: it ran on[\s\S]*cah: The job failed with exit code 7\.\n {5}Nothing was submitted/,
    ],
    [
      ["./nothing"],
      1,
      "",
      /exit code 127[\s\S]*Exit 127: there is no such program on the node: bring it along with --stagein/,
    ],
    [["--propagate", "exit 7"], 7, "", /exit code 7/],
    [["--walltime", "1s", "sleep 60"], 1, "", /ran into its walltime/],
    [["--sandbox", "none", "true"], 0, "", /Mind: it ran without a sandbox \(so asked for\)/],
    [["-f", "g.yaml"], 2, "", /several jobs: which\?[\s\S]*--job a/],
    [["-f", "g.yaml", "--job", "c"], 2, "", /no job "c" in the file[\s\S]*a, b/],
    [["--job", "a", "true"], 2, "", /this is no graph/],
    [["--index", "1", "true"], 2, "", /--index: 1 is out of range/],
    [["--gather", "12", "true"], 2, "", /cah get 12 -d gathered && cah try -s gathered/],
    [["-s", `sha256:${"0".repeat(64)}`, "true"], 2, "", /is at the hub, and is not fetched here/],
    [["-s", "nowhere", "true"], 7, "", /nowhere: there is no such file/],
    [["--get", "study", "true"], 2, "", /study is there already/],
    [["--sandbox", "jail", "true"], 2, "", /"jail" is not a sandbox/],
    [["--wait", "true"], 2, "", /Unknown option '--wait'/],
    [[], 2, "", /no command to run/],
  ]
  for (const [args, code, stdout, stderr] of table) {
    test(`cah try ${args.join(" ")}`.slice(0, 80), async () => {
      const done = await cah(where, ["try", ...args])
      assert.match(done.stderr, stderr)
      assert.deepEqual([done.stdout, done.code], [stdout, code])
    })
  }

  test("puts what would come back where it is wanted, and reports for programs with the job's own words on stderr", async () => {
    const args = ["--get", "tried/it", "-o", "json", "--stageout", "*.out", "echo hello; echo a > a.out; echo b > b"]
    const done = await cah(where, ["try", ...args])
    const { outcome, files, remarks } = JSON.parse(done.stdout)
    assert.deepEqual([outcome, files, done.stderr], ["finished", [{ path: "a.out", sizeBytes: 2 }], "hello\n"])
    assert.ok(remarks.length >= 2)
    assert.deepEqual(readdirSync(join(where.cwd, "tried", "it")), ["a.out"])
    assert.equal(readFileSync(join(where.cwd, "tried", "it", "a.out"), "utf8"), "a\n")
  })

  test("says so when there is no agent's program", async () => {
    const done = await cah(where, ["try", "true"], { CAH_AGENT: "/nowhere/cah-agent" })
    assert.deepEqual([done.code, done.stdout], [1, ""])
    assert.match(
      done.stderr,
      /There is no program \/nowhere\/cah-agent here\.\n {5}Install the agent, or name it: CAH_AGENT/,
    )
  })

  test("F21: says that what the job wrote could not be passed on, and fails", () => {
    const line = `"$1" "$2" try -- 'echo told >&2; echo lost' > /dev/full`
    const { status, stderr } = spawnSync("/bin/sh", ["-c", line, "sh", process.execPath, program], {
      cwd: where.cwd,
      encoding: "utf8",
      env: { PATH: process.env.PATH, HOME: where.home },
    })
    assert.equal(status, 1)
    assert.match(stderr, /could not be written\. There is no space left.*\n {5}Make room/)
  })

  test("ends the job here when its reader leaves", async () => {
    const [temporary, fifo] = [join(where.home, "tmp"), join(where.home, "fifo")]
    mkdirSync(temporary)
    execFileSync("mkfifo", [fifo])
    // The job holds it open: its end is the end of all that the job started.
    const script = `exec 3>${fifo}; while echo y; do sleep 0.01; done`
    const running = start(where, ["try", "--sandbox", "none", script], { TMPDIR: temporary })
    running.child.stdout?.once("data", () => running.child.stdout?.destroy())
    await readFile(fifo)
    assert.equal((await running.done).code, 0)
    assert.deepEqual(
      readdirSync(temporary).filter(name => name.startsWith("cah-")),
      [],
    )
  })
})
