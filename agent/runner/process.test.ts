// Real processes, without walls and, where bubblewrap works, behind them.
import assert from "node:assert/strict"
import { type ChildProcess, spawn } from "node:child_process"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { mkdir } from "node:fs/promises"
import { createServer } from "node:net"
import { join } from "node:path"
import { test } from "node:test"
import { readProcess } from "../../common/processes.ts"
import { name, scratch, spec } from "../fixtures.ts"
import { openWorkplace } from "../workplace.ts"
import { openRunners } from "./fixtures.ts"
import { processRunner } from "./process.ts"
import { closeInherited } from "./processes.ts"
import { prepareSandbox, type Sandbox } from "./sandbox.ts"

closeInherited()
const { home, place, sandbox, unavailable, runners, begin } = await openRunners()
const dead = (pid: number): boolean => readProcess(pid)?.zombie ?? true

for (const [kind, runner, skip] of runners) {
  const real = { skip }

  test(`${kind}, a command runs in its directory, with its output, its exit code and its time`, real, async () => {
    const run = await begin(
      runner,
      { command: ["cat in; pwd >&2; echo made > out; echo $OAR_JOB_INDEX; exit 3"] },
      { in: "given " },
    )
    const exit = await run.ended
    assert.equal(exit.exitCode, 3)
    assert.equal(exit.message, "")
    assert.match(run.output.stdout, /^given \d+\n$/)
    assert.equal(run.output.stderr, skip === false && kind === "in the sandbox" ? "/work\n" : `${run.work}\n`)
    assert.equal(readFileSync(join(run.work, "out"), "utf8"), "made\n")
    assert.ok(exit.runMs > 0 && exit.runMs < 10_000)
  })

  test(
    `${kind}, stdin is empty, arguments arrive as they are, and the node file names the node once a slot`,
    real,
    async () => {
      const run = await begin(runner, {
        command: ["/bin/sh", "-c", 'cat; echo "$1|$2"; cat $OAR_NODEFILE', "sh", "a  b"],
        line: "c d",
      })
      assert.equal((await run.ended).exitCode, 0)
      assert.equal(run.output.stdout, "a  b|c\nattic\nattic\n")
    },
  )

  test(`${kind}, a command that is not there, or may not run, ends as a shell would say`, real, async () => {
    const missing = await (await begin(runner, { command: ["no-such-program", "x"] })).ended
    assert.equal(missing.exitCode, 127)
    assert.equal(missing.message, "no-such-program: command not found on this node")
    const forbidden = await (await begin(runner, { command: ["/etc/passwd", "x"] })).ended
    assert.equal(forbidden.exitCode, 126)
    const empty = await (await begin(runner, { command: [] })).ended
    assert.equal(empty.message, "the command is empty")
  })

  test(`${kind}, a command that dies of a signal has its exit code say so`, real, async () => {
    assert.equal((await (await begin(runner, { command: ["kill -SEGV $$"] })).ended).exitCode, 128 + 11)
  })

  test(`${kind}, stop lets a command end in its own way within the grace`, real, async () => {
    const run = await begin(runner, {
      command: ['trap "echo saved > state; exit 9" TERM; echo ready; while :; do sleep 0.05; done'],
    })
    await run.said("ready")
    run.stop(300)
    run.stop(300)
    assert.equal((await run.ended).exitCode, 9)
    assert.ok(existsSync(join(run.work, "state")))
  })

  test(`${kind}, a command that ignores TERM is killed after the grace`, real, async () => {
    const run = await begin(runner, { command: ['trap "" TERM; echo ready; while :; do sleep 0.05; done'] })
    await run.said("ready")
    run.stop(300)
    assert.equal((await run.ended).exitCode, 137)
  })

  test(`${kind}, of two stops the one whose grace is over first counts`, real, async () => {
    const run = await begin(runner, { command: ['trap "" TERM; echo ready; while :; do sleep 0.05; done'] })
    await run.said("ready")
    run.stop(600_000)
    run.stop(1)
    assert.equal((await run.ended).exitCode, 137)
  })

  test(`${kind}, stop in the turn of the start still stops`, real, async () => {
    const run = await begin(runner, { command: ["sleep 60"] })
    run.stop(300)
    assert.notEqual((await run.ended).exitCode, 0)
  })

  test(`${kind}, background children, also in sessions of their own, end with the command`, real, async () => {
    // Each writes on for as long as it lives.
    const script = `
      (while :; do echo x >> plain; sleep 0.01; done) >/dev/null 2>&1 &
      setsid sh -c 'while :; do echo x >> session; sleep 0.01; done' >/dev/null 2>&1 &
      (setsid setsid sh -c 'trap "" TERM HUP; while :; do echo x >> doubled; sleep 0.01; done' &) &
      until [ -s plain ] && [ -s session ] && [ -s doubled ]; do sleep 0.01; done
      exit 4`
    const run = await begin(runner, { command: [script] })
    assert.equal((await run.ended).exitCode, 4)
    const sizes = () => ["plain", "session", "doubled"].map(file => readFileSync(join(run.work, file)).length)
    const after = sizes()
    // Any of them alive would have written within this many turns of a sleep of 10 ms.
    await (await begin(runner, { command: ["sleep 0.2"] })).ended
    assert.deepEqual(sizes(), after)
  })

  test(`${kind}, a command that forks without end is ended`, real, async () => {
    const run = await begin(runner, {
      command: [
        'f() { trap "" TERM; i=0; while [ $i -lt 40 ]; do (setsid sleep 30 & ) ; i=$((i+1)); done; echo forked; sleep 30; }; f',
      ],
    })
    await run.said("forked")
    run.stop(300)
    await run.ended
    assert.equal(await runner.killLeftovers(place.root), 0, "nothing is left")
  })

  test(`${kind}, processor time and memory are measured, children included`, real, async () => {
    const exit = await (
      await begin(runner, {
        command: [
          "sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'; head -c 60000000 /dev/zero | tail -c 60000000 | wc -c; sleep 0.2",
        ],
      })
    ).ended
    assert.ok(exit.cpuMs > 50, `${exit.cpuMs} ms`)
    assert.ok(exit.cpuMs <= exit.runMs * 4, `${exit.cpuMs} of ${exit.runMs} ms`)
    assert.ok(exit.peakMemoryBytes > 1e6, `${exit.peakMemoryBytes} bytes`)
  })

  test(`${kind}, a flood of output is taken at the pace it can be kept`, real, async () => {
    const run = await begin(runner, { command: ["head -c 3000000 /dev/zero | tr '\\0' x"] })
    assert.equal((await run.ended).exitCode, 0)
    assert.equal(run.output.stdout.length, 3_000_000)
  })

  test(`${kind}, kill -9 of the agent leaves nothing of the job after its next start`, real, async () => {
    const state = scratch()
    const child = agentLife(state, kind === "in the sandbox" ? await prepareSandbox(state) : null)
    const pids = await new Promise<number[]>((resolve, reject) => {
      let said = ""
      child.stdout!.on("data", chunk => {
        said += String(chunk)
        const found = /pids( \d+)+\n/.exec(said)
        if (found) resolve(found[0].trim().split(" ").slice(1).map(Number))
      })
      child.once("exit", () => reject(new Error(`the agent's stand-in ended: ${said}`)))
    })
    const gone = new Promise(resolve => child.once("exit", resolve))
    child.kill("SIGKILL")
    await gone
    const attempts = (await openWorkplace(state)).root
    await runner.killLeftovers(attempts)
    for (const pid of pids) assert.ok(dead(pid), `${pid} lives`)
    assert.equal(await runner.killLeftovers(attempts), 0)
  })
}

/** A process that runs a job as an agent does, and tells the pids of all that belongs to it. */
function agentLife(state: string, sandbox: Sandbox | null): ChildProcess {
  const program = `
    import { processRunner } from ${JSON.stringify(join(import.meta.dirname, "process.ts"))}
    import { descendants } from ${JSON.stringify(join(import.meta.dirname, "processes.ts"))}
    import { mkdirSync } from "node:fs"
    const directory = ${JSON.stringify(join(state, "attempts", "12.7-2"))}
    mkdirSync(directory + "/work", { recursive: true })
    const command = ['(setsid sh -c "trap : TERM HUP; while :; do sleep 0.1; done" &) ; trap : TERM HUP; echo ready; while :; do sleep 0.1; done']
    processRunner({ node: "attic", sandbox: ${JSON.stringify(sandbox)}, pipes: ${JSON.stringify(join(state, "pipes"))} }).start({
      name: ${JSON.stringify(name)}, spec: { ...${JSON.stringify(spec())}, command }, directory, work: directory + "/work",
      onOutput: async (_, bytes) => console.log("pids " + descendants(process.pid).slice(1).join(" ")),
    })`
  return spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  })
}

test("without walls, a child that left session and environment behind is remembered from before its parent ended", async () => {
  const script = `
    setsid env -i sh -c 'while :; do echo x >> left; sleep 0.01; done' >/dev/null 2>&1 &
    until [ -s left ]; do sleep 0.01; done
    sleep 0.3`
  const run = await begin(runners[0]![1], { command: [script] })
  assert.equal((await run.ended).exitCode, 0)
  const size = readFileSync(join(run.work, "left")).length
  await (await begin(runners[0]![1], { command: ["sleep 0.2"] })).ended
  assert.equal(readFileSync(join(run.work, "left")).length, size)
})

test("a shell that merely stands in a job's directory is left alone", async () => {
  const run = await begin(runners[0]![1], { command: ["sleep 0.2"] })
  const bystander = spawn("sleep", ["60"], { cwd: run.work, stdio: "ignore" })
  const gone = new Promise(resolve => bystander.once("exit", (_, by) => resolve(by)))
  await run.ended
  assert.equal(dead(bystander.pid!), false)
  bystander.kill("SIGTERM")
  assert.equal(await gone, "SIGTERM")
})

// ---- the walls ----

const walled = { skip: unavailable ?? false }
const sandboxed = runners[1]![1]

test("in the sandbox a job is nobody, sees only its own processes, and has no capabilities", walled, async () => {
  const run = await begin(sandboxed, {
    command: ["id -u; id -un; ls -d /proc/[0-9]* | wc -l; grep CapEff /proc/self/status; cat /etc/passwd | wc -l"],
  })
  assert.equal((await run.ended).exitCode, 0)
  const [uid, user, processes, capabilities, users] = run.output.stdout.split("\n")
  assert.deepEqual([uid, user, users], ["65534", "nobody", "2"])
  assert.ok(Number(processes) < 10)
  assert.match(capabilities!, /0000000000000000$/)
})

test("in the sandbox there is no network: not the host's loopback, not its sockets", walled, async () => {
  const server = createServer(socket => socket.end("reached")).listen(0, "127.0.0.1")
  await new Promise(resolve => server.once("listening", resolve))
  const { port } = server.address() as { port: number }
  const run = await begin(sandboxed, {
    command: [
      "bash",
      "-c",
      `ls /sys/class/net 2>/dev/null; cat /proc/net/dev | tail -n +3 | wc -l; exec 5<>/dev/tcp/127.0.0.1/${port} && cat <&5`,
    ],
  })
  assert.notEqual((await run.ended).exitCode, 0)
  assert.doesNotMatch(run.output.stdout, /reached/)
  assert.match(run.output.stdout, /^1\n/)
  server.close()
})

test(
  "in the sandbox nothing of the host can be read that is not the system's, and nothing written but its own",
  walled,
  async () => {
    const secret = join(home, "secret")
    writeFileSync(secret, "secret")
    const script = `cat ${secret} /etc/shadow /root/.bashrc; ls /home /var /run/user; for d in / /usr /etc /usr/bin /run; do touch $d/x 2>/dev/null && echo wrote $d; done; (exec 3>>/proc/sys/kernel/core_pattern) 2>/dev/null && echo wrote sysctl; (exec 3>>/proc/sysrq-trigger) 2>/dev/null && echo wrote sysrq; touch /tmp/x /dev/shm/x /work/x && echo fine`
    const run = await begin(sandboxed, { command: [script] })
    await run.ended
    assert.doesNotMatch(run.output.stdout, /secret|root:/)
    assert.doesNotMatch(run.output.stdout, /wrote/)
    assert.match(run.output.stdout, /fine\n$/)
  },
)

test("a job's LD_PRELOAD is loaded inside the sandbox only", walled, async () => {
  const run = await begin(sandboxed, { command: ["true", "x"], env: { LD_PRELOAD: "./none.so" } })
  assert.equal((await run.ended).exitCode, 0)
  const complaints = run.output.stderr.split("\n").filter(line => line.includes("none.so"))
  assert.equal(complaints.length, 1, "once, by the command; bwrap did not see it")
})

test("a job gets no descriptor of the agent's", walled, async () => {
  const run = await begin(sandboxed, { command: ["/bin/ls", "/proc/self/fd"] })
  await run.ended
  assert.deepEqual(run.output.stdout.trim().split("\n"), ["0", "1", "2", "3"], "3 is ls's own, of the directory")
})

test("in the sandbox no file grows beyond the disk that was asked for, and nothing dumps core", walled, async () => {
  const run = await begin(sandboxed, {
    command: ["ulimit -c; head -c 3000000 /dev/zero > big; wc -c < big"],
    needs: { slots: 1, memoryBytes: 0, diskBytes: 1_000_000 },
  })
  await run.ended
  assert.deepEqual(run.output.stdout, "0\n1000000\n")
})

test("Debian's POV-Ray renders in the sandbox", {
  skip: unavailable ?? (!existsSync("/usr/bin/povray") && "povray is not installed"),
}, async () => {
  const scene = "camera{location<0,0,-3> look_at 0} light_source{<2,4,-3> 1} sphere{0,1 pigment{rgb<1,.5,0>}}\n"
  const run = await begin(
    sandboxed,
    { command: ["povray +Iscene.pov +Oframe.png +W32 +H18 -D"] },
    { "scene.pov": scene },
  )
  const exit = await run.ended
  assert.equal(exit.exitCode, 0, run.output.stderr.slice(-500))
  assert.equal(readFileSync(join(run.work, "frame.png")).subarray(1, 4).toString(), "PNG")
})

test("a sandbox that cannot be set up is told as such, not as the job's failure", walled, async () => {
  const broken = processRunner({
    node: "attic",
    sandbox: { ...sandbox!, etc: join(home, "missing") },
    pipes: join(home, "broken"),
  })
  await mkdir(home, { recursive: true })
  const exit = await (await begin(broken, { command: ["true"] })).ended
  assert.equal(exit.exitCode, 126)
  assert.match(exit.message, /sandbox could not be set up: bwrap: /)
})
