import assert from "node:assert/strict"
import { writeFileSync } from "node:fs"
import { totalmem } from "node:os"
import { join } from "node:path"
import { test } from "node:test"
import { help, readConfig, UsageError } from "./config.ts"
import { scratch } from "./fixtures.ts"

const hub = ["--hub", "http://127.0.0.1:8080", "--appliance", "somewhere"]

test("a volunteer's limits are read as people write them", () => {
  const flags = ["--cpus", "1", "--memory", "512M", "--disk", "2GiB", "--net-up", "100K", "--net-budget", "20G"]
  const { allowance, hub: url, hypervisor } = readConfig([...hub, ...flags], "run")
  assert.deepEqual([url, hypervisor, allowance.processors], ["http://127.0.0.1:8080", "auto", 1])
  assert.deepEqual([allowance.memoryBytes, allowance.diskBytes], [512 * 1024 ** 2, 2 * 1024 ** 3])
  assert.deepEqual([allowance.upBytesPerSecond, allowance.downBytesPerSecond], [102_400, null])
  assert.deepEqual(allowance.budget, { bytes: 20 * 1024 ** 3, days: 30 })
})

test("what is not said leaves room for the computer's owner", () => {
  const { allowance } = readConfig(hub, "run")
  assert.ok(allowance.memoryBytes <= totalmem() / 4)
  assert.equal(allowance.processorPercent, 100)
})

test("what is wrong is said with the flag and what it must be", t => {
  const refused = (argv: string[], message: RegExp): void => {
    assert.throws(
      () => readConfig(argv, "run"),
      (error: Error) => error instanceof UsageError && message.test(error.message),
    )
  }
  refused([], /^which hub\? Say --hub/)
  refused(hub.slice(0, 2), /^which image\? Say --appliance/)
  refused([...hub, "--hub", "nonsense"], /^--hub: must be a URL/)
  refused([...hub, "--hub", "ftp://x"], /^--hub: .*https:\/\//)
  refused([...hub, "--hub", "http://x/path"], /without a path/)
  refused([...hub, "--hub", "http://me:secret@x"], /must not hold a name or a password/)
  refused([...hub, "--cpus", "0"], /^--cpus: must be a whole number from 1/)
  refused([...hub, "--cpu-percent", "101"], /from 1 to 100/)
  // O15: the client's name for it, and the older one.
  for (const flag of ["--ca", "--ca-file"]) refused([...hub, flag, "/nowhere/ca.pem"], /^--ca-file: /)
  refused([...hub, "--memory", "lots"], /^--memory: must be a size/)
  refused([...hub, "--memory", "1"], /^--memory: must be at least/)
  refused([...hub, "--memory", "900T"], /which is all there is/)
  refused([...hub, "--enroll", "a b"], /a token without spaces/)
  refused([...hub, "--enroll", "@/none/token"], /\/none\/token is not there/)
  refused([...hub, "--name", "a b"], /^--name: must be 1 to 64/)
  refused([...hub, "--hypervisor", "xen"], /^--hypervisor: must be one of auto, qemu, virtualbox, not "xen"/)
  refused([...hub, "--turbo"], /^unknown option --turbo; see --help/)
  refused([...hub, "--memry", "1G"], /^unknown option --memry: did you mean --memory\?/)
  refused([...hub, "--cpus"], /^--cpus needs a value/)
  refused([...hub, "more"], /^unexpected "more": run takes flags only; see --help/)
  const file = join(scratch(t), "key")
  writeFileSync(file, "x")
  refused([...hub, "--release-key", file], /BEGIN PUBLIC KEY/)
})

test("a token may be in a file, and is not repeated when it is wrong", t => {
  const file = join(scratch(t), "token")
  writeFileSync(file, "cahe_1\n")
  assert.equal(readConfig([...hub, "--enroll", `@${file}`], "run").enrolToken, "cahe_1")
  assert.throws(
    () => readConfig([...hub, "--enroll", "se cret"], "run"),
    error => !`${error}`.includes("se cret"),
  )
})

test("the help fits a screen", () => {
  const lines = help.split("\n")
  assert.ok(lines.length <= 32, `${lines.length} lines`)
  assert.ok(lines.every(line => line.length <= 100))
})
