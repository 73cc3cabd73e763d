// What a job meets in a real sandbox: system calls that it may not make, tried one by one, and ordinary programs of Debian that must not
// notice. Needs bubblewrap and Debian's python3; each program is skipped where it is not installed.
import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { test } from "node:test"
import { openRunners } from "./fixtures.ts"
import { closeInherited } from "./processes.ts"

closeInherited()
const { unavailable, runners, begin } = await openRunners()
const sandboxed = runners[1]![1]
const walled = { skip: unavailable ?? false }
const python = "/usr/bin/python3"
const needsPython = { skip: unavailable ?? (!existsSync(python) && "Debian's python3 is not installed") }

/** Makes each call by its number, with arguments with which it would work, and prints its error. */
const prober = `
import ctypes, errno, os, platform, socket
libc = ctypes.CDLL(None, use_errno=True)
x86 = platform.machine() == "x86_64"
def call(name, number, *args):
    ctypes.set_errno(0)
    got = libc.syscall(ctypes.c_long(number), *args)
    print(name, "done" if got >= 0 else errno.errorcode.get(ctypes.get_errno(), "?"))
P, L = ctypes.c_char_p, ctypes.c_long
buffer = ctypes.create_string_buffer(256)
KEYS = (248, 249, 250) if x86 else (217, 218, 219)
call("add_key", KEYS[0], P(b"user"), P(b"cah"), P(b"secret"), L(6), L(-3))
call("request_key", KEYS[1], P(b"user"), P(b"cah"), None, L(-3))
call("keyctl", KEYS[2], L(0), L(-3), L(0))
call("bpf", 321 if x86 else 280, L(0), buffer, L(64))
for name, flag in ("user", 0x10000000), ("mount", 0x20000), ("net", 0x40000000), ("pid", 0x20000000):
    call("unshare-" + name, 272 if x86 else 97, L(flag))
call("clone-user", 56 if x86 else 220, L(0x10000011), None, None, None, None)
call("clone3", 435, buffer, L(64))
call("setns", 308 if x86 else 268, L(0), L(0))
call("mount", 165 if x86 else 40, P(b"t"), P(b"/tmp"), P(b"tmpfs"), L(0), None)
call("umount2", 166 if x86 else 39, P(b"/tmp"), L(0))
call("pivot_root", 155 if x86 else 41, P(b"/tmp"), P(b"/tmp"))
call("fsopen", 430, P(b"tmpfs"), L(0))
call("open_tree", 428, L(-100), P(b"/tmp"), L(1))
call("userfaultfd", 323 if x86 else 282, L(1))
call("io_uring_setup", 425, L(1), buffer)
call("perf_event_open", 298 if x86 else 241, buffer, L(0), L(-1), L(-1), L(0))
call("ptrace", 101 if x86 else 117, L(0), L(0), None, None)
call("kexec_load", 246 if x86 else 104, L(0), L(0), None, L(0))
call("init_module", 175 if x86 else 105, buffer, L(0), P(b""))
call("syslog", 103 if x86 else 116, L(3), buffer, L(256))
call("fanotify_init", 300 if x86 else 262, L(0x200), L(0))
if x86:
    call("x32-getpid", 0x40000000 + 39)
for name, family, protocol in ("vsock", 40, 0), ("alg", 38, 0), ("packet", 17, 0), ("audit", 16, 9), ("route", 16, 0), ("unix", 1, 0), ("inet6", 10, 0):
    try:
        socket.socket(family, socket.SOCK_RAW if family == 16 else socket.SOCK_SEQPACKET if family == 38 else socket.SOCK_STREAM, protocol).close()
        print("socket-" + name, "done")
    except OSError as error:
        print("socket-" + name, errno.errorcode[error.errno])
print("interfaces", [name for _, name in socket.if_nameindex()])
print([line.strip() for line in open("/proc/self/status") if line.startswith(("Seccomp:", "NoNewPrivs:"))])
`

test(
  "S3, S4: in the sandbox the calls for keys, namespaces, mounts, rings, other machines' sockets are refused",
  needsPython,
  async () => {
    const run = await begin(sandboxed, { command: [python, "probe.py"] }, { "probe.py": prober })
    const exit = await run.ended
    assert.equal(exit.exitCode, 0, run.output.stderr)
    const lines = run.output.stdout.trim().split("\n")
    const said = Object.fromEntries(lines.slice(0, -2).map(line => line.split(" ") as [string, string]))
    const expected: Record<string, readonly string[]> = {
      EPERM: [
        ...["add_key", "request_key", "keyctl", "bpf", "unshare-user", "unshare-mount", "unshare-net", "unshare-pid"],
        ...["clone-user", "setns", "mount", "umount2", "pivot_root", "fsopen", "open_tree", "userfaultfd"],
        ...["perf_event_open", "ptrace", "kexec_load", "init_module", "syslog", "fanotify_init"],
      ],
      ENOSYS: ["clone3", "io_uring_setup", ...(process.arch === "x64" ? ["x32-getpid"] : [])],
      EAFNOSUPPORT: ["socket-vsock", "socket-alg", "socket-packet", "socket-audit"],
      done: ["socket-route", "socket-unix", "socket-inet6"],
    }
    for (const [error, names] of Object.entries(expected))
      for (const name of names) assert.equal(said[name], error, name)
    assert.equal(lines.at(-2), "interfaces ['lo']", "getifaddrs and its kin still work")
    assert.equal(lines.at(-1), "['NoNewPrivs:\\t1', 'Seccomp:\\t2']")
  },
)

test("S3: a filter stands before every process of the job, and none can take it off", walled, async () => {
  const run = await begin(sandboxed, {
    command: ["grep -h ^Seccomp: /proc/[0-9]*/status | sort | uniq -c; setsid grep ^Seccomp: /proc/self/status"],
  })
  assert.equal((await run.ended).exitCode, 0)
  assert.match(run.output.stdout, /^\s*\d+ Seccomp:\t2\nSeccomp:\t2\n$/)
})

test("S4: unshare -Urm fails in the sandbox, with a word", walled, async () => {
  const run = await begin(sandboxed, { command: ["unshare -Urm true; echo $?; mount -t tmpfs none /tmp; echo $?"] })
  await run.ended
  assert.match(run.output.stdout, /^1\n\d+\n$/)
  assert.doesNotMatch(run.output.stdout, /^0$/m)
  assert.match(run.output.stderr, /Operation not permitted|must be superuser/)
})

test("S3: a program of 32 bits is ended, and the job's owner learns why", {
  skip: unavailable ?? ((process.arch !== "x64" || !existsSync("/usr/bin/gcc")) && "needs gcc on x86-64"),
}, async () => {
  // int 0x80 is the door of i386: the same program needs no library of 32 bits.
  const source =
    'int main(void) { int got; __asm__ volatile("int $0x80" : "=a"(got) : "a"(20)); return got > 0 ? 0 : 3; }\n'
  const run = await begin(sandboxed, { command: ["gcc old.c -o old && exec ./old"] }, { "old.c": source })
  const exit = await run.ended
  assert.equal(exit.exitCode, 159, run.output.stderr)
  assert.match(exit.message, /32 bits/)
})

// ---- ordinary programs -------------------------------------------------------------------------------------------

const scene = "camera{location<0,0,-3> look_at 0} light_source{<2,4,-3> 1} sphere{0,1 pigment{rgb<1,.5,0>}}\n"
const threads = `
import threading, subprocess, multiprocessing, socket, tempfile
def work(q): q.put(sum(range(1000)))
q = multiprocessing.Queue()
p = multiprocessing.Process(target=work, args=(q,)); p.start(); print(q.get()); p.join()
t = threading.Thread(target=lambda: print(subprocess.run(["echo", "thread"], capture_output=True, text=True).stdout.strip())); t.start(); t.join()
s = socket.create_server(("127.0.0.1", 0)); c = socket.create_connection(s.getsockname()); c.sendall(b"x"); print(s.accept()[0].recv(1))
`
const java = `public class Job {
  public static void main(String[] args) throws Exception {
    var sum = java.util.stream.IntStream.range(0, 1000).parallel().sum();
    var interfaces = java.util.Collections.list(java.net.NetworkInterface.getNetworkInterfaces()).size();
    System.out.println(sum + " " + (interfaces > 0) + " " + Runtime.getRuntime().availableProcessors());
  }
}
`
const c = `#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
static void *work(void *x) { return x; }
int main(void) {
  pthread_t t; pthread_create(&t, 0, work, 0); pthread_join(t, 0);
  if (fork() == 0) _exit(7);
  int status; wait(&status); printf("%d\\n", WEXITSTATUS(status)); return 0;
}
`

const programs: readonly [
  title: string,
  program: string,
  command: string,
  files: Record<string, string>,
  wanted: RegExp,
][] = [
  [
    "python3 with processes, threads and sockets",
    python,
    `${python} job.py`,
    { "job.py": threads },
    /^499500\nthread\nb'x'\n$/,
  ],
  [
    "python3 with numpy",
    python,
    `${python} -c 'import numpy as n; print(n.linalg.norm(n.eye(200) @ n.ones(200)))'`,
    {},
    /^14\.14/,
  ],
  [
    "R",
    "/usr/bin/R",
    "R --slave -e 'library(parallel); cat(sum(unlist(mclapply(1:4, function(i) i^2))), \"\\n\")'",
    {},
    /^30/,
  ],
  ["Java", "/usr/bin/java", "java Job.java", { "Job.java": java }, /^499500 true \d+\n$/],
  ["a C compiler and what it makes", "/usr/bin/gcc", "gcc -O2 -pthread job.c -o job && ./job", { "job.c": c }, /^7\n$/],
  [
    "POV-Ray",
    "/usr/bin/povray",
    "povray +Iscene.pov +Oframe.png +W64 +H36 -D 2>/dev/null; head -c 4 frame.png | tail -c 3",
    { "scene.pov": scene },
    /^PNG$/,
  ],
  [
    "ffmpeg",
    "/usr/bin/ffmpeg",
    "ffmpeg -v error -f lavfi -i testsrc=d=1:s=64x36 -c:v libx264 out.mp4 && wc -c < out.mp4",
    {},
    /^\d{3,}\n$/,
  ],
  ["octave", "/usr/bin/octave-cli", "octave-cli --no-history --eval 'disp(det(magic(3)))'", {}, /^-360/],
  ["a pipeline of the shell", "/bin/sh", "seq 1000 | xargs -P 2 -n 100 echo | wc -w", {}, /^1000\n$/],
]

for (const [title, program, command, files, wanted] of programs) {
  const skip = unavailable ?? (!existsSync(program) && `${program} is not installed`)
  test(`S3: behind the filter runs ${title}`, { skip }, async t => {
    if (title.includes("numpy") && spawnSync(python, ["-c", "import numpy"]).status !== 0)
      return t.skip("python3-numpy is not installed")
    const run = await begin(sandboxed, { command: [command] }, files)
    const exit = await run.ended
    assert.equal(exit.exitCode, 0, `${exit.message} ${run.output.stderr.slice(-800)}`)
    assert.match(run.output.stdout, wanted)
  })
}

// ---- pipes and processors ----------------------------------------------------------------------------------------

for (const [kind, runner, skip] of runners) {
  test(`S10: ${kind}, a job opens its outputs by name`, { skip }, async () => {
    const script = `
      echo one > /dev/stderr && echo two | tee /dev/stderr && echo three > /dev/stdout && echo four > /proc/self/fd/1 &&
      echo five >> /dev/fd/2 && cp in /dev/stdout && cat in -> /proc/self/fd/2`
    const run = await begin(runner, { command: [script] }, { in: "six\n" })
    const exit = await run.ended
    assert.equal(exit.exitCode, 0, run.output.stderr)
    assert.equal(run.output.stdout, "two\nthree\nfour\nsix\n")
    assert.equal(run.output.stderr, "one\ntwo\nfive\nsix\n")
  })

  test(`S10: ${kind}, what a job writes is a pipe of the kernel, and its end is the end of its writers`, {
    skip,
  }, async () => {
    const run = await begin(runner, {
      command: [
        "readlink /proc/self/fd/1 /proc/self/fd/2 | cut -c 1; stat -L -c %F /dev/fd/2; (sleep 0.1; echo late) & wait",
      ],
    })
    assert.equal((await run.ended).exitCode, 0)
    assert.match(run.output.stdout, /fifo\nlate\n$/)
  })

  test(`M6: ${kind}, a job of one slot sees one processor, and threads are told how many`, { skip }, async () => {
    const command = ["nproc; OMP_NUM_THREADS= nproc; echo $OMP_NUM_THREADS $OPENBLAS_NUM_THREADS $MKL_NUM_THREADS"]
    const needs = { slots: 1, memoryBytes: 0, diskBytes: 0 }
    const one = await begin(runner, { command, needs })
    await one.ended
    assert.equal(one.output.stdout, "1\n1\n1 1 1\n")
    const own = await begin(runner, { command: ["echo $OMP_NUM_THREADS"], needs, env: { OMP_NUM_THREADS: "3" } })
    await own.ended
    assert.equal(own.output.stdout, "3\n", "the scientist's word counts")
  })
}
