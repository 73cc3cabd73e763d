// For tests of running commands: a runner without walls and, where bubblewrap works, one with, and commands begun in fresh directories.
// Nothing else imports this.
import { chownSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { RunSpec } from "../core/model.ts"
import { name, scratch, spec } from "../fixtures.ts"
import { openWorkplace, type Workplace } from "../workplace.ts"
import { processRunner } from "./process.ts"
import type { Run, Runner } from "./runner.ts"
import { openSandbox, type Sandbox } from "./sandbox.ts"

export interface Started extends Run {
  readonly work: string
  readonly output: { stdout: string; stderr: string }
  /** Resolves once stdout has this in it. */
  said(text: string): Promise<void>
}

export interface Runners {
  readonly home: string
  readonly place: Workplace
  readonly sandbox: Sandbox | null
  /** Why there is no sandbox here. */
  readonly unavailable: string | null
  readonly runners: readonly [kind: string, runner: Runner, skip: string | false][]
  begin(runner: Runner, change: Partial<RunSpec>, stage?: Record<string, string>): Promise<Started>
}

export async function openRunners(): Promise<Runners> {
  const home = scratch()
  const opened = await openSandbox(home)
  const unavailable = typeof opened === "string" ? opened : null
  const sandbox = typeof opened === "string" ? null : opened
  const place = await openWorkplace(home)
  let index = 0
  return {
    ...{ home, place, sandbox, unavailable },
    runners: [
      ["without walls", processRunner({ node: "attic", sandbox: null, pipes: join(home, "pipes") }), false],
      ["in the sandbox", processRunner({ node: "attic", sandbox, pipes: join(home, "walled") }), unavailable ?? false],
    ],
    async begin(runner, change, stage = {}) {
      const own = { ...name, index: index++ }
      await place.prepare(own)
      const work = place.work(own)
      mkdirSync(work)
      for (const [file, content] of Object.entries(stage)) writeFileSync(join(work, file), content)
      const { owner } = runner
      const staged = owner === null ? [] : ["", ...Object.keys(stage)]
      for (const file of staged) chownSync(join(work, file), owner!.uid, owner!.gid)
      const output = { stdout: "", stderr: "" }
      const waiting: { text: string; resolve: () => void }[] = []
      const run = runner.start({
        name: own,
        spec: spec(change),
        directory: place.directory(own),
        work,
        onOutput: async (which, bytes) => {
          output[which] += Buffer.from(bytes).toString()
          for (const { text, resolve } of waiting) if (output.stdout.includes(text)) resolve()
        },
      })
      const said = (text: string): Promise<void> =>
        new Promise(resolve => {
          waiting.push({ text, resolve })
          if (output.stdout.includes(text)) resolve()
        })
      return { ...run, work, output, said }
    },
  }
}
