// Whether agents that we start ourselves can have a sandbox here. They run our own jobs and those of whoever types at this machine, so where there can
// be none they go without, and that is said. An agent that anybody else starts would not (agent/README.md).
import { join } from "node:path"
import { openSandbox } from "../agent/runner/sandbox.ts"

/** Flags for every agent of a demo or a test. `place` is a directory that goes away. */
export async function wallFlags(place: string, say: (line: string) => void): Promise<string[]> {
  const opened = await openSandbox(join(place, "walls"))
  if (typeof opened !== "string") return []
  say(`no sandbox here (${opened}): these jobs, which are our own, run without one`)
  return WITHOUT_WALLS
}

/** Both words, since root needs the second one. */
export const WITHOUT_WALLS = ["--sandbox", "none", "--allow-root-jobs"]
