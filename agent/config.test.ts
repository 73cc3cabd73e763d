import assert from "node:assert/strict"
import { statfsSync, writeFileSync } from "node:fs"
import { totalmem } from "node:os"
import { join } from "node:path"
import { test } from "node:test"
import { writeIso } from "../proto/guest/iso.ts"
import { type GuestSettings, printSettings } from "../proto/guest/settings.ts"
import { parseDigest } from "../proto/wire/digest.ts"
import { Printed, readConfig, UsageError, type World } from "./config.ts"
import { scratch } from "./fixtures.ts"

const directory = scratch()
let printed = ""
function world(argv: string[], env: Record<string, string> = {}): World {
  printed = ""
  return { argv, env, isRoot: false, home: directory, version: "1.2.3", print: text => (printed += `${text}\n`) }
}
function file(text: string): string {
  const path = join(directory, "agent.toml")
  writeFileSync(path, text)
  return path
}
function disk(change: Partial<GuestSettings> = {}): string {
  const path = join(directory, "settings.iso")
  const settings = {
    hub: "http://hub.example.org:8080",
    via: "10.0.2.100:80",
    enrolToken: "cahe_secret",
    name: "attic",
  }
  const room = { slots: 3, memoryBytes: 1_000_000, diskBytes: 2_000_000 }
  const image = { name: "base", version: "1", digest: parseDigest(`sha256:${"a".repeat(64)}`)! }
  const text = printSettings({ ...settings, ...room, image, caPem: null, ...change })
  writeFileSync(path, writeIso({ name: "CAH.JSON", bytes: Buffer.from(text) }))
  return path
}
const hub = ["--hub", "http://127.0.0.1:8080"]
const refused = (argv: string[], message: RegExp, env: Record<string, string> = {}): void => {
  assert.throws(
    () => readConfig(world(argv, env)),
    (error: unknown) => error instanceof UsageError && message.test(error.message),
  )
}

test("a hub is all that must be said; the machine shows the rest", () => {
  const config = readConfig(world(hub))
  assert.equal(config.hub, "http://127.0.0.1:8080")
  assert.equal(config.state, join(directory, ".local/state/cah-agent"))
  assert.ok(config.slots >= 1 && config.memoryBytes > 1e8 && config.diskBytes > 0 && config.cacheBytes > 0)
  assert.equal(config.sandbox, "bwrap")
  for (const name of ["os", "arch", "cores", "cpu_model", "has_povray"]) assert.ok(config.properties[name], name)
  assert.doesNotMatch(config.properties.arch ?? "", /^x64$/, "named as uname does")
  assert.ok(Object.isFrozen(config))
})

test("a flag beats the environment, which beats the file, which beats the default", () => {
  const config = file('slots = 2\nname = "file"\nmemory = "1GiB"\nlog-level = "debug"\n')
  const read = readConfig(world([...hub, "--config", config, "--slots", "4"], { CAH_SLOTS: "3", CAH_NAME: "env" }))
  assert.deepEqual([read.slots, read.name, read.memoryBytes, read.logLevel], [4, "env", 1024 ** 3, "debug"])
})

test("root's state lies where services keep theirs, others' where XDG says", () => {
  assert.equal(readConfig({ ...world(hub), isRoot: true }).state, "/var/lib/cah-agent")
  assert.equal(readConfig(world(hub, { XDG_STATE_HOME: directory })).state, join(directory, "cah-agent"))
})

test("properties come from all three places and join those detected", () => {
  const flags = readConfig(world([...hub, "--property", "gpu=none", "--property", "Site=attic"]))
  assert.deepEqual([flags.properties.gpu, flags.properties.site], ["none", "attic"])
  assert.equal(readConfig(world(hub, { CAH_PROPERTIES: "a=1,b=2" })).properties.b, "2")
  assert.equal(readConfig(world([...hub, "--config", file("[property]\nrack = 7\n")])).properties.rack, "7")
})

test("an enrolment token may come from a file, so that it is not in the process list", () => {
  const path = join(directory, "token")
  writeFileSync(path, "cah_secret\n")
  assert.equal(readConfig(world([...hub, "--enroll", `@${path}`])).enroll, "cah_secret")
})

test("sizes are read as people write them", () => {
  const size = (text: string): number => readConfig(world([...hub, "--memory", text])).memoryBytes
  assert.deepEqual(["512", "1k", "1.5 MiB", "2GB", "1TiB"].map(size), [
    512,
    1024,
    1.5 * 1024 ** 2,
    2 * 1024 ** 3,
    1024 ** 4,
  ])
})

test("what is wrong is said with where it stands and what it must be", () => {
  refused([], /^which hub\? Say --hub URL, or set CAH_HUB, or hub in /)
  refused(["--hubb", "x"], /^unknown option --hubb: did you mean --hub\?/)
  refused([...hub, "extra"], /^unexpected "extra": the agent takes options, and try before them; see --help/)
  refused(["--hub", "nonsense"], /^--hub: must be a URL/)
  refused(["--hub", "ftp://x"], /https:\/\//)
  refused(["--hub", "https://me:secret@x"], /must not hold a name or a password/)
  refused([...hub, "--via", "hub.example.org:80"], /^--via: must be an address like 10\.0\.2\.100:80/)
  refused([...hub, "--slots", "0"], /^--slots: must be a whole number from 1/)
  refused(hub, /^CAH_SLOTS: must be a whole number.*"many"/, { CAH_SLOTS: "many" })
  refused([...hub, "--memory", "lots"], /^--memory: must be a size/)
  refused([...hub, "--sandbox", "vm"], /^--sandbox: must be one of bwrap, none/)
  refused([...hub, "--property", "novalue"], /name=value/)
  refused([...hub, "--ca", join(directory, "missing.pem")], /^--ca-file: .*is not there/)
  refused([...hub, `--ca-file=${join(directory, "missing.pem")}`], /^--ca-file: .*is not there/)
  refused([...hub, "--config", join(directory, "missing.toml")], /is not there/)
  refused([...hub, "--config", file("slotz = 2\n")], /unknown setting "slotz": did you mean slots\?/)
  refused([...hub, "--config", file("whirligig = 2\n")], /unknown setting "whirligig"; there are hub, via,/)
  refused([...hub, "--config", file("\nslots = = 2\n")], /agent\.toml, line 2/)
  refused([...hub, "--config", file("slots = [2]\n")], /agent\.toml: slots: must be one value/)
})

test("S1: a sandbox is the default; none must be said, and for root a second word as well", () => {
  assert.equal(readConfig(world(hub)).sandbox, "bwrap")
  assert.equal(
    readConfig(world([...hub, "--sandbox", "auto"])).sandbox,
    "bwrap",
    "what older files say goes on without no more",
  )
  assert.equal(readConfig(world([...hub, "--sandbox", "none"])).sandbox, "none")
  const root = (...more: string[]) => ({ ...world([...hub, ...more]), isRoot: true })
  assert.equal(readConfig(root()).sandbox, "bwrap")
  assert.throws(
    () => readConfig(root("--sandbox", "none")),
    (error: unknown) =>
      error instanceof UsageError && /root on this machine.*another user.*--allow-root-jobs/.test(error.message),
  )
  assert.equal(readConfig(root("--sandbox", "none", "--allow-root-jobs")).allowRootJobs, true)
  assert.equal(readConfig(root("--sandbox", "none", "--runner", "noop")).sandbox, "none", "nothing is run there")
})

test("plain text to another machine is refused unless it is insisted on", () => {
  refused(["--hub", "http://hub.example.org"], /plain text.*--insecure/)
  assert.equal(readConfig(world(["--hub", "http://hub.example.org", "--insecure"])).insecure, true)
  for (const here of ["http://localhost:1", "http://127.9.9.9", "http://[::1]:8080", "http://[::ffff:127.0.0.1]:1"]) {
    readConfig(world(["--hub", here]))
  }
  refused(["--hub", "http://127.0.0.1.evil.org"], /plain text/)
})

test("--print-config tells every value and where it comes from, but no secret", () => {
  const argv = [...hub, "--enroll", "cah_topsecret", "--print-config"]
  assert.throws(() => readConfig(world(argv, { CAH_SLOTS: "3" })), Printed)
  assert.match(printed, /^slots = 3 +# CAH_SLOTS$/m)
  assert.match(printed, /^hub = "http:\/\/127\.0\.0\.1:8080" +# --hub$/m)
  assert.match(printed, /^memory = \d+ +# detected$/m)
  assert.match(printed, /^# enroll is given, and secret +# --enroll$/m)
  assert.doesNotMatch(printed, /topsecret/)
  // It is a configuration file itself.
  const again = readConfig(world(["--config", file(printed.replace(/^property = .*$/m, ""))]))
  assert.deepEqual([again.slots, again.hub, again.enroll], [3, "http://127.0.0.1:8080", null])
})

test("help names every flag with its environment variable, and is no error", () => {
  assert.throws(() => readConfig(world(["--help"])), Printed)
  for (const word of ["--hub", "CAH_HUB", "--sandbox", "--print-config"]) assert.ok(printed.includes(word), word)
  assert.throws(() => readConfig(world(["--version"])), Printed)
  assert.equal(printed, "1.2.3\n")
})

test("a guest's settings are read from the disk that carries them, and plain text is its launcher's affair", () => {
  const config = readConfig(world(["--settings", disk()]))
  assert.deepEqual(
    [config.hub, config.via, config.enroll, config.name, config.slots, config.memoryBytes, config.diskBytes, config.ca],
    ["http://hub.example.org:8080", "10.0.2.100:80", "cahe_secret", "attic", 3, 1_000_000, 2_000_000, null],
  )
  const { image, image_name, image_version } = config.properties
  assert.deepEqual([image, image_name, image_version], [`sha256:${"a".repeat(64)}`, "base", "1"])
  assert.equal(readConfig(world([], { CAH_SETTINGS: disk({ enrolToken: "" }) })).enroll, null)
})

test("a guest's settings beat the file, are beaten by a flag, and nothing beats the image's name", () => {
  const config = file('slots = 2\nlog-level = "debug"\n')
  const property = ["--property", "image=another", "--property", "gpu=none"]
  const read = readConfig(world(["--settings", disk(), "--config", config, "--name", "flag", ...property]))
  assert.deepEqual([read.slots, read.name, read.logLevel], [3, "flag", "debug"])
  assert.deepEqual([read.properties.image?.slice(0, 7), read.properties.gpu], ["sha256:", "none"])
})

test("a guest gives no more than it has", () => {
  const config = readConfig(world(["--settings", disk({ memoryBytes: 2 ** 50, diskBytes: 2 ** 50 })]))
  assert.ok(config.memoryBytes < totalmem() - 100 * 1024 ** 2, `${config.memoryBytes}`)
  const { bavail, bsize } = statfsSync(directory)
  assert.ok(config.diskBytes <= bavail * bsize * 0.75 + 2 ** 30, `${config.diskBytes}`)
})

test("a disk that holds no settings is refused with what is wrong with it", () => {
  refused(["--settings", join(directory, "vdb")], /vdb should be the disk with the guest's settings: it is not there/)
  const path = join(directory, "other.iso")
  writeFileSync(path, Buffer.alloc(100_000))
  refused(["--settings", path], /other\.iso should be .*: this is no ISO 9660 image/)
  writeFileSync(path, writeIso({ name: "OTHER.TXT", bytes: Buffer.from("{}") }))
  refused(["--settings", path], /it holds OTHER\.TXT, not CAH\.JSON/)
  writeFileSync(path, writeIso({ name: "CAH.JSON", bytes: Buffer.from('{"format":1}') }))
  refused(["--settings", path], /other\.iso: the guest's settings: "hub" is missing/)
})
