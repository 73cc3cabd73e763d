import assert from "node:assert/strict"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import { scratch } from "../fixtures.ts"
import { resourceLimits } from "./rlimits.ts"
import { bubblewrapArguments, openSandbox, prepareSandbox } from "./sandbox.ts"

const walls = {
  command: ["povray", "a b", "--share-net"],
  environment: { A: "--bind", B: "" },
  work: "/state/work",
  nodeFile: "/state/nodes",
  sandbox: { etc: "/state/etc", filter: "/state/filter", disablesUserns: true },
}
const args = bubblewrapArguments({ ...walls, asRoot: false })
const rootArgs = bubblewrapArguments({ ...walls, asRoot: true })

test("every wall is named: own namespaces, nobody, no capabilities, no environment, death with the agent", () => {
  const needed = ["--die-with-parent", "--new-session", "--cap-drop", "--clearenv", "--remount-ro"]
  const own = ["ipc", "pid", "net", "uts"].map(kind => `--unshare-${kind}`)
  for (const wall of [...needed, ...own]) assert.ok(args.includes(wall) && rootArgs.includes(wall), wall)
  for (const hole of ["--share-net", "--dev-bind", "--cap-add"]) {
    assert.ok(!args.slice(0, args.indexOf("--")).includes(hole), hole)
  }
  assert.ok(args.includes("--unshare-user") && args.includes("--uid"))
})

test("root becomes nobody for good before anything of the job's is looked at, its environment included", () => {
  const command = rootArgs.slice(rootArgs.indexOf("--") + 1)
  assert.equal(command[0], "/usr/bin/setpriv")
  assert.ok(command.indexOf("--no-new-privs") < command.indexOf("/usr/bin/env"))
  assert.ok(command.indexOf("/usr/bin/env") < command.indexOf("A=--bind"))
  assert.ok(!rootArgs.includes("--setenv"))
  assert.deepEqual(command.slice(-5), ["A=--bind", "B=", ...walls.command])
  const sly = bubblewrapArguments({ ...walls, asRoot: true, command: ["LD_PRELOAD=x", "y"] })
  assert.deepEqual(sly.slice(-5), ["/bin/sh", "-c", 'exec "$0" "$@"', "LD_PRELOAD=x", "y"])
})

test("one directory can be written to, and it is the job's; no home, no /var, no whole /etc", () => {
  const before = args.slice(0, args.indexOf("--setenv"))
  const writable = before.flatMap((arg, i) => (arg === "--bind" ? [before[i + 1]] : []))
  assert.deepEqual(writable, ["/state/work"])
  const readable = before.flatMap((arg, i) => (/^--ro-bind(-try)?$/.test(arg) ? [before[i + 1]!] : []))
  for (const secret of ["/etc", "/home", "/root", "/var", "/run", "/", "/etc/passwd", "/etc/shadow"]) {
    assert.ok(!readable.includes(secret), secret)
  }
})

test("the command comes last, behind an end of options, as it was given", () => {
  assert.deepEqual(args.slice(args.indexOf("--")), ["--", ...walls.command])
  assert.deepEqual(args.slice(args.indexOf("--setenv"), args.indexOf("--setenv") + 6), [
    ...["--setenv", "A", "--bind"],
    ...["--setenv", "B", ""],
  ])
})

test("files are bound by the disk that was asked for, and nothing dumps core", () => {
  const begin = ["/usr/bin/prlimit", "--core=0:0", "--fsize=1000:1000"]
  assert.deepEqual(resourceLimits({ fileBytes: 1_000 }), [...begin, "--"])
  const more = resourceLimits({ fileBytes: 1_000, dataBytes: 5, processes: 7 })
  assert.deepEqual(more, [...begin, "--data=5:5", "--nproc=7:7", "--"])
})

test("the sandbox's own files name nobody of this machine, and a probe leaves nothing but them", async () => {
  const directory = scratch()
  const { etc } = await prepareSandbox(directory)
  assert.deepEqual(readdirSync(etc).sort(), ["group", "hosts", "nsswitch.conf", "passwd"])
  const opened = await openSandbox(directory)
  assert.ok(typeof opened !== "string" || opened.length > 0)
  assert.deepEqual(readdirSync(directory), ["sandbox-etc", "sandbox.bpf"])
})

test("without bubblewrap on the machine the probe says so", async () => {
  const directory = scratch()
  assert.match(String(await openSandbox(directory, directory)), /not installed/)
})

test("S1: a probe that is slow is tried again, for longer, and its slowness is never taken for want of bubblewrap", async () => {
  const directory = scratch()
  const bin = join(directory, "bin")
  mkdirSync(bin)
  // Stands in for bwrap: too slow the first times.
  const slow = `#!/bin/sh\necho x >> ${join(directory, "tried")}\n[ $(wc -l < ${join(directory, "tried")}) -lt 3 ] && exec sleep 60\necho 65534\necho "Seccomp: 2"\n`
  writeFileSync(join(bin, "bwrap"), slow, { mode: 0o755 })
  const path = `${bin}:/usr/bin:/bin`
  assert.notEqual(typeof (await openSandbox(directory, path, 300)), "string")
  assert.equal(readFileSync(join(directory, "tried"), "utf8"), "x\nx\nx\n")
  writeFileSync(join(bin, "bwrap"), "#!/bin/sh\nexec sleep 60\n")
  assert.match(String(await openSandbox(directory, path, 30)), /too busy/)
})
