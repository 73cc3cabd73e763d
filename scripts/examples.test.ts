// Each example against a real hub and a real agent, as a reader would run it. What it prints is what its comments promise.
import assert from "node:assert/strict"
import { spawn, spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, describe, it } from "node:test"
import { Hub } from "../harness/hub.ts"
import { end, type Program, ready, start } from "../harness/processes.ts"
import { wallFlags } from "../harness/walls.ts"
import { root } from "./files.ts"

/** One example. Each takes seconds; the first call of Python compiles the protocol. */
const EXAMPLE_MAX_MS = 90_000

const works = (program: string, ...args: string[]): boolean => spawnSync(program, args).status === 0

/** The compiler is of no use without Google's own .proto files, which are a package of their own. */
function makesStubs(): boolean {
  const job = ["-I", join(root, "proto"), "--descriptor_set_out=/dev/null", "cah/v1/job.proto"]
  return works("protoc", ...job) && works("sh", "-c", "test -x /usr/bin/grpc_python_plugin")
}

/** The one of Debian's packages first: another python3 on the path does not see them. */
const python = ["/usr/bin/python3", "python3"].find(one => works(one, "-c", "import grpc, google.protobuf"))
const noPython =
  python === undefined
    ? "no python3 with grpc: apt-get install python3-grpcio python3-protobuf"
    : !makesStubs()
      ? "nothing makes Python's stubs: apt-get install protobuf-compiler protobuf-compiler-grpc libprotobuf-dev"
      : false
const noAgent =
  noPython !== false
    ? noPython
    : works(python!, "-c", "import websockets, cryptography")
      ? false
      : "no websockets for Python: apt-get install python3-websockets python3-cryptography"
const noCurl = works("curl", "--version") && works("jq", "--version") ? false : "apt-get install curl jq"

describe("an example", () => {
  let place: string
  let hub: Hub
  let agent: Program

  before(async () => {
    place = await mkdtemp(join(tmpdir(), "cah-examples-"))
    hub = await Hub.start(join(place, "hub"), join(place, "hub.log"))
    const { secret } = await hub.ask<{ secret: string }>("OperatorService/CreateEnrolment", { account: "me", uses: 1 })
    const flags = ["--hub", hub.url, "--enroll", secret, "--state", join(place, "agent"), "--name", "home"]
    flags.push(...(await wallFlags(place, line => process.stderr.write(`${line}\n`))))
    agent = start("agent", ["agent/bin/cah-agent.mjs", ...flags, "--slots", "2"], {}, join(place, "agent.log"))
    await ready(agent, async () => {
      const { nodes = [] } = await hub.ask<{ nodes?: { state: string }[] }>("ScientistService/ListNodes", {})
      return nodes.some(node => node.state === "NODE_STATE_ONLINE") ? true : null
    })
  })

  after(async () => {
    await end([agent])
    await end([hub.program])
    await rm(place, { recursive: true, force: true })
  })

  /** What it printed, when it ended well. */
  function run(program: string, args: readonly string[], token = hub.token): Promise<Ended> {
    const env = { ...process.env, CAH_HUB: hub.url, CAH_TOKEN: token }
    const child = spawn(program, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"], timeout: EXAMPLE_MAX_MS })
    const ended: Ended = { code: null, stdout: "", stderr: "" }
    child.stdout.setEncoding("utf8").on("data", (text: string) => (ended.stdout += text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (ended.stderr += text))
    return new Promise((resolve, reject) => {
      child.once("error", reject)
      child.once("close", code => resolve({ ...ended, code }))
    })
  }

  it("in Python sends its input, watches, and reads outputs and files", { skip: noPython }, async () => {
    const { code, stdout, stderr } = await run(python!, ["examples/python/campaign.py"])
    assert.equal(code, 0, stderr)
    assert.match(stdout, /^I am .* at http:\/\//)
    assert.match(stdout, /^finished 8 of 8$/m)
    assert.match(stdout, /^pi is about 3\.1\d{3}$/m)
    assert.match(stdout, /^job 0 wrote \['darts.txt'\] 0 \d+$/m)
  })

  it("in Python says in a line what the hub would not do", { skip: noPython }, async () => {
    const { code, stderr } = await run(python!, ["examples/python/campaign.py"], "cah_wrong")
    assert.equal(code, 1)
    assert.match(stderr, /^the hub said UNAUTHENTICATED: .+$/m)
    assert.doesNotMatch(stderr, /Traceback/)
  })

  it("S24: in Python is an agent, written from proto/README.md, that brings inputs in and results back", {
    skip: noAgent,
  }, async () => {
    const { secret } = await hub.ask<{ secret: string }>("OperatorService/CreateEnrolment", { account: "me", uses: 1 })
    const snake = spawn(python!, ["examples/python/agent.py", hub.url, join(place, "snake")], {
      cwd: root,
      env: { ...process.env, CAH_ENROLL: secret },
      stdio: ["ignore", "pipe", "inherit"],
    })
    try {
      const input = randomBytes(300_000)
      await writeFile(join(place, "input"), input)
      const order = ["--stagein", join(place, "input"), "-p", "agent = 'python'", "--wait", "--get", join(place, "got")]
      const said = await run(process.execPath, [
        "client/bin/cah.mjs",
        "sub",
        ...order,
        "cat input input > twice; echo said",
      ])
      assert.equal(said.code, 0, said.stderr)
      const twice = await readFile(join(place, "got", "twice"))
      assert.ok(twice.equals(Buffer.concat([input, input])))
    } finally {
      const gone = once(snake, "close")
      snake.kill()
      await gone
    }
  })

  it("in curl submits once for two calls, watches, and unpacks a result", { skip: noCurl }, async () => {
    const { code, stdout, stderr } = await run("bash", ["examples/curl/campaign.sh"])
    assert.equal(code, 0, stderr)
    assert.match(stdout, /^5 of 5 finished$/m)
    for (const n of [0, 1, 2, 3, 4]) assert.match(stdout, new RegExp(`^job ${n}: OUTCOME_FINISHED ${n * n}$`, "m"))
    assert.match(stdout, /\n9\n$/)
  })

  it("in curl ends with the hub's own words when it is refused", { skip: noCurl }, async () => {
    const { code, stderr } = await run("bash", ["examples/curl/campaign.sh"], "cah_wrong")
    assert.notEqual(code, 0)
    assert.match(stderr, /WhoAmI: \{"code":"unauthenticated"/)
  })

  it("in the library runs from its first cell to its last", async () => {
    const { code, stdout, stderr } = await run(process.execPath, ["--import", "tsx", "examples/notebook/campaign.mjs"])
    assert.equal(code, 0, stderr)
    assert.match(stdout, /^finished 6 of 6$/m)
    assert.match(stdout, /^0\.5 +0 %$/m)
    assert.match(stdout, /^5\.0 █{30,40} * (9\d|100) %$/m)
  })

  it("in the library ends with the code of cah when it is refused", async () => {
    const notebook = ["--import", "tsx", "examples/notebook/campaign.mjs"]
    const { code, stderr } = await run(process.execPath, notebook, "cah_wrong")
    assert.equal(code, 4)
    assert.match(stderr, /^permission_denied|^unauthenticated|^denied/)
  })
})

interface Ended {
  code: number | null
  stdout: string
  stderr: string
}
