// A stock BOINC client of Debian's, run by hand in a directory of its own: no service, no user's data, its log in a file. Told what to
// do by boinccmd, as people and managers do. End-to-end pieces drive it; nothing of it is ours.
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { closeSync, existsSync, openSync } from "node:fs"
import { cp, mkdir, readdir, readFile, readlink, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { join } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { promisify } from "node:util"

const run = promisify(execFile)
const PASSWORD = "e2e"
const LOOK_EVERY_MS = 200
/** The client looks at its timers every few seconds, and at work to fetch once a minute. */
const PATIENCE_MS = 120_000

/** Its tasks have no lower priority than the tests beside them: on a busy machine a guest's boot would take minutes. */
const configuration = `<cc_config>
 <log_flags><task>1</task><file_xfer>1</file_xfer><sched_ops>1</sched_ops><sched_op_debug>1</sched_op_debug><file_xfer_debug>1</file_xfer_debug></log_flags>
 <options><skip_cpu_benchmarks>1</skip_cpu_benchmarks><allow_multiple_clients>1</allow_multiple_clients><no_gpus>1</no_gpus><process_priority>2</process_priority><process_priority_special>2</process_priority_special></options>
</cc_config>
`
/** What the volunteer allows, in per cent of the machine. */
export interface Allowed {
  readonly processors: number
  readonly memory: number
}

/** A machine that is always free for us: what it does when it is not is the client's own business, and tested there. */
const preferences = ({ processors, memory }: Allowed) => `<global_preferences>
 <run_on_batteries>1</run_on_batteries><run_if_user_active>1</run_if_user_active><suspend_cpu_usage>0</suspend_cpu_usage>
 <work_buf_min_days>0.01</work_buf_min_days><work_buf_additional_days>0</work_buf_additional_days>
 <max_ncpus_pct>${processors}</max_ncpus_pct>
 <ram_max_used_busy_pct>${memory}</ram_max_used_busy_pct><ram_max_used_idle_pct>${memory}</ram_max_used_idle_pct>
</global_preferences>
`

const running = new Set<ChildProcess>()
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL")
})

export interface Task {
  readonly name: string
  /** "downloading", "downloaded", "uploading", "uploaded", "compute error", "aborted by user" … */
  readonly state: string
  /** "EXECUTING", "SUSPENDED", … or "" while there is no process. */
  readonly active: string
  readonly slot: number | null
  readonly pid: number | null
}

export interface Transfer {
  readonly name: string
  readonly done: number
}

export class BoincClient {
  readonly directory: string
  readonly log: string
  readonly #environment: Readonly<Record<string, string>>
  #port = 0
  #child: ChildProcess | null = null
  #ended: Promise<void> = Promise.resolve()

  private constructor(directory: string, environment: Readonly<Record<string, string>>) {
    this.directory = directory
    this.#environment = environment
    this.log = `${directory}.log`
  }

  /** What is missing here, or null. */
  static missing(): string | null {
    const programs = ["/usr/bin/boinc", "/usr/bin/boinccmd"]
    return programs.every(path => existsSync(path)) ? null : "there is no BOINC client here: apt install boinc-client"
  }

  /** `environment`: more of it for the client, and so for all that it starts. */
  static async start(
    directory: string,
    allowed: Allowed = { processors: 100, memory: 90 },
    environment: Readonly<Record<string, string>> = {},
  ): Promise<BoincClient> {
    await mkdir(directory, { recursive: true })
    await writeFile(join(directory, "cc_config.xml"), configuration)
    await writeFile(join(directory, "global_prefs_override.xml"), preferences(allowed))
    await writeFile(join(directory, "gui_rpc_auth.cfg"), PASSWORD)
    const client = new BoincClient(directory, environment)
    await client.begin()
    return client
  }

  /** The same directory again, or what was there. */
  async begin(): Promise<void> {
    this.#port = await freePort()
    const log = openSync(this.log, "a")
    const child = spawn("/usr/bin/boinc", ["--dir", this.directory, "--gui_rpc_port", String(this.#port)], {
      cwd: this.directory,
      env: { ...process.env, ...this.#environment },
      stdio: ["ignore", log, log],
    })
    closeSync(log)
    this.#child = child
    running.add(child)
    this.#ended = new Promise(resolve => {
      child.once("exit", () => {
        running.delete(child)
        resolve()
      })
    })
    await this.until("answers", async () =>
      (await this.command(["--get_cc_status"]).catch(() => null)) === null ? null : true,
    )
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  /** As Debian's service stops it: the tasks are told to quit first. */
  async quit(): Promise<void> {
    this.#child?.kill("SIGTERM")
    await this.#ended
  }

  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL")
    await this.#ended
  }

  /** A copy of a stopped client's directory, as people make them of disk images. */
  async copyTo(directory: string): Promise<BoincClient> {
    await cp(this.directory, directory, { recursive: true, verbatimSymlinks: true })
    return new BoincClient(directory, this.#environment)
  }

  async command(args: readonly string[]): Promise<string> {
    const all = ["--host", `127.0.0.1:${this.#port}`, "--passwd", PASSWORD, ...args]
    const { stdout, stderr } = await run("/usr/bin/boinccmd", all, { cwd: this.directory })
    return `${stdout}${stderr}`
  }

  /** Also when boinccmd ends with an error, which it does for some answers and not for others. */
  async answer(args: readonly string[]): Promise<string> {
    return this.command(args).catch((error: { stdout?: string; stderr?: string }) => `${error.stdout}${error.stderr}`)
  }

  async tasks(): Promise<Task[]> {
    return blocks(await this.command(["--get_tasks"])).map(block => ({
      name: block.name ?? "",
      state: block.state ?? "",
      active: block.active_task_state ?? "",
      slot: block.slot === undefined ? null : Number(block.slot),
      pid: block.PID === undefined ? null : Number(block.PID),
    }))
  }

  async transfers(): Promise<Transfer[]> {
    return blocks(await this.command(["--get_file_transfers"])).map(block => ({
      name: block.name ?? "",
      done: Number(block["bytes xferred"] ?? 0),
    }))
  }

  async said(): Promise<string> {
    return readFile(this.log, "utf8").catch(() => "")
  }

  /** Until it has an answer that is not null. */
  async until<T>(what: string, ask: () => Promise<T | null>, patienceMs = PATIENCE_MS): Promise<T> {
    const deadlineMs = performance.now() + patienceMs
    for (;;) {
      const found = await ask()
      if (found !== null) return found
      if (performance.now() > deadlineMs) {
        const end = (await this.said()).split("\n").slice(-40).join("\n")
        throw new Error(`the client did not get so far within ${patienceMs / 1_000} s: ${what}\n${end}`)
      }
      await pause(LOOK_EVERY_MS)
    }
  }

  /** Until its log says so after this many characters. */
  says(pattern: RegExp, from = 0, patienceMs = PATIENCE_MS): Promise<RegExpExecArray> {
    return this.until(String(pattern), async () => pattern.exec((await this.said()).slice(from)), patienceMs)
  }

  executing(patienceMs = PATIENCE_MS): Promise<Task> {
    return this.until(
      "a task runs",
      async () => (await this.tasks()).find(task => task.active === "EXECUTING") ?? null,
      patienceMs,
    )
  }

  projectDirectory(url: string): string {
    return join(this.directory, "projects", new URL(url).host.replace(":", "_"))
  }

  /** The file of a task's slot. */
  inSlot(slot: number, name: string): string {
    return join(this.directory, "slots", String(slot), name)
  }
}

/** boinccmd's lists: numbered blocks of "name: value". */
function blocks(text: string): Record<string, string>[] {
  return text
    .split(/^\d+\) -+$/m)
    .slice(1)
    .map(block => {
      const lines = [...block.matchAll(/^\s+([A-Za-z_ ]+): (.*)$/gm)]
      return Object.fromEntries(lines.map(([, name = "", value = ""]) => [name.trim(), value.trim()]))
    })
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })
}

/** Processes whose working directory lies below this one: whatever was started there, however it is called. */
export async function processesBelow(directory: string): Promise<number[]> {
  const found: number[] = []
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue
    const cwd = await readlink(`/proc/${name}/cwd`).catch(() => "")
    if (cwd.startsWith(directory)) found.push(Number(name))
  }
  return found
}
