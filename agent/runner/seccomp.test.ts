// The filter as a program, run by a small interpreter of classic BPF, for both processors; and its numbers, against the kernel's headers. What
// it does in a real sandbox is in walls.test.ts.
import assert from "node:assert/strict"
import { existsSync, readFileSync } from "node:fs"
import { test } from "node:test"
import { seccompFilter, systemCalls, verdicts } from "./seccomp.ts"

const audits: Record<string, number> = { x64: 0xc000003e, arm64: 0xc00000b7 }
const i386 = 0x40000003
const EPERM = verdicts.refuse(1)
const ENOSYS = verdicts.refuse(38)
const EAFNOSUPPORT = verdicts.refuse(97)

/** As the kernel runs it, over struct seccomp_data. */
function verdict(program: Buffer, number: number, audit: number, args: readonly number[] = []): number {
  const data = Buffer.alloc(64)
  data.writeUInt32LE(number, 0)
  data.writeUInt32LE(audit, 4)
  for (const [i, arg] of args.entries()) data.writeBigUInt64LE(BigInt(arg), 16 + 8 * i)
  let accumulator = 0
  for (let at = 0; at < program.length / 8; at++) {
    const code = program.readUInt16LE(8 * at)
    const [onTrue, onFalse, value] = [program[8 * at + 2]!, program[8 * at + 3]!, program.readUInt32LE(8 * at + 4)]
    if (code === 0x20) accumulator = data.readUInt32LE(value)
    else if (code === 0x06) return value
    else {
      const holds =
        code === 0x15
          ? accumulator === value
          : code === 0x35
            ? accumulator >= value
            : code === 0x45
              ? (accumulator & value) !== 0
              : assert.fail(`instruction ${code}`)
      at += holds ? onTrue : onFalse
    }
  }
  assert.fail("it ran off its end")
}

for (const architecture of ["x64", "arm64"]) {
  const program = seccompFilter(architecture)!
  const audit = audits[architecture]!
  const calls = systemCalls(architecture)
  const of = (name: string, ...args: number[]): number => verdict(program, calls[name]!, audit, args)

  test(`S3: on ${architecture} keys, namespaces, mounts and the kernel's doors are refused`, () => {
    const refused =
      "keyctl add_key request_key bpf setns mount umount2 pivot_root chroot open_tree move_mount fsopen fsconfig fsmount fspick " +
      "mount_setattr userfaultfd perf_event_open kexec_load kexec_file_load init_module finit_module delete_module ptrace syslog " +
      "fanotify_init open_by_handle_at quotactl swapon swapoff reboot acct pidfd_getfd"
    for (const name of refused.split(" ")) assert.equal(of(name), EPERM, name)
    for (const name of ["clone3", "io_uring_setup", "io_uring_enter", "io_uring_register"])
      assert.equal(of(name), ENOSYS, name)
  })

  test(`S4: on ${architecture} processes and threads may be made, namespaces not`, () => {
    const thread = 0x3d0f00
    const fork = 0x01200011
    for (const flags of [thread, fork, 0x80]) assert.equal(of("clone", flags), verdicts.allow, flags.toString(16))
    const FS_AND_FILES = 0x600
    assert.equal(of("unshare", FS_AND_FILES), verdicts.allow)
    for (const flag of [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]) {
      assert.equal(of("clone", fork | flag), EPERM, flag.toString(16))
      assert.equal(of("unshare", flag), EPERM, flag.toString(16))
    }
    assert.equal(of("unshare", 0x80), EPERM, "a namespace of time")
  })

  test(`S4: on ${architecture} sockets are local, of the Internet, or ask for routes`, () => {
    for (const call of ["socket", "socketpair"]) {
      for (const family of [1, 2, 10]) assert.equal(of(call, family, 1, 0), verdicts.allow)
      assert.equal(of(call, 16, 3, 0), verdicts.allow, "NETLINK_ROUTE")
      for (const protocol of [4, 9, 12, 15, 16]) assert.equal(of(call, 16, 3, protocol), EAFNOSUPPORT)
      for (const family of [0, 5, 17, 29, 31, 38, 40, 44]) assert.equal(of(call, family, 1, 0), EAFNOSUPPORT)
    }
    assert.equal(of("ioctl", 0, 0x5412), EPERM, "TIOCSTI")
    assert.equal(of("ioctl", 0, 0x5413), verdicts.allow, "TIOCGWINSZ")
  })

  test(`S3: on ${architecture} another processor's program is ended, and no number that is not named is refused`, () => {
    for (const number of [0, 1, 11, 120, 0xffffffff]) assert.equal(verdict(program, number, i386), verdicts.kill)
    const named = new Set(Object.values(calls))
    for (let number = 0; number < 500; number++) {
      if (!named.has(number)) assert.equal(verdict(program, number, audit), verdicts.allow, `${number}`)
    }
  })
}

test("S3: calls of x32 do not exist", () => {
  const program = seccompFilter("x64")!
  for (const number of [0x40000000, 0x400000fa, 0xffffffff]) assert.equal(verdict(program, number, audits.x64!), ENOSYS)
})

test("S3: for a processor whose calls we do not know there is no filter, rather than a wrong one", () => {
  assert.equal(seccompFilter("riscv64"), null)
})

for (const [architecture, header] of [
  ["x64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"],
  ["arm64", "/usr/include/asm-generic/unistd.h"],
] as const) {
  const skip = !existsSync(header) && `${header} is not here (linux-libc-dev)`
  test(`S3: the numbers for ${architecture} are the kernel's`, { skip }, () => {
    const text = readFileSync(header, "utf8")
    const theirs = new Map(
      [...text.matchAll(/^#define (?:__NR3264_|__NR_)(\w+)\s+(\d+)/gm)].map(m => [m[1], Number(m[2])]),
    )
    // Newer than the headers may be.
    for (const [name, number] of Object.entries(systemCalls(architecture)))
      if (theirs.has(name) || number < 424) assert.equal(theirs.get(name), number, name)
  })
}
