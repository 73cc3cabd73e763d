// What `npm run boinc` leaves behind: a key that only its owner can read, and a release that the hub opens.
import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, describe, it } from "node:test"
import { openRelease } from "../hub/front/boinc/release.ts"
import { root } from "../scripts/files.ts"

let place: string
before(async () => {
  place = await mkdtemp(join(tmpdir(), "cah-boinc-"))
})
after(() => rm(place, { recursive: true }))

function boinc(...args: string[]): { code: number | null; said: string } {
  const ran = spawnSync(process.execPath, ["--import", "tsx", "release/sign.ts", ...args], {
    cwd: root,
    encoding: "utf8",
  })
  return { code: ran.status, said: `${ran.stdout}${ran.stderr}` }
}

/** Stands in for the packaged launcher, whose own word is tested beside it. */
const launcher = (does: string): string => `#!/bin/sh
[ "$1" = verify ] && [ -f "$2/manifest.json" ] || exit 9
${does}
`

describe("npm run boinc", () => {
  it("makes a key that only its owner can read, and never a second one over it", async () => {
    const { code, said } = boinc("key", "--out", join(place, "key"))
    assert.equal(code, 0, said)
    assert.match(said, /keep it off the hub/)
    assert.equal((await stat(join(place, "key/code-sign.pem"))).mode & 0o777, 0o600)
    assert.match(await readFile(join(place, "key/code-sign.pub"), "utf8"), /^1024\n/)
    const again = boinc("key", "--out", join(place, "key"))
    assert.deepEqual([again.code, /is there already/.test(again.said)], [2, true])
  })

  it("signs what npm run package left, for QEMU, and for VirtualBox too if that is wanted", async () => {
    const dist = join(place, "dist")
    await mkdir(join(dist, "appliance/base"), { recursive: true })
    await writeFile(join(dist, "vmlauncher-0.1.0-linux-x64"), launcher("exit 0"), { mode: 0o755 })
    const files = {
      "manifest.json": '{"minMemoryMb":700}',
      "manifest.json.sig": "s",
      kernel: "k",
      initrd: "i",
      root: "r",
    }
    for (const [name, text] of Object.entries(files)) await writeFile(join(dist, "appliance/base", name), text)
    const sign = (...more: string[]) =>
      boinc("sign", "--key", join(place, "key/code-sign.pem"), "--dist", dist, "--out", join(place, "release"), ...more)
    assert.equal(sign().code, 0)
    const first = await openRelease(join(place, "release"))
    assert.deepEqual(
      first.appVersions.map(({ planClass, files: named }) => [planClass, named.map(({ openName }) => openName)]),
      [["qemu", [null, "manifest.json", "manifest.json.sig", "kernel", "initrd", "root"]]],
    )
    assert.equal(first.minMemoryBytes, (700 + 256) * 1024 ** 2)
    assert.equal(first.versionNumber, 100)

    // The same again is the same; a changed file has another name and the release another number; an ISO is for VirtualBox.
    sign()
    assert.equal((await openRelease(join(place, "release"))).versionNumber, 100)
    await writeFile(join(dist, "appliance/base/kernel"), "another")
    await writeFile(join(dist, "appliance/base/appliance.iso"), "iso")
    assert.equal(sign("--virtualbox").code, 0)
    const second = await openRelease(join(place, "release"))
    assert.equal(second.versionNumber, 101)
    assert.deepEqual(
      second.appVersions.map(({ planClass, files: named }) => [planClass, named.at(-1)?.openName]),
      [
        ["qemu", "root"],
        ["vbox", "appliance.iso"],
      ],
    )
    const kernels = [first, second].map(({ files: all }) => [...all.keys()].find(name => name.startsWith("kernel_")))
    assert.notEqual(kernels[0], kernels[1])
    const roots = [first, second].map(({ files: all }) => [...all.keys()].find(name => name.startsWith("root_")))
    assert.equal(roots[0], roots[1], "what did not change keeps its name, and is not downloaded again")
    assert.deepEqual((await readdir(join(place, "release/files"))).sort(), [...second.files.keys()].sort())
  })

  it("signs nothing that the launcher itself would not boot", async () => {
    const [dist, out] = [join(place, "dist"), join(place, "refused")]
    const says = "echo 'vmlauncher: its signature is wrong' >&2; exit 1"
    await writeFile(join(dist, "vmlauncher-0.1.0-linux-x64"), launcher(says))
    const key = join(place, "key/code-sign.pem")
    const { code, said } = boinc("sign", "--key", key, "--dist", dist, "--out", out)
    assert.equal(code, 2)
    assert.match(said, /linux-x64 would not boot .*base: its signature is wrong/)
    assert.equal(existsSync(out), false)
  })

  it("says what is missing", async () => {
    const key = join(place, "key/code-sign.pem")
    const cases: readonly (readonly [args: string[], says: RegExp])[] = [
      [[], /say `key --out/],
      [["sign", "--out", "x"], /--key names the private key/],
      [["sign", "--key", join(place, "none.pem"), "--out", "x"], /ENOENT/],
      [["sign", "--key", key, "--out", "x", "--dist", join(place, "none")], /there is no vmlauncher/],
      [
        ["sign", "--key", key, "--out", "x", "--dist", join(place, "dist"), "--appliance", "none"],
        /none\/manifest\.json is not there: build and sign the appliance first/,
      ],
      [["sign", "--key", key, "--out", "x", "--program", key, "--file", "kernel"], /--file is NAME=FILE/],
    ]
    for (const [args, says] of cases) {
      const { code, said } = boinc(...args)
      assert.notEqual(code, 0)
      assert.match(said, says)
    }
    await chmod(key, 0o644)
    assert.match(boinc("sign", "--key", key, "--out", "x").said, /can be read by others: chmod 600/)
    await chmod(key, 0o600)
  })
})
