// The packages as npm installs them, in an empty folder and without a network: they start, the library is imported from JavaScript and from
// strict TypeScript and submits to a real hub, and hub, agent and client out of packages do a campaign together.
import assert from "node:assert/strict"
import { execFile } from "node:child_process"
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, describe, it } from "node:test"
import { promisify } from "node:util"
import { Hub } from "../../harness/hub.ts"
import { end, type Program, start } from "../../harness/processes.ts"
import manifest from "../../package.json" with { type: "json" }
import { root } from "../../scripts/files.ts"
import { packageNpm } from "./npm.ts"

const run = promisify(execFile)

const consumer = `import { ClientError, Hub, Outcome } from "clouds-at-home/client"

const hub = new Hub({ url: process.argv[2] ?? "", token: process.argv[3] ?? null })
try {
  const { campaign } = await hub.submit({ spec: { name: "packed", command: ["true"], array: 2, needs: { slots: 1 } } })
  const { campaign: seen } = await hub.show(campaign)
  console.log(seen?.name, seen?.counts?.total, Outcome.FINISHED)
  for await (const job of hub.jobs(campaign)) console.log(job.id?.index)
} catch (error) {
  if (error instanceof ClientError) console.error(error.code, error.hint)
  throw error
} finally {
  hub.close()
}
`

describe("packages for npm", () => {
  let place = ""
  let user = ""
  let hub: Hub
  let agent: Program | null = null
  const bin = (name: string): string => join(user, "node_modules/.bin", name)

  before(async () => {
    place = await mkdtemp(join(tmpdir(), "cah-npm-"))
    user = join(place, "user")
    await mkdir(user)
    await packageNpm(place, [])
    await writeFile(join(user, "package.json"), '{ "name": "a-study", "private": true, "type": "module" }')
    // The hub's one dependency is compiled, and npm has it from the network: ours lies beside instead.
    const tarballs = (await readdir(place)).filter(name => name.endsWith(".tgz")).map(name => join(place, name))
    assert.equal(tarballs.length, 3)
    const alone = tarballs.filter(name => !name.includes("-hub-"))
    const flags = ["--ignore-scripts", "--offline", "--no-audit", "--no-fund", "--cache", join(place, "empty")]
    await run("npm", ["install", ...flags, ...alone], { cwd: user })
    const installed = join(user, "node_modules/clouds-at-home-hub")
    await mkdir(installed)
    const packed = tarballs.find(name => name.includes("-hub-"))!
    await run("tar", ["-xzf", packed, "-C", installed, "--strip-components=1"])
    for (const name of ["better-sqlite3", "bindings", "file-uri-to-path"]) {
      await symlink(join(root, "node_modules", name), join(user, "node_modules", name))
    }
    hub = await Hub.start(join(place, "hub"), join(place, "hub.log"), {
      host: "127.0.0.1",
      more: ["--backups", join(place, "backups")],
      program: join(installed, "hub/bin/cah-hub.mjs"),
    })
  })

  after(async () => {
    await end([...(agent === null ? [] : [agent]), hub.program])
    await rm(place, { recursive: true, force: true })
  })

  it("start, by every name that they have", async () => {
    for (const name of ["cah", "oarsub", "oarnodes", "cah-agent"]) {
      const { stdout, stderr } = await run(bin(name), ["--version"], { cwd: "/" })
      assert.deepEqual([stdout.trim(), stderr], [manifest.version, ""], name)
    }
  })

  it("hold no sources and name no folder of ours", async () => {
    const files = await readdir(join(user, "node_modules"), { recursive: true })
    assert.deepEqual(
      files.filter(name => /(?<!\.d)\.m?ts$/.test(name) && name.startsWith("clouds-at-home")),
      [],
    )
    for (const name of files.filter(name => /^clouds-at-home.*\.(mjs|mts|json)$/.test(name))) {
      assert.ok(!(await readFile(join(user, "node_modules", name), "utf8")).includes(root), name)
    }
  })

  it("give JavaScript the library", async () => {
    await writeFile(join(user, "plain.js"), consumer)
    const { stdout } = await run(process.execPath, ["plain.js", hub.url, hub.token], { cwd: user })
    assert.equal(stdout, "packed 2 1\n0\n1\n")
  })

  it("give strict TypeScript the library with its types", async () => {
    await writeFile(
      join(user, "strict.ts"),
      `${consumer}\n// @ts-expect-error a misspelt word is found\nvoid hub.sumbit\n`,
    )
    const strict = ["--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess", "--skipLibCheck", "false"]
    const types = ["--types", "node", "--typeRoots", join(root, "node_modules/@types")]
    const how = ["--module", "nodenext", "--target", "es2022", ...strict, ...types]
    const tsc = join(root, "node_modules/typescript/bin/tsc")
    await run(process.execPath, [tsc, ...how, "strict.ts"], { cwd: user }).catch((error: { stdout: string }) => {
      assert.fail(error.stdout)
    })
    const { stdout } = await run(process.execPath, ["strict.js", hub.url, hub.token], { cwd: user })
    assert.equal(stdout, "packed 2 1\n0\n1\n")
  })

  it("do a campaign together, and the hub a backup", async () => {
    const { secret } = await hub.ask<{ secret: string }>("OperatorService/CreateEnrolment", { account: "me", uses: 1 })
    const known = ["--hub", hub.url, "--enroll", secret, "--state", join(place, "agent"), "--runner", "noop"]
    agent = start("agent", [bin("cah-agent"), ...known], {}, join(place, "agent.log"))
    const env = { PATH: process.env.PATH ?? "", HOME: join(place, "home"), CAH_HUB: hub.url, CAH_TOKEN: hub.token }
    const cah = async (...args: string[]): Promise<string> => (await run(bin("cah"), args, { cwd: user, env })).stdout
    assert.match(await cah("sub", "--array", "3", "--wait", "true"), /3/)
    await cah("admin", "backup")
    assert.notEqual((await readdir(join(place, "backups"))).length, 0)
  })
})
