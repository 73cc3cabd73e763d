// What the demo found, as a table for people and as one JSON object for machines; and whether it is good enough.

import type { JobAnswer, Totals } from "../harness/hub.ts"
import type { FrameCheck } from "./frames.ts"
import type { Options } from "./options.ts"

export interface Findings {
  readonly renderer: string
  readonly jobs: readonly JobAnswer[]
  readonly check: FrameCheck
  readonly makespanSeconds: number
  readonly totals: Totals
  /** Of the packed scene. */
  readonly stageinBytes: number
  readonly dbHandles: { readonly atStart: number; readonly atEnd: number }
  readonly nodes: number
  /** Renderer processes that were seen; a lower bound. */
  readonly renders: { readonly renders: number; readonly frames: number }
  readonly kills: number
  readonly video: string | null
}

export interface Report {
  readonly renderer: string
  readonly frames: number
  readonly ok: number
  /** Attempts that were lost, and frames that never came. */
  readonly lost: number
  /** Frames delivered, or seen rendered, more than once. */
  readonly duplicates: number
  readonly makespanSeconds: number
  readonly jobsPerSecond: number
  readonly speedUp: number
  readonly dbHandles: number
  readonly stageinBytesSent: number
  readonly stageoutBytesReceived: number
  readonly dedupBytesSaved: number
  readonly nodes: number
  readonly renders: number
  readonly hubKills: number
  readonly video: string | null
  /** What is not as it must be, a sentence each. Empty: the demo has succeeded. */
  readonly complaints: readonly string[]
}

export function report(found: Findings, options: Options): Report {
  const { jobs, check, makespanSeconds } = found
  const complaints = [...check.complaints]
  const missing = options.frames - jobs.filter(job => job.outcome === "OUTCOME_FINISHED").length
  if (missing > 0) complaints.push(`${missing} of ${options.frames} jobs did not finish`)
  const again = jobs.filter(job => job.attempt !== 1 || (job.losses ?? 0) > 0 || (job.failures ?? 0) > 0)
  for (const job of again.slice(0, 5)) {
    complaints.push(
      `job ${job.id?.index ?? 0} took attempt ${job.attempt ?? 0}, with ${job.losses ?? 0} lost and ${job.failures ?? 0} failed`,
    )
  }
  if (check.duplicates > 0) complaints.push(`${check.duplicates} frames came back more than once`)
  const extra = found.renders.renders - found.renders.frames
  if (extra > 0) complaints.push(`${extra} renders were repetitions, by the processes that were seen`)
  const { atStart, atEnd } = found.dbHandles
  if (atStart !== atEnd) complaints.push(`database handles went from ${atStart} without agents to ${atEnd} with them`)
  if (found.nodes !== options.agents) complaints.push(`${found.nodes} nodes are online, not ${options.agents}`)

  const runSeconds = jobs.reduce((sum, job) => sum + Number.parseFloat(job.result?.runTime ?? "0"), 0)
  return {
    renderer: found.renderer,
    frames: options.frames,
    ok: check.ok,
    lost: jobs.reduce((sum, job) => sum + (job.losses ?? 0), 0) + missing,
    duplicates: check.duplicates + extra,
    makespanSeconds: round(makespanSeconds),
    jobsPerSecond: round(options.frames / makespanSeconds),
    speedUp: round(runSeconds / makespanSeconds),
    dbHandles: atEnd,
    stageinBytesSent: found.totals.stageinBytes,
    stageoutBytesReceived: found.totals.stageoutBytes,
    dedupBytesSaved: Math.max(0, options.frames * found.stageinBytes - found.totals.stageinBytes),
    nodes: found.nodes,
    renders: found.renders.renders,
    hubKills: found.kills,
    video: found.video,
    complaints,
  }
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}

export function table(found: Report, options: Options): string {
  const rows: (readonly [string, string])[] = [
    ["frames", `${found.ok} of ${found.frames} good, ${options.width}x${options.height}, by ${found.renderer}`],
    ["makespan", `${found.makespanSeconds} s`],
    ["jobs per second", String(found.jobsPerSecond)],
    ["speed-up", `${found.speedUp} times one slot, on ${options.agents * options.slots} slots of ${found.nodes} nodes`],
    ["stagein sent", bytes(found.stageinBytesSent)],
    ["saved by deduplication", bytes(found.dedupBytesSaved)],
    ["stageout received", bytes(found.stageoutBytesReceived)],
    ["database handles", `${found.dbHandles}, as before any agent came`],
    ["lost", String(found.lost)],
    ["duplicates", `${found.duplicates} (${found.renders} renders seen)`],
    ...(found.hubKills > 0 ? [["hub killed", `${found.hubKills} times, with SIGKILL`] as const] : []),
    ["video", found.video ?? "none"],
  ]
  const wide = Math.max(...rows.map(([name]) => name.length))
  return rows.map(([name, value]) => `  ${name.padEnd(wide)}  ${value}`).join("\n")
}

function bytes(count: number): string {
  if (count < 10_000) return `${count} B`
  return count < 10_000_000 ? `${(count / 1000).toFixed(1)} kB` : `${(count / 1_000_000).toFixed(1)} MB`
}
