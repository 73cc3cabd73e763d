// What the demo may be told on its command line, checked before anything is started.
import { availableParallelism } from "node:os"
import { parseArgs } from "node:util"

export interface Options {
  readonly frames: number
  readonly width: number
  readonly height: number
  readonly agents: number
  /** Of each agent. */
  readonly slots: number
  /** How many times the hub is killed with SIGKILL while the campaign runs. */
  readonly kills: number
  readonly json: boolean
  /** Where frames and video go. */
  readonly out: string
  /** Keeps the data of hub and agents for a look at it. */
  readonly keep: boolean
  /** Renders with our own renderer although POV-Ray is there. */
  readonly own: boolean
}

export const usage = `usage: npm run demo -- [options]
  --frames N      frames of the video, one job each (36)
  --size WxH      of each frame (320x180)
  --agents N      agents on this machine, a process each (3)
  --slots N       jobs that one agent runs at a time (processors / agents, at least 1)
  --kill-hub K    kill the hub with SIGKILL K times, spread over the campaign, and start it again (0)
  --out DIR       where frames and video go (demo-out)
  --own-renderer  render with our small renderer although POV-Ray is there
  --keep          keep the data of hub and agents
  --json          end with one JSON object on stdout, all else on stderr
The thesis's own campaign: --frames 720 --size 1280x720`

export class UsageError extends Error {}

export function parseOptions(args: readonly string[]): Options | "help" {
  let values: Record<string, string | boolean | undefined>
  try {
    values = parseArgs({
      args: [...args],
      options: {
        frames: { type: "string", default: "36" },
        size: { type: "string", default: "320x180" },
        agents: { type: "string", default: "3" },
        slots: { type: "string" },
        "kill-hub": { type: "string", default: "0" },
        out: { type: "string", default: "demo-out" },
        "own-renderer": { type: "boolean", default: false },
        keep: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
  if (values.help === true) return "help"
  const size = /^(\d+)x(\d+)$/.exec(String(values.size))
  if (size === null) throw new UsageError(`--size ${values.size}: should look like 320x180`)
  const agents = whole("--agents", values.agents, 1, 64)
  const frames = whole("--frames", values.frames, 1, 100_000)
  return {
    frames,
    width: whole("--size", size[1], 16, 7680),
    height: whole("--size", size[2], 16, 4320),
    agents,
    slots:
      values.slots === undefined
        ? Math.max(1, Math.floor(availableParallelism() / agents))
        : whole("--slots", values.slots, 1, 1024),
    kills: whole("--kill-hub", values["kill-hub"], 0, Math.max(0, frames - 1)),
    json: values.json === true,
    out: String(values.out),
    keep: values.keep === true,
    own: values["own-renderer"] === true,
  }
}

function whole(flag: string, value: string | boolean | undefined, least: number, most: number): number {
  const number = Number(value)
  if (!/^\d+$/.test(String(value)) || number < least || number > most) {
    throw new UsageError(`${flag} ${value}: should be a whole number from ${least} to ${most}`)
  }
  return number
}
