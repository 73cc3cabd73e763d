// Each wall holds: a planted import that it is there to stop, in memory, is found, and the failure says why. What is here twice, beside
// the table, is what must not become allowed by a slip in the table. tidy.test.ts holds the tree itself against the walls.
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import { projectFiles, root } from "./files.ts"
import { circles, importsOf } from "./imports.ts"
import { breaches, isTest, listed, roomOf, rooms } from "./walls.ts"

/** Each: a file, what it would import, and words of the reason. At least one for each room. */
const offences: readonly (readonly [path: string, target: string, reason: string])[] = [
  ["common/a.ts", "../proto/wire/digest.ts", "imports nothing of ours"],
  ["common/a.ts", "zod", "no package"],
  ["common/settings/a.ts", "../../hub/config.ts", "it knows none of them"],
  ["common/backoff.ts", "node:fs", "no I/O"],
  ["common/backoff.ts", "./disk.ts", "no I/O"],
  ["proto/gen/cah/v1/a_pb.ts", "../../../wire/digest.ts", "made from the .proto files"],
  ["proto/wire/a.ts", "../../hub/limits.ts", "both sides share"],
  ["proto/wire/where.ts", "./frame.ts", "no protobuf"],
  ["proto/wire/where.ts", "../../hub/limits.ts", "nothing that comes after them"],
  ["proto/guest/a.ts", "../../agent/settings.ts", "both sides share"],
  ["archive/a.ts", "../agent/core/model.ts", "neither of them"],
  ["archive/a.ts", "../proto/gen/cah/v1/job_pb.ts", "neither of them"],
  ["hub/limits.ts", "./config.ts", "Limits are numbers"],
  ["hub/core/a.ts", "node:fs", "A core is pure"],
  ["hub/core/a.ts", "buffer", "A core is pure"],
  ["hub/core/a.ts", "node:crypto", "A core is pure"],
  ["hub/core/a.ts", "pino", "A core is pure"],
  ["hub/core/a.ts", "yaml", "A core is pure"],
  ["hub/core/a.ts", "@bufbuild/protobuf/wkt", "A core is pure"],
  ["hub/core/a.ts", "../metrics.ts", "A core is pure"],
  ["hub/core/a.ts", "../peers.ts", "A core is pure"],
  ["hub/core/a.ts", "../engine.ts", "nothing that comes after it"],
  ["hub/core/a.ts", "../store/sqlite/sqlite.ts", "nothing that comes after it"],
  ["hub/core/a.ts", "../cases/submit.ts", "nothing that comes after it"],
  ["hub/core/a.ts", "../../agent/core/model.ts", "A core is pure"],
  ["hub/core/a.ts", "../../common/disk.ts", "no I/O"],
  ["hub/core/a.ts", "../../proto/wire/frame.ts", "A core is pure"],
  ["hub/core/a.ts", "../../proto/gen/cah/v1/job_pb.ts", "A core is pure"],
  ["hub/core/ports.ts", "../store/sqlite/sqlite.ts", "nothing that comes after it"],
  ["hub/core/placing/a.ts", "../asking/explain.ts", "nothing that comes after it"],
  ["hub/core/asking/a.ts", "node:crypto", "A core is pure"],
  ["hub/engine.ts", "./store/sqlite/sqlite.ts", "alone names concrete ones"],
  ["hub/retention.ts", "./blobs/disk.ts", "through ports"],
  ["hub/port.ts", "./front/front.ts", "it knows none of them"],
  ["hub/metrics.ts", "./link/server.ts", "it knows none of them"],
  ["hub/store/a.ts", "./sqlite/sqlite.ts", "it knows none of them"],
  ["hub/store/sqlite/a.ts", "../../blobs/disk.ts", "not each other"],
  ["hub/store/memory/a.ts", "../../blobs/disk.ts", "knows no other adapter"],
  ["hub/blobs/a.ts", "../store/sqlite/sqlite.ts", "not each other"],
  ["hub/blobs/a.ts", "../config.ts", "let what starts the program wire them"],
  ["hub/link/a.ts", "../blobs/disk.ts", "no other adapter"],
  ["hub/link/a.ts", "../../archive/unpack.ts", "by their desk alone"],
  ["hub/link/a.ts", "../engine.ts", "by their desk alone"],
  ["hub/link/a.ts", "../store/sqlite/sqlite.ts", "by their desk alone"],
  ["hub/link/a.ts", "../core/step.ts", "by their desk alone"],
  ["hub/link/a.ts", "../core/placing/queue.ts", "by their desk alone"],
  ["hub/link/a.ts", "../desk/desk.ts", "by their desk alone"],
  ["hub/link/desk.ts", "./session.ts", "It is a port"],
  ["hub/desk/a.ts", "../link/session.ts", "it knows no socket"],
  ["hub/desk/a.ts", "../engine.ts", "through ports"],
  ["hub/notify/a.ts", "../store/sqlite/sqlite.ts", "not each other"],
  ["hub/backup/a.ts", "../blobs/disk.ts", "not each other"],
  ["hub/auth/a.ts", "../store/sqlite/sqlite.ts", "no adapter"],
  ["hub/auth/a.ts", "@connectrpc/connect", "no front's language"],
  ["hub/cases/a.ts", "@bufbuild/protobuf", "no protobuf"],
  ["hub/cases/a.ts", "@connectrpc/connect", "no Connect"],
  ["hub/cases/a.ts", "node:http", "no HTTP"],
  ["hub/cases/a.ts", "../port.ts", "no HTTP"],
  ["hub/cases/a.ts", "../../proto/gen/cah/v1/job_pb.ts", "no protobuf"],
  ["hub/cases/a.ts", "../front/http.ts", "no HTTP"],
  ["hub/cases/a.ts", "../store/sqlite/sqlite.ts", "no adapter"],
  ["hub/front/http.ts", "./boinc/handler.ts", "it knows none of them"],
  ["hub/front/front.ts", "../store/sqlite/sqlite.ts", "says nothing itself"],
  ["hub/front/rpc/a.ts", "../scientist/service.ts", "fronts do not know each other"],
  ["hub/front/scientist/a.ts", "../boinc/release.ts", "fronts do not know each other"],
  ["hub/front/operator/a.ts", "../../link/server.ts", "nor adapters"],
  ["hub/front/status/a.ts", "../../store/sqlite/sqlite.ts", "nor adapters"],
  ["hub/front/status/a.ts", "../../config.ts", "nor adapters"],
  ["hub/front/boinc/a.ts", "../volunteer/pages.ts", "fronts do not know each other"],
  ["hub/front/volunteer/a.ts", "../scientist/convert.ts", "fronts do not know each other"],
  ["hub/sim/a.ts", "../../agent/runner/process.ts", "break its determinism"],
  ["hub/sim/a.ts", "../link/server.ts", "break its determinism"],
  ["hub/hub.ts", "../agent/config.ts", "by their contract only"],
  ["hub/hub.ts", "../archive/unpack.ts", "by their contract only"],
  ["hub/link/a.test.ts", "../../agent/core/model.ts", "by their desk alone"],
  ["agent/limits.ts", "./config.ts", "Limits are numbers"],
  ["agent/core/a.ts", "../runner/process.ts", "nothing that comes after it"],
  ["agent/core/a.ts", "node:child_process", "A core is pure"],
  ["agent/engine.ts", "./cache/cache.ts", "alone names concrete ones"],
  ["agent/link/a.ts", "../cache/cache.ts", "not each other"],
  ["agent/cache/a.ts", "../runner/process.ts", "not each other"],
  ["agent/runner/a.ts", "../cache/cache.ts", "not each other"],
  ["agent/runner/a.ts", "../main.ts", "let what starts the program wire them"],
  ["agent/config.ts", "../hub/config.ts", "by their contract only"],
  ["agent/main.ts", "../appliance/build.ts", "by their contract only"],
  ["client/a.ts", "../hub/core/model.ts", "by its contract only"],
  ["client/commands/a.ts", "../../agent/core/model.ts", "by its contract only"],
  ["client/submit/a.ts", "better-sqlite3", "by its contract only"],
  ["vmlauncher/limits.ts", "./config.ts", "Limits are numbers"],
  ["vmlauncher/core/a.ts", "../engine.ts", "nothing that comes after it"],
  ["vmlauncher/core/a.ts", "child_process", "A core is pure"],
  ["vmlauncher/core/a.ts", "fast-xml-parser", "A core is pure"],
  ["vmlauncher/engine.ts", "./relay/server.ts", "through ports"],
  ["vmlauncher/process.ts", "./relay/server.ts", "it knows none of them"],
  ["vmlauncher/boinc/a.ts", "../relay/server.ts", "not each other"],
  ["vmlauncher/hypervisor/qemu/a.ts", "../../boinc/slot.ts", "not each other"],
  ["vmlauncher/image/a.ts", "../hypervisor/machine.ts", "not each other"],
  ["vmlauncher/relay/a.ts", "../config.ts", "let what starts the program wire them"],
  ["vmlauncher/main.ts", "../agent/core/model.ts", "by their contract only"],
  ["appliance/a.ts", "../agent/main.ts", "given the agent as a file"],
  ["release/launch.mjs", "../hub/main.ts", "it knows none of them"],
  ["release/node.ts", "../hub/main.ts", "it knows none of them"],
  ["release/a.ts", "../e2e/slot.ts", "none of them knows how it is packed"],
  ["hub/a.ts", "../release/package.ts", "by their contract only"],
  ["harness/a.ts", "../hub/hub.ts", "imports none of them"],
  ["bench/a.ts", "../hub/front/front.ts", "but for the parts named here"],
  ["e2e/a.ts", "../agent/core/model.ts", "but for the parts named here"],
  ["demo/a.ts", "../hub/hub.ts", "what anybody can do"],
  ["scripts/files.ts", "../hub/hub.ts", "it knows none of them"],
  ["scripts/a.ts", "../hub/hub.ts", "none of them knows a chore"],
  ["agent/a.ts", "../scripts/files.ts", "by their contract only"],
  ["examples/a/a.mjs", "../../client/library.ts", "uses what is published"],
  ["hub/store/sqlite/a.ts", "../store.suite.ts", "that is a test's"],
  ["hub/core/a.ts", "./fixtures.ts", "that is a test's"],
  ["hub/gateway/a.ts", "../core/model.ts", "say in scripts/walls.ts"],
  ["cluster/a.ts", "../common/disk.ts", "say in scripts/walls.ts"],
  ["hub/main.ts", "../cluster/a.ts", "say in scripts/walls.ts"],
]

/** What must pass, so that the walls do not forbid the architecture itself. */
const lawful: readonly (readonly [path: string, target: string])[] = [
  ["hub/core/a.ts", "../../proto/wire/digest.ts"],
  ["hub/core/a.ts", "../../common/backoff.ts"],
  ["hub/core/a.test.ts", "node:test"],
  ["hub/core/a.test.ts", "./fixtures.ts"],
  ["hub/link/a.ts", "../../proto/wire/link.ts"],
  ["hub/sim/a.ts", "../../agent/core/step.ts"],
  ["hub/hub.ts", "./store/sqlite/sqlite.ts"],
  ["hub/store/sqlite/a.test.ts", "../store.suite.ts"],
  ["agent/runner/a.ts", "../../archive/unpack.ts"],
  ["vmlauncher/main.ts", "./relay/server.ts"],
  ["client/a.ts", "../proto/gen/cah/v1/job_pb.ts"],
]

/** Every form of it is an import, so each planted one has another. */
const forms = [
  (target: string) => `import { a } from "${target}"`,
  (target: string) => `import type { A } from "${target}"`,
  (target: string) => `export * from "${target}"`,
  (target: string) => `export type { A } from "${target}"`,
  (target: string) => `const { a } = await import("${target}")`,
  (target: string) => `let a: import("${target}").A`,
]

test("each wall stops what it is there to stop, however it is imported, and says why", () => {
  offences.forEach(([path, target, reason], n) => {
    const [found = "", ...others] = breaches(importsOf(path, forms[n % forms.length]!(target)))
    assert.notEqual(found, "", `${path} may import ${target}`)
    assert.ok(found.includes(reason), `"${reason}" is not in: ${found}`)
    assert.deepEqual(others, [])
  })
  const unproven = Object.keys(rooms).filter(room => !offences.some(([path]) => roomOf(path) === room))
  assert.deepEqual(unproven, [], "each room has a planted import that its wall stops")
})

test("what the architecture is made of passes", () => {
  for (const [path, target] of lawful) assert.deepEqual(breaches(importsOf(path, forms[0]!(target))), [])
})

test("links take from the ports of the core none that leads to its state or to the store", () => {
  for (const path of projectFiles()) {
    if (!path.startsWith("hub/link/") || !path.endsWith(".ts") || isTest(path)) continue
    const text = readFileSync(join(root, path), "utf8")
    for (const [, names = ""] of text.matchAll(/import type \{([^}]*)\} from "\.\.\/core\/ports\.ts"/g)) {
      const others = names
        .split(",")
        .map(name => name.trim())
        .filter(name => !/^(BlobStore|Clock|Links|Log|)$/.test(name))
      assert.deepEqual(others, [], `${path} asks past its desk`)
    }
  }
})

test("each file of ours has a room", () => {
  const files = projectFiles().filter(path => /\.(ts|mjs|js)$/.test(path))
  assert.deepEqual(
    [...new Set(files.filter(path => roomOf(path) === null).map(path => path.slice(0, path.lastIndexOf("/"))))],
    [],
    "say in scripts/walls.ts what they may import, and why",
  )
})

test("rooms lie above each other: no two may import each other, but for those of the hub's core", () => {
  const edges = Object.entries(rooms).flatMap(([from, { may }]) => listed(may).map(to => ({ from, to })))
  assert.deepEqual(circles(edges), [["hub/core", "hub/core/asking", "hub/core/placing", "hub/core/plain"]])
})

test("the table names rooms, files and packages that are there", () => {
  const files = new Set(projectFiles())
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Record<
    string,
    Record<string, string>
  >
  const packages = new Set([...Object.keys({ ...dependencies, ...devDependencies }), "clouds-at-home", "package.json"])
  for (const [name, { at = "", may, uses }] of Object.entries(rooms)) {
    for (const one of listed(may)) assert.ok(one in rooms, `${name} may import ${one}, which is no room`)
    for (const one of uses.split(" ").filter(word => word !== "" && !word.startsWith("node:")))
      assert.ok(packages.has(one), `${name} uses ${one}, which package.json does not name`)
    for (const one of at.split(" ").filter(word => word !== "" && !word.endsWith("*")))
      assert.ok(files.has(one), `${name} has ${one}, which is no file`)
  }
})
