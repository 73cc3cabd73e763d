// Verbs that look after nodes, tokens, contexts and what the hub keeps, one run a line and one after the other, since some change what the
// next ones see; forms of output and selectors; and the help of every verb. Against the fake hub, good and bad.
import assert from "node:assert/strict"
import { readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { after, before, describe, test } from "node:test"
import { create } from "@bufbuild/protobuf"
import type { Command } from "commander"
import { NodeSchema, NodeState, Outcome } from "../proto/gen/cah/v1/job_pb.ts"
import { Without } from "../proto/gen/cah/v1/scientist_pb.ts"
import { FakeHub } from "./fakehub.ts"
import { inside, type Place, place } from "./spawning.ts"
import { wholeTree } from "./tree.ts"

const endings = [
  { stdout: "hello\n", stderr: "grumble\n" },
  { outcome: Outcome.FAILED, exitCode: 3, message: "boom" },
  { outcome: Outcome.FAILED, exitCode: 3, message: "boom" },
] as const

describe("one run, one line of this table, in this order", () => {
  let hub: FakeHub
  let where: Place
  before(async () => {
    hub = await FakeHub.start()
    where = place(hub)
    hub.add({ name: "mixed" }, 3, index => endings[index])
    hub.add({ name: "under way" }, 2, () => undefined)
    hub.add({ name: "single" }, 1, () => ({ stdout: "one" }))
    hub.add({ name: "old" }, 1, () => ({}))
    hub.keep(Buffer.from("an input"))
    hub.keep(Buffer.from("more"))
    for (const id of ["n2", "n3"]) {
      hub.nodes.push(
        create(NodeSchema, {
          ...{ id, name: "attic", state: NodeState.AWAY, properties: { arch: "x86_64" } },
          ...(id === "n2" ? { account: "volunteer:1", host: 7n, network: "192.0.2.0/24" } : {}),
        }),
      )
    }
    hub.explanation = {
      sentence: "all are busy.",
      jobsAhead: 4n,
      obstacles: [{ lacks: "4 slots free", nodes: 3 }],
      remedies: [
        { change: "-l mem=6G", nodes: 3, what: { case: "needs", value: { memoryBytes: 6n * 1024n ** 3n } } },
        { change: "without -t besteffort", what: { case: "without", value: Without.BEST_EFFORT } },
        { change: "-p 'as an older hub says it'" },
      ],
    }
  })
  after(() => hub.stop())

  const table: readonly [args: string, code: number, stdout: RegExp, stderr: RegExp][] = [
    ["ls @mixed --jobs -o quiet", 0, /^1\.0\n1\.1\n1\.2\n$/, /^$/],
    ["ls @mixed.1 -o quiet", 0, /^1\.1\n$/, /^$/],
    ["ls @nobody", 3, /^$/, /no campaign called "nobody"[\s\S]*cah ls --all/],
    ["ls --all -o csv", 0, /^id,name,owner,counts\.total,[\s\S]*\r\n3,single,ada,1,/, /^$/],
    ["ls 1 --jobs --state failed -o yaml", 0, /^jobs:\n {2}- id:\n {6}campaign: "1"\n {6}index: 1/, /^$/],
    ["show 1.1 -o csv", 0, /^job\.id\.campaign,[\s\S]*boom/, /^$/],
    ["version -o csv", 0, /^client,node\r\n\d/, /^$/],
    ["progress", 0, /^under way {2}░+ 0\/2 {2}queued\n$/, /^$/],
    ["progress 1", 0, /^mixed {2}█+ 3\/3 {2}failed {2}fail 2\n$/, /^$/],
    ["progress 1 -o quiet", 0, /^100\n$/, /^$/],
    ["progress 1.0", 2, /^$/, /progress is a campaign's/],
    [
      "explain 2",
      0,
      /^2: all are busy\.\n4 ready jobs go first[\s\S]*NODES {2}LACK\n {4}3 {2}4 slots free[\s\S]*cah del 2 && cah resub 2 -l mem=6G +# 3 nodes\n {2}cah del 2 && cah resub 2 --without besteffort\n {2}-p 'as an older hub says it'\n$/,
      /^$/,
    ],
    ["explain 2.7", 3, /^$/, /no job 2\.7/],
    ["explain 1-2", 2, /^$/, /more than one/],
    ["hold 2.0", 0, /^Campaign 2: 1 job held\.\n$/, /^$/],
    ["resume 2.0", 0, /^Campaign 2: 1 job goes on\.\n$/, /^$/],
    ["hold 99", 3, /^$/, /no campaign 99/],
    ["forget 2", 6, /^$/, /Campaign 2 has not ended\. Nothing was removed[\s\S]*cah del 2/],
    ["forget 1.0", 2, /^$/, /forgotten as a whole/],
    ["forget all", 2, /^$/, /nobody is there to be asked[\s\S]*--yes/],
    ["forget 4", 0, /^Campaign 4 is forgotten\.\n$/, /^$/],
    ["cache", 0, /^DIGEST +SIZE[\s\S]*sha256:/, /2 stageins, 12 B/],
    ["cache ls -o quiet", 0, /^sha256:[0-9a-f]{64}\n/, /^$/],
    ["cache rm", 2, /^$/, /Which stagein/],
    ["cache rm zzzz", 2, /^$/, /"zzzz" is not a digest/],
    ["cache rm 00000000", 3, /^$/, /no stagein 00000000 of yours/],
    ["cache rm --older soon", 2, /^$/, /--older: "soon"/],
    ["cache rm --older 30d", 0, /^2 stageins removed, 12 B\.\n$/, /^$/],
    ["cache frob", 2, /^$/, /Unknown command 'frob' of cah cache[\s\S]*ls, rm/],
    ["nodes show attic", 2, /^$/, /2 nodes are called "attic"[\s\S]*n2, n3/],
    ["nodes show n2", 0, /Node +n2[\s\S]*arch +x86_64/, /^$/],
    ["nodes show n2", 0, /Account +volunteer:1\nComputer +7 of that volunteer\nNetwork +192\.0\.2\.0\/24\n/, /^$/],
    ["nodes show nobody", 3, /^$/, /There is no node "nobody"[\s\S]*cah nodes/],
    ["nodes drain n2", 0, /^attic \(n2\) is drained\.\n$/, /^$/],
    ["nodes release n2", 0, /^attic \(n2\) is released\.\n$/, /^$/],
    ["nodes undrain n2", 0, /^attic \(n2\) is undrained\.\n$/, /^$/],
    ["nodes revoke n2", 2, /^$/, /nobody is there to be asked[\s\S]*--yes/],
    ["nodes revoke n3 -y", 0, /^attic \(n3\) is revoked\.\n$/, /^$/],
    ["nodes forget n3 -y", 0, /^attic \(n3\) is forgotten\.\n$/, /^$/],
    ["nodes show n3", 3, /^$/, /no node "n3"/],
    ["nodes frob", 2, /^$/, /Unknown command 'frob' of cah nodes/],
    ["admin", 2, /^$/, /Which verb\?/],
    ["admin frob", 2, /^$/, /Unknown command 'frob'/],
    [
      "admin token create ada --scopes read,admin --for 90d",
      0,
      /^cah_token0_secret\n$/,
      /Token token0 of ada, to read, admin, good until 2024-02.*not shown again/,
    ],
    [
      "admin token create ada --scopes everything",
      2,
      /^$/,
      /"everything" is not a scope[\s\S]*read, submit, cancel, admin/,
    ],
    [
      "admin backup",
      0,
      /^Backup 2026-12-01T10-00-00Z: 3 campaigns, 2 blobs of 1\.2 kB \(700 B new\), in \/backups\//,
      /^$/,
    ],
    ["admin backup --keep 1", 0, /^Backup 2026/, /^Removed: older\n$/],
    ["admin backup --keep 0", 2, /^$/, /--keep/],
    ["admin token create", 2, /^$/, /principal/],
    ["admin token ls", 0, /token0 +ada +read, admin/, /^$/],
    ["admin token revoke token0", 0, /^Token token0 is revoked\.\n$/, /^$/],
    ["admin token revoke nothing", 3, /^$/, /no token nothing/],
    [
      "admin enrol lab --uses 10 --for 1d",
      0,
      /^cah-agent --hub http:\S+ --enroll cahjoin_lab_10\n$/,
      /Good for 10 agents of lab, until/,
    ],
    ["admin enrol -o quiet", 0, /^cahjoin_ada_1\n$/, /^$/],
    ["admin enrol --uses none", 2, /^$/, /--uses: "none"/],
    ["admin enrol --for ever", 2, /^$/, /--for: "ever" is not a duration/],
    ["admin share set ada 2.5", 0, /^The share of ada is 2\.5\.\n$/, /^$/],
    ["admin share set ada much", 2, /^$/, /"much" is not a share/],
    ["admin share set ada 2000", 2, /^$/, /from 0\.001 to 1000/],
    ["admin share ls", 0, /ada +2\.5 +1m 30s +2/, /^$/],
    ["config list", 0, /^SETTING +VALUE\nhub +http:/, /^$/],
    [
      "config list --origin",
      0,
      /hub +http:\S+ +the last login\noutput +table +default[\s\S]*config\.toml +not there/,
      /^$/,
    ],
    ["context", 0, /http:\S+ +yes +login/, /^$/],
    [
      "context add lab https://lab.example.org --insecure",
      0,
      /^lab is https:\/\/lab\.example\.org\.\n$/,
      /cah login --hub lab/,
    ],
    ["context add lab https://other.example.org", 6, /^$/, /lab is https:\/\/lab\.example\.org already/],
    ["context add 9 https://x.org", 2, /^$/, /"9" is not a name/],
    ["context add far lab.example.org", 2, /^$/, /not a hub's URL/],
    ["context ls -o quiet", 0, /^lab\nhttp:/, /^$/],
    ["context use nowhere", 2, /^$/, /no context "nowhere"[\s\S]*lab/],
    ["context rm lab", 0, /^lab is forgotten\.\n$/, /^$/],
    ["context rm lab", 2, /^$/, /no context "lab"/],
  ]
  for (const [args, code, stdout, stderr] of table) {
    test(`cah ${args}`, async () => {
      const done = await inside(
        where,
        args.split(" ").filter(word => word !== ""),
      )
      assert.match(done.stderr, stderr)
      assert.match(done.stdout, stdout)
      assert.equal(done.code, code)
    })
  }

  test("a token's secret goes into a new file of mode 0600, unseen, and never over another", async () => {
    const file = join(where.home, "ada.token")
    const args = ["admin", "token", "create", "ada", "--file", file]
    const done = await inside(where, args)
    assert.equal(done.code, 0, done.stderr)
    const secret = readFileSync(file, "utf8").trim()
    assert.match(secret, /^cah_token\d_secret$/)
    assert.ok(!`${done.stdout}${done.stderr}`.includes(secret))
    assert.equal(statSync(file).mode & 0o777, 0o600)
    assert.match((await inside(where, args)).stderr, /is there already/)
  })

  test("contexts are sections of the user's file, whose other lines stay; CAH_CONTEXT takes their names only", async () => {
    const there = place(hub)
    const file = join(there.home, ".config", "cah", "config.toml")
    await inside(there, ["context", "add", "here", hub.url])
    writeFileSync(file, `# mine\n${readFileSync(file, "utf8")}\n# after it\n`)
    await inside(there, ["context", "add", "far", "https://far.example.org"])
    const used = await inside(there, ["context", "use", "far"])
    assert.equal(used.stdout, "The hub is https://far.example.org.\n")
    assert.equal((await inside(there, ["whoami"])).code, 4)
    assert.equal((await inside(there, ["whoami"], { CAH_CONTEXT: "here" })).code, 0)
    const wrong = await inside(there, ["whoami"], { CAH_CONTEXT: "nowhere" })
    assert.deepEqual([wrong.code, /no context "nowhere"[\s\S]*here, far/.test(wrong.stderr)], [2, true])
    assert.match(
      (await inside(there, ["context", "use", "here"], { CAH_HUB: "http://h:1" })).stderr,
      /CAH_HUB goes first/,
    )
    assert.equal((await inside(there, ["context", "rm", "far"])).code, 0)
    assert.equal(readFileSync(file, "utf8").includes("far"), false)
    assert.match(readFileSync(file, "utf8"), /^# mine\n[\s\S]*# after it/)
    writeFileSync(file, 'hubs = { a = { url = "http://h:1" } }\n')
    assert.match((await inside(there, ["context", "rm", "a"])).stderr, /not changed by program/)
    assert.match((await inside(there, ["context", "add", "b", "http://h:1"])).stderr, /not changed by program/)
  })
})

describe("help", async () => {
  for (const verb of paths(await wholeTree())) {
    test(`cah ${verb} --help fits one screen and shows an example`, async () => {
      const { code, stdout, stderr } = await inside(place(), [...verb.split(" "), "--help"])
      assert.deepEqual([code, stderr], [0, ""])
      assert.match(stdout, /Examples:\n {2}\S/)
      const lines = stdout.trimEnd().split("\n")
      assert.ok(lines.length <= 24, `${lines.length} lines`)
      assert.deepEqual(
        lines.filter(line => line.length > 80),
        [],
      )
    })
  }

  test("cah --help fits one screen and names every verb", async () => {
    const { stdout } = await inside(place(), ["--help"])
    const lines = stdout.trimEnd().split("\n")
    assert.ok(lines.length <= 24 && lines.every(line => line.length <= 80), `${lines.length} lines\n${stdout}`)
    const listed = lines.flatMap(line => /^ {2}([a-z, ]+?)(?: {2,}|$)/.exec(line)?.[1]?.split(", ") ?? [])
    const verbs = (await wholeTree()).commands.filter(one => one.summary() !== "").map(one => one.name())
    assert.deepEqual(listed.filter(word => !word.startsWith("cah ")).sort(), verbs.sort())
  })

  test("cah help has all flags, of cah and of a verb, and knows no other verb", async () => {
    assert.match((await inside(place(), ["help"])).stdout, /--ca-file[\s\S]*completion +print[\s\S]*130 Ctrl-C/)
    assert.match((await inside(place(), ["help", "sub"])).stdout, /Usage: cah sub[\s\S]*--loss-retries[\s\S]*Examples:/)
    assert.match((await inside(place(), ["help", "nodes", "drain"])).stdout, /^Usage: cah nodes drain/)
    const wrong = await inside(place(), ["help", "sbu"])
    assert.deepEqual([wrong.code, /no verb "sbu"/.test(wrong.stderr)], [2, true])
  })
})

/** "nodes", "nodes drain", …: everything that has a help of its own. */
function paths(command: Command, before: readonly string[] = []): string[] {
  return command.commands
    .filter(inner => inner.name() !== "help")
    .flatMap(inner => [[...before, inner.name()].join(" "), ...paths(inner, [...before, inner.name()])])
}
