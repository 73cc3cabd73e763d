// The program as it is started: verbs, wrong use, and a whole life at a terminal with the tiny guest. Slots of BOINC are in e2e.
import assert from "node:assert/strict"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import manifest from "../package.json" with { type: "json" }
import { scratch, testKeyPem, whyNoQemu, writeAppliance } from "./fixtures.ts"
import { selfCommand } from "./release.ts"

const [program, ...args] = selfCommand()
const run = (...more: string[]) => spawnSync(program!, [...args, ...more], { encoding: "utf8", cwd: "/" })

test("it tells what it is, and what was wrong with how it was called", () => {
  assert.equal(run("--version").stdout, `${manifest.version}\n`)
  assert.match(run("--help").stdout, /^vmlauncher: runs a hub's jobs in a virtual machine/)
  assert.match(run().stdout, /vmlauncher run FLAGS/)
  for (const [argv, message] of [
    [["fly"], /^vmlauncher: "fly" is nothing that it can do; vmlauncher --help tells what there is\n$/],
    [["verify"], /^vmlauncher: say verify DIR/],
    [["verify", "/"], /^vmlauncher: there is no release key inside this launcher, .*--release-key FILE/],
    [["run"], /^vmlauncher: which hub\? Say --hub\n$/],
    [["run", "--hub", "x"], /^vmlauncher: --hub: must be a URL/],
  ] as const) {
    const { status, stderr, stdout } = run(...argv)
    assert.deepEqual([status, stdout], [2, ""])
    assert.match(stderr, message)
  }
})

test("probe says one line for each thing, and whether a machine could be run", async t => {
  const missing = await whyNoQemu()
  if (missing !== null) return t.skip(missing)
  const place = scratch(t)
  const image = writeAppliance(join(place, "image"))
  writeFileSync(join(place, "key.pem"), testKeyPem)
  const flags = ["--appliance", image, "--release-key", join(place, "key.pem"), "--hub", "http://127.0.0.1:9"]
  const well = run("probe", ...flags)
  assert.equal(well.status, 0, well.stderr)
  assert.match(
    well.stdout,
    /^ok {2}computer .*\nok {2}image {7}tiny 1, whole and signed.*\nok {2}QEMU .*\n.*VirtualBox.*\nno {2}hub .*nobody listens/,
  )
  writeFileSync(join(image, "root"), "x")
  const broken = run("probe", ...flags)
  assert.equal(broken.status, 1)
  assert.match(broken.stdout, /no {2}image {7}.*its root has 1 bytes/)
})

test("at a terminal, Ctrl-C saves what has worked, and the next run goes on there", async t => {
  const missing = await whyNoQemu()
  if (missing !== null) return t.skip(missing)
  const place = scratch(t)
  const image = writeAppliance(join(place, "image"))
  const [key, state] = [join(place, "key.pem"), join(place, "state")]
  writeFileSync(key, testKeyPem)
  const flags = [
    "--hub",
    "http://127.0.0.1:9",
    "--appliance",
    image,
    "--release-key",
    key,
    "--memory",
    "64M",
    "--disk",
    "300M",
  ]
  const start = async (until: string): Promise<{ code: number; said: string }> => {
    const child = spawn(program!, [...args, "run", ...flags, "--state", state], { stdio: ["ignore", "ignore", "pipe"] })
    t.after(() => child.kill("SIGKILL"))
    let said = ""
    for await (const chunk of child.stderr) {
      said += String(chunk)
      // The guest has said hello when its console has.
      if (said.includes(until) && child.exitCode === null && !said.includes("SIGINT")) {
        while (!consoleOf(state).includes("cah: agent hello\nb\nc"))
          await new Promise(resolve => setTimeout(resolve, 20))
        child.kill("SIGINT")
        said += "SIGINT"
      }
    }
    const [code] = child.exitCode === null ? await once(child, "exit") : [child.exitCode]
    return { code: code as number, said }
  }
  const first = await start("the virtual machine starts")
  assert.equal(first.code, 0, first.said)
  assert.match(first.said, /the virtual machine is saved \(\d+ ms\)\n.*processor time.*\n.*ended: you said so/)
  assert.deepEqual(readdirSync(state).sort(), ["console.log", "network.json", "scratch.raw", "vm.save", "vm.save.json"])
  const second = await start("goes on from where it was saved")
  assert.equal(second.code, 0, second.said)
  assert.equal(consoleOf(state).split("cah: up").length, 2, "it was booted again")
})

function consoleOf(state: string): string {
  try {
    return readFileSync(join(state, "console.log"), "utf8")
  } catch {
    return ""
  }
}
