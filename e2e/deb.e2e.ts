// The agent's Debian package on a fresh Debian: installed, configured, started without systemd, one job done for a real hub as its own user, stopped,
// purged, and nothing left of it. The machine is a directory made by mmdebstrap, entered by pivot_root with processes of its own.
// Needs root, mmdebstrap and unshare; exits with 77 and the reason where they are missing.
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { chooseSources, sourceLines } from "../appliance/debian.ts"
import { readRecipe } from "../appliance/recipe.ts"
import { needTools, output } from "../appliance/tools.ts"
import { nodeState } from "../harness/agents.ts"
import { Hub, type JobAnswer } from "../harness/hub.ts"
import { end } from "../harness/processes.ts"
import manifest from "../package.json" with { type: "json" }
import { packageDeb } from "../release/package/deb.ts"
import { root } from "../scripts/files.ts"

const ONLINE_MAX_MS = 60_000
const JOB_MAX_MS = 60_000
const LOOK_EVERY_MS = 100

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** What runs in the fresh Debian. Marks on stdout say how far it is; /tmp/done says that the job is. */
const inside = `set -eu
export DEBIAN_FRONTEND=noninteractive
# Without what dpkg and passwd keep of their own past.
kept() { find / -xdev \\( -path /proc -o -path /dev -o -path /tmp -o -path /mnt -o -path '/etc/*-' -o -path /var/lib/dpkg -o -path /var/log/dpkg.log \\) -prune -o -print | sort; }
kept >/tmp/before
dpkg -i /tmp/cah-agent.deb
test "$(stat -c %U:%a /var/lib/cah-agent)" = cah-agent:700
test "$(stat -c %G:%a /etc/cah/agent.toml)" = cah-agent:640
cat /tmp/settings >>/etc/cah/agent.toml
/etc/init.d/cah-agent start
/etc/init.d/cah-agent start
echo mark started
while [ ! -e /tmp/done ]; do sleep 0.1; done
echo "mark owner $(stat -c %U "/proc/$(cat /run/cah-agent.pid)")"
/etc/init.d/cah-agent status
dpkg -i /tmp/cah-agent.deb
/etc/init.d/cah-agent status
echo mark upgraded
/etc/init.d/cah-agent stop
! /etc/init.d/cah-agent status
dpkg --remove cah-agent
test -e /etc/cah/agent.toml
dpkg --purge cah-agent
! getent passwd cah-agent
! getent group cah-agent
kept >/tmp/after
diff /tmp/before /tmp/after
echo mark clean
`

/**
 * Makes the directory the root, by pivot_root: who is only chrooted may make no namespaces, which jobs need, and who sees a /proc with parts
 * covered may mount no other. The old root stays below /mnt, since a fresh Debian has no umount.
 */
const entering = `mount --bind "$0" "$0"
cd "$0"
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p mnt
pivot_root . mnt
cd /
exec sh -c "$1"`

class Debian {
  readonly #child: ChildProcess
  readonly ended: Promise<number>
  #text = ""
  #waiting: (() => void)[] = []

  constructor(tree: string) {
    const flags = ["--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    this.#child = spawn("unshare", [...flags, "sh", "-euc", entering, tree, inside], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
    })
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      stream.on("data", (bytes: Buffer) => {
        this.#text += bytes.toString()
        for (const wake of this.#waiting.splice(0)) wake()
      })
    }
    this.ended = once(this.#child, "close").then(([code]) => {
      for (const wake of this.#waiting.splice(0)) wake()
      return Number(code)
    })
  }

  get text(): string {
    return this.#text
  }

  async mark(text: string): Promise<void> {
    while (!this.#text.includes(`mark ${text}\n`)) {
      if (this.#child.exitCode !== null) throw new Error(`it ended before "${text}":\n${this.#text}`)
      await new Promise<void>(resolve => this.#waiting.push(resolve))
    }
    say(text)
  }

  async stop(): Promise<void> {
    this.#child.kill("SIGKILL")
    await this.ended
  }
}

async function freshDebian(tree: string): Promise<void> {
  const recipe = readRecipe(join(root, "appliance", "recipes", "base.yaml"))
  const sources = await chooseSources(recipe, process.env.CAH_APT_MIRROR || null)
  const include = "--include=adduser,bubblewrap,init-system-helpers"
  const call = ["--mode=root", "--variant=apt", include, recipe.suite, tree, ...sourceLines(sources)]
  await output({ program: "mmdebstrap", arguments: call })
}

async function main(place: string): Promise<void> {
  const tree = join(place, "debian")
  await mkdir(join(root, "dist"), { recursive: true })
  await packageDeb(join(root, "dist"), ["--fast", "--out", place])
  await freshDebian(tree)
  await output({
    program: "cp",
    arguments: [join(place, `cah-agent_${manifest.version}_amd64.deb`), join(tree, "tmp", "cah-agent.deb")],
  })
  const hub = await Hub.start(join(place, "hub"), join(place, "hub.log"))
  const { secret } = await hub.ask<{ secret: string }>("OperatorService/CreateEnrolment", { account: "lab" })
  await writeFile(join(tree, "tmp", "settings"), `hub = "${hub.url}"\nenroll = "${secret}"\nname = "lab"\nslots = 1\n`)
  const debian = new Debian(tree)
  try {
    await debian.mark("started")
    await until(ONLINE_MAX_MS, "online", async () => (await nodeState(hub, "lab")) === "NODE_STATE_ONLINE")
    const spec = { name: "deb", command: ["id -u; node --version"], walltime: "60s", array: 1 }
    const message = { idempotencyKey: `deb-${process.pid}`, spec }
    const { campaign } = await hub.ask<{ campaign: string }>("ScientistService/Submit", message)
    let job: JobAnswer | undefined
    await until(JOB_MAX_MS, "a job done", async () => {
      job = (await hub.jobs(campaign))[0]
      return job?.phase === "PHASE_ENDED"
    })
    const { stdout } = (job?.result ?? {}) as { readonly stdout?: { readonly inline?: string } }
    const words = Buffer.from(stdout?.inline ?? "", "base64").toString()
    // Debian has no node of its own here: the agent's is not the job's.
    if (words !== "65534\n") throw new Error(`the job says ${JSON.stringify(words)}: ${JSON.stringify(job)}`)
    await writeFile(join(tree, "tmp", "done"), "")
    for (const text of ["owner cah-agent", "upgraded", "clean"]) await debian.mark(text)
    const code = await debian.ended
    if (code !== 0) throw new Error(`it ended with ${code}:\n${debian.text}`)
  } catch (error) {
    process.stdout.write(debian.text)
    throw error
  } finally {
    await debian.stop()
    await end([hub.program])
  }
}

async function until(withinMs: number, what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + withinMs
  while (!(await isSo())) {
    if (performance.now() > deadlineMs) throw new Error(`not ${what} after ${withinMs / 1_000} s`)
    await pause(LOOK_EVERY_MS)
  }
  say(what)
}

function missing(): string | null {
  if (process.getuid?.() !== 0) return "needs root, to install a package"
  try {
    needTools(["mmdebstrap", "unshare", "pivot_root", "dpkg-deb"])
    return null
  } catch (error) {
    return (error as Error).message
  }
}

const why = missing()
if (why !== null) {
  say(`skipped: ${why}`)
  process.exit(77)
}
const place = await mkdtemp(join(tmpdir(), "cah-e2e-deb-"))
try {
  await main(place)
} finally {
  await rm(place, { recursive: true, force: true })
}
