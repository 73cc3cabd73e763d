// The completion scripts in the shells they are for: what Tab would offer. Where a shell is not installed its part is skipped aloud.
import assert from "node:assert/strict"
import { execFileSync, spawnSync } from "node:child_process"
import { chmodSync, mkdirSync, readdirSync, statSync, utimesSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { after, before, describe, test } from "node:test"
import { FakeHub } from "../fakehub.ts"
import { inside, type Place, place } from "../spawning.ts"

const has = (shell: string) => spawnSync(shell, ["--version"], { stdio: "ignore" }).error === undefined
const without = (shell: string) => (has(shell) ? false : `${shell} is not installed here`)

describe("completion", () => {
  let where: Place
  const scripts = new Map<string, string>()
  before(async () => {
    where = place()
    const bin = join(where.home, "bin")
    mkdirSync(bin)
    // In the place of cah: what the scripts ask for at Tab.
    writeFileSync(
      join(bin, "cah"),
      '#!/bin/sh\n[ "$1" = complete ] || exit 1\nprintf "12\\twing 5/10\\n13\\tother\\n" | if [ "$3" = --words ]; then cut -f1; else cat; fi\n',
    )
    chmodSync(join(bin, "cah"), 0o755)
    writeFileSync(join(where.cwd, "scene.txt"), "")
    for (const shell of ["bash", "zsh", "fish"]) {
      scripts.set(shell, join(where.home, `completion.${shell}`))
      writeFileSync(scripts.get(shell) ?? "", (await inside(where, ["completion", shell])).stdout)
    }
  })

  const run = (program: string, args: readonly string[]) =>
    execFileSync(program, args, {
      cwd: where.cwd,
      env: { PATH: `${join(where.home, "bin")}:${process.env.PATH}`, HOME: where.home },
      encoding: "utf8",
    })
      .split("\n")
      .filter(line => line !== "")

  const table: readonly (readonly [line: string, offers: readonly string[]])[] = [
    ["cah wh", ["whoami"]],
    ["cah nodes d", ["drain"]],
    ["cah admin token c", ["create"]],
    ["cah wait ", ["12", "13"]],
    ["cah -o json logs 1", ["12", "13"]],
    ["cah sub --after-ok ", ["12", "13"]],
    ["cah sub sc", ["scene.txt"]],
    ["cah ls --output y", ["yaml"]],
    ["cah resub --without p", ["property"]],
    ["cah completion f", ["fish"]],
    ["oardel 1", ["12", "13"]],
    ["oarsub --array-p", ["--array-param-file"]],
    ["oarstat --s", ["--state"]],
    ["cah sub --intera", []],
  ]
  for (const [line, offers] of table) {
    test(`bash offers ${offers.join(" ") || "nothing"} after "${line}"`, { skip: without("bash") }, () => {
      const words = line.split(" ")
      const quoted = words.map(word => `'${word}'`).join(" ")
      const script = `source ${scripts.get("bash")}; COMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}; _cah; printf '%s\\n' "\${COMPREPLY[@]}"`
      assert.deepEqual(run("bash", ["-c", script]), offers)
    })
    test(`fish offers ${offers.join(" ") || "nothing"} after "${line}"`, { skip: without("fish") }, () => {
      const script = `source ${scripts.get("fish")}; complete -C '${line}'`
      const found = run("fish", ["--no-config", "-c", script]).map(one => one.split("\t")[0] ?? "")
      assert.deepEqual(found.filter(word => offers.includes(word)).sort(), [...offers].sort())
      if (offers.length === 0) assert.deepEqual(found, [])
    })
  }

  test("zsh reads its script, and knows all programs", { skip: without("zsh") }, () => {
    const script = `autoload -U compinit; compinit -u -D; source ${scripts.get("zsh")}; print -l $_comps[cah] $_comps[oarsub] $_comps[oarnodes]`
    assert.deepEqual(run("zsh", ["-f", "-c", script]), ["_cah", "_cah", "_cah"])
  })
})

describe("words at Tab", () => {
  let hub: FakeHub
  let where: Place
  before(async () => {
    hub = await FakeHub.start()
    where = place(hub)
    hub.add({ name: "wing\u001b[2J\tx" }, 4, index => (index < 3 ? {} : undefined))
  })
  after(() => hub.stop())

  test("are the campaigns with how far they are, kept for ten seconds, and nobody else can read them", async () => {
    const words = async (...more: string[]) => (await inside(where, ["complete", "campaigns", ...more])).stdout
    assert.equal(await words(), "1\twing\ufffd[2J x 3/4 running\n")
    assert.equal(await words("--words"), "1\n")
    assert.equal(hub.calls.filter(call => call === "listCampaigns").length, 1)
    const cache = join(where.home, ".cache", "cah")
    const file = join(cache, readdirSync(cache)[0] ?? "")
    assert.equal(statSync(file).mode & 0o777, 0o600)
    const before = new Date(Date.now() - 11_000)
    utimesSync(file, before, before)
    hub.add({ name: "next" }, 1)
    assert.match(await words(), /^2\tnext 0\/1 queued\n1\t/)
    writeFileSync(file, "damaged")
    assert.match(await words(), /^2\t/)
  })

  test("are none, and no complaint, where the hub is away or nobody is logged in", async () => {
    for (const kind of ["campaigns", "nodes", "digests", "contexts"]) {
      const done = await inside(place(), ["complete", kind])
      assert.deepEqual([done.stdout, done.stderr, done.code], ["", "", 0])
    }
    assert.equal((await inside(where, ["complete", "nothing"])).code, 2)
  })
})
