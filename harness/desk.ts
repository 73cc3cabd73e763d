// A scientist's desk for tests: a real hub, a real agent, and a home with our programs on the PATH by their own names, in which lines are typed
// into bash. Everything lies in one temporary directory and is gone at the end.
import { execFile } from "node:child_process"
import { chmod, copyFile, mkdir, mkdtemp, rm, symlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { root } from "../scripts/files.ts"
import { Hub } from "./hub.ts"
import { end, type Program, ready, start } from "./processes.ts"
import { wallFlags } from "./walls.ts"

export interface Typed {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** One line, waiting for jobs included. */
const LINE_MAX_MS = 120_000

const names = ["cah", "oarsub", "oarstat", "oardel", "oarhold", "oarresume", "oarnodes"]

export class Desk {
  /** Where lines are typed. */
  readonly directory: string
  readonly hub: Hub
  readonly #place: string
  readonly #agent: Program

  private constructor(place: string, hub: Hub, agent: Program) {
    this.#place = place
    this.directory = join(place, "desk")
    this.hub = hub
    this.#agent = agent
  }

  /** The agent is called home-1 and has two slots. The operator's token lies in `token`; nobody is logged in. */
  static async start(hubFlags: readonly string[] = []): Promise<Desk> {
    const place = await mkdtemp(join(tmpdir(), "cah-desk-"))
    const hub = await Hub.start(join(place, "hub"), join(place, "hub.log"), { host: "127.0.0.1", more: hubFlags })
    const { secret } = await hub.ask<{ secret: string }>("OperatorService/CreateEnrolment", { account: "me", uses: 1 })
    const flags = ["--hub", hub.url, "--enroll", secret, "--state", join(place, "agent"), "--name", "home-1"]
    flags.push(...(await wallFlags(place, line => process.stderr.write(`${line}\n`))))
    const agent = start("agent", ["agent/bin/cah-agent.mjs", ...flags, "--slots", "2"], {}, join(place, "agent.log"))
    await ready(agent, async () => {
      const { nodes = [] } = await hub.ask<{ nodes?: { state: string }[] }>("ScientistService/ListNodes", {})
      return nodes.some(node => node.state === "NODE_STATE_ONLINE") ? true : null
    })
    for (const folder of ["bin", "desk", "home"]) await mkdir(join(place, folder))
    for (const name of names) await symlink(join(root, "client/bin/cah.mjs"), join(place, "bin", name))
    await copyFile(join(place, "hub/admin.token"), join(place, "desk/token"))
    await chmod(join(place, "desk/token"), 0o600)
    return new Desk(place, hub, agent)
  }

  get environment(): Record<string, string> {
    return {
      PATH: `${join(this.#place, "bin")}:${process.env.PATH}`,
      HOME: join(this.#place, "home"),
      LANG: "C.UTF-8",
    }
  }

  /** What bash makes of the line, whatever its exit code. */
  type(line: string, environment: Readonly<Record<string, string>> = {}): Promise<Typed> {
    return new Promise((resolve, reject) => {
      const options = { cwd: this.directory, env: { ...this.environment, ...environment }, timeout: LINE_MAX_MS }
      execFile("bash", ["-c", line], options, (error, stdout, stderr) => {
        if (error === null) resolve({ code: 0, stdout, stderr })
        else if (typeof error.code === "number") resolve({ code: error.code, stdout, stderr })
        else reject(new Error(`${line}: ${error.message}\n${stdout}${stderr}`, { cause: error }))
      }).stdin?.end()
    })
  }

  /** Standard output of a line that must go well. */
  async says(line: string): Promise<string> {
    const { code, stdout, stderr } = await this.type(line)
    if (code !== 0) throw new Error(`${line} ended with ${code}:\n${stdout}${stderr}`)
    return stdout
  }

  async end(): Promise<void> {
    await end([this.#agent])
    await end([this.hub.program])
    await rm(this.#place, { recursive: true, force: true })
  }
}
