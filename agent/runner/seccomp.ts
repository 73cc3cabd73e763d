// The system calls that a job may not make: a classic BPF program for the kernel's seccomp, generated here and given to bwrap, which
// loads it last of all (docs/security.md, The sandbox). Everything is allowed but what is named. Named are calls that reach beyond the job's namespaces
// (keyrings, vsock, the kernel's log), those that make new namespaces or mounts, in which a job would have
// capabilities, and those that are mostly known for their faults and that no program of a scientist needs. Pure.
//
// Decided, with reasons:
// - ptrace is refused (docs/security.md, The sandbox): nobody debugs on a volunteer's machine. process_vm_readv and _writev are allowed: MPI moves messages
//   with them between the ranks of one job, and a job sees no other job's processes.
// - Netlink is allowed for routes alone: glibc's getifaddrs() and if_nameindex() ask it for addresses, and MPI, Java and Python ask
//   those. In a network namespace without capabilities it can only be read.
// - personality and modify_ldt are allowed: SBCL, gdb's kin and Wine begin with them. sched_setaffinity too: OpenMP binds its threads.
// - clone3 hides its flags in memory, where no filter can look. It does not exist here, and glibc takes clone. Neither does io_uring:
//   whoever can use it has another way for kernels without.
// - A program for another processor (i386, ARM of 32 bits) numbers its calls otherwise and is ended; x32 calls do not exist.

const EPERM = 1
const ENOSYS = 38
const EAFNOSUPPORT = 97

/** Numbers of system calls; those from 424 on are the same everywhere. */
interface Architecture {
  /** AUDIT_ARCH_* of linux/audit.h. */
  readonly audit: number
  /** Calls from here on are those of another ABI (x32). */
  readonly foreignFrom: number | null
  readonly numbers: Readonly<Record<string, number>>
}

const architectures: Readonly<Record<string, Architecture>> = {
  x64: {
    audit: 0xc000003e,
    foreignFrom: 0x40000000,
    numbers: {
      ...{ ioctl: 16, socket: 41, socketpair: 53, clone: 56, ptrace: 101, syslog: 103, vhangup: 153, pivot_root: 155 },
      ...{ _sysctl: 156, chroot: 161, acct: 163, mount: 165, umount2: 166, swapon: 167, swapoff: 168, reboot: 169 },
      ...{ sethostname: 170, setdomainname: 171, iopl: 172, ioperm: 173, create_module: 174, init_module: 175 },
      ...{ delete_module: 176, get_kernel_syms: 177, query_module: 178, quotactl: 179, nfsservctl: 180 },
      ...{ lookup_dcookie: 212, kexec_load: 246, add_key: 248, request_key: 249, keyctl: 250, unshare: 272 },
      ...{ perf_event_open: 298, fanotify_init: 300, open_by_handle_at: 304, setns: 308, finit_module: 313 },
      ...{ kexec_file_load: 320, bpf: 321, userfaultfd: 323 },
    },
  },
  arm64: {
    audit: 0xc00000b7,
    foreignFrom: null,
    numbers: {
      ...{ lookup_dcookie: 18, ioctl: 29, umount2: 39, mount: 40, pivot_root: 41, nfsservctl: 42, chroot: 51 },
      ...{ vhangup: 58, quotactl: 60, acct: 89, unshare: 97, kexec_load: 104, init_module: 105, delete_module: 106 },
      ...{ syslog: 116, ptrace: 117, reboot: 142, sethostname: 161, setdomainname: 162, socket: 198, socketpair: 199 },
      ...{ add_key: 217, request_key: 218, keyctl: 219, clone: 220, swapon: 224, swapoff: 225, perf_event_open: 241 },
      ...{ fanotify_init: 262, open_by_handle_at: 265, setns: 268, finit_module: 273, bpf: 280, userfaultfd: 282 },
      ...{ kexec_file_load: 294 },
    },
  },
}

const everywhere: Readonly<Record<string, number>> = {
  ...{ io_uring_setup: 425, io_uring_enter: 426, io_uring_register: 427, open_tree: 428, move_mount: 429 },
  ...{ fsopen: 430, fsconfig: 431, fsmount: 432, fspick: 433, clone3: 435, pidfd_getfd: 438, mount_setattr: 442 },
  ...{ quotactl_fd: 443, open_tree_attr: 467 },
}

/** Not there, so that whoever asks takes its other way. */
const absent = new Set(["clone3", "io_uring_setup", "io_uring_enter", "io_uring_register"])

/** CLONE_NEW*: cgroup, uts, ipc, user, pid, net, mount. In clone() the time namespace's bit is a part of the signal's number. */
const NEW_NAMESPACES = 0x7e020000
const NEW_TIME = 0x80

/** Address families: AF_UNIX, AF_INET, AF_INET6 as they are; AF_NETLINK for NETLINK_ROUTE. */
const FAMILIES = [1, 2, 10]
const AF_NETLINK = 16
const NETLINK_ROUTE = 0

/** What would write into a terminal that is not the job's: TIOCSTI, TIOCLINUX. */
const TERMINAL_REQUESTS = [0x5412, 0x541c]

// ---- the program -------------------------------------------------------------------------------------------------

// Of linux/bpf_common.h and linux/seccomp.h.
const LOAD = 0x20
const JUMP_EQUAL = 0x15
const JUMP_AT_LEAST = 0x35
const JUMP_ANY_BIT = 0x45
const RETURN = 0x06
export const verdicts = {
  allow: 0x7fff0000,
  kill: 0x80000000,
  refuse: (errno: number): number => 0x00050000 | errno,
} as const

/** Where struct seccomp_data has the number, the architecture, and the lower half of an argument on a little-endian machine. */
const NUMBER_AT = 0
const ARCHITECTURE_AT = 4
const argumentAt = (index: number): number => 16 + 8 * index

interface Instruction {
  readonly code: number
  readonly value: number
  /** How many instructions to skip when the comparison holds, and when not. */
  readonly onTrue: number
  readonly onFalse: number
}

const load = (value: number): Instruction => ({ code: LOAD, value, onTrue: 0, onFalse: 0 })
const end = (value: number): Instruction => ({ code: RETURN, value, onTrue: 0, onFalse: 0 })
const unless = (code: number, value: number, body: readonly Instruction[]): Instruction[] => [
  { code, value, onTrue: 0, onFalse: body.length },
  ...body,
]
const on = (value: number, body: readonly Instruction[]): Instruction[] => unless(JUMP_EQUAL, value, body)

/** The filter for this machine, as an array of struct sock_filter; null where we know no numbers. */
export function seccompFilter(architecture: string): Buffer | null {
  const known = architectures[architecture]
  if (known === undefined) return null
  const numbers = { ...known.numbers, ...everywhere }
  const { ioctl, socket, socketpair, clone, unshare, ...denied } = numbers
  const program = [
    load(ARCHITECTURE_AT),
    { code: JUMP_EQUAL, value: known.audit, onTrue: 1, onFalse: 0 },
    end(verdicts.kill),
    load(NUMBER_AT),
    ...(known.foreignFrom === null ? [] : unless(JUMP_AT_LEAST, known.foreignFrom, [end(verdicts.refuse(ENOSYS))])),
    ...on(clone!, refusingBits(0, NEW_NAMESPACES)),
    ...on(unshare!, refusingBits(0, NEW_NAMESPACES | NEW_TIME)),
    ...on(socket!, socketRules()),
    ...on(socketpair!, socketRules()),
    ...on(ioctl!, [
      load(argumentAt(1)),
      ...TERMINAL_REQUESTS.flatMap(request => on(request, [end(verdicts.refuse(EPERM))])),
      end(verdicts.allow),
    ]),
    ...Object.entries(denied).flatMap(([name, number]) =>
      on(number, [end(verdicts.refuse(absent.has(name) ? ENOSYS : EPERM))]),
    ),
    end(verdicts.allow),
  ]
  const bytes = Buffer.alloc(8 * program.length)
  program.forEach(({ code, value, onTrue, onFalse }, i) => {
    bytes.writeUInt16LE(code, 8 * i)
    bytes.writeUInt8(onTrue, 8 * i + 2)
    bytes.writeUInt8(onFalse, 8 * i + 3)
    bytes.writeUInt32LE(value >>> 0, 8 * i + 4)
  })
  return bytes
}

function refusingBits(argument: number, bits: number): Instruction[] {
  return [load(argumentAt(argument)), ...unless(JUMP_ANY_BIT, bits, [end(verdicts.refuse(EPERM))]), end(verdicts.allow)]
}

function socketRules(): Instruction[] {
  return [
    load(argumentAt(0)),
    ...FAMILIES.flatMap(family => on(family, [end(verdicts.allow)])),
    ...on(AF_NETLINK, [load(argumentAt(2)), ...on(NETLINK_ROUTE, [end(verdicts.allow)])]),
    end(verdicts.refuse(EAFNOSUPPORT)),
  ]
}

/** The numbers by name, for tests that compare them with the kernel's headers. */
export function systemCalls(architecture: string): Readonly<Record<string, number>> {
  return { ...architectures[architecture]?.numbers, ...everywhere }
}
