import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import { scratch } from "../fixtures.ts"
import { enter, openControlGroups } from "./cgroup.ts"

/** A directory that stands in for the kernel's: what is written can be read, and nothing is enforced. */
function fakeRoot(controllers: string): { root: string; own: string } {
  const root = scratch()
  const path = /^0::(.*)$/m.exec(readFileSync("/proc/self/cgroup", "utf8"))?.[1] ?? "/"
  const own = join(root, path)
  mkdirSync(own, { recursive: true })
  writeFileSync(join(own, "cgroup.controllers"), `${controllers}\n`)
  return { root, own }
}

test("a job's group is given what the job asked for, and all jobs together what the node gives", async () => {
  const { root, own } = fakeRoot("cpuset cpu io memory pids")
  const groups = await openControlGroups(4_096, root)
  assert.ok(typeof groups !== "string", String(groups))
  const read = (...path: string[]): string => readFileSync(join(own, ...path), "utf8")
  assert.equal(read("agent", "cgroup.procs"), `${process.pid}`)
  assert.equal(read("cgroup.subtree_control"), "+cpu +memory +pids")
  assert.equal(read("jobs", "memory.max"), "4096")
  const group = groups.open("12.7-2", { memoryBytes: 1_024, slots: 2 })
  const job = (file: string): string => read("jobs", "12.7-2", file)
  assert.deepEqual(
    [job("memory.max"), job("memory.oom.group"), job("pids.max"), job("cpu.max")],
    ["1024", "1", "512", "200000 100000"],
  )
  assert.equal(group.ranOutOfMemory(), false)
  writeFileSync(join(own, "jobs", "12.7-2", "memory.events"), "low 0\noom 1\noom_kill 1\n")
  writeFileSync(join(own, "jobs", "12.7-2", "cpu.stat"), "usage_usec 1500400\nuser_usec 1\n")
  assert.equal(group.ranOutOfMemory(), true)
  assert.equal(group.cpuMs(), 1_500)
})

test("a job that asked for no memory is bounded by what all jobs may have", async () => {
  const { root, own } = fakeRoot("memory pids")
  const groups = await openControlGroups(4_096, root)
  assert.ok(typeof groups !== "string", String(groups))
  groups.open("1.0-1", { memoryBytes: 0, slots: 1 })
  assert.equal(existsSync(join(own, "jobs", "1.0-1", "memory.max")), false)
  assert.equal(existsSync(join(own, "jobs", "1.0-1", "cpu.max")), false)
})

test("where the kernel cannot hold jobs to anything, it is said why", async () => {
  assert.equal(await openControlGroups(1, scratch()), "there are no control groups of version 2")
  const { root } = fakeRoot("cpu pids")
  assert.equal(await openControlGroups(1, root), "the kernel does not offer memory to this process")
})

test("what a command is put behind becomes the command, with its arguments as they are", () => {
  const entrance = join(scratch(), "cgroup.procs")
  const group = { entrance, ranOutOfMemory: () => false, cpuMs: () => 0, close: async () => {} }
  const [program, ...words] = [...enter(group), "printf", "%s|", "a b", "$0", "*"]
  const { stdout } = spawnSync(program!, words, { encoding: "utf8" })
  assert.equal(stdout, "a b|$0|*|")
  assert.equal(readFileSync(entrance, "utf8"), "0\n")
})
