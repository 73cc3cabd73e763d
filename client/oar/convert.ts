// OAR's words for our states, and its forms of numbers and times. One table; nothing of OAR's vocabulary stands elsewhere in the client.
import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt"
import { Outcome, Phase } from "../../proto/gen/cah/v1/job_pb.ts"

const states: Readonly<Record<number, string>> = {
  [Phase.QUEUED]: "Waiting",
  [Phase.HELD]: "Hold",
  // On a node, but its command has not begun: OAR's desktop jobs stay so until their agent comes.
  [Phase.OFFERED]: "toLaunch",
  [Phase.STAGING]: "toLaunch",
  [Phase.RUNNING]: "Running",
  [Phase.RETURNING]: "Finishing",
}

const letters: Readonly<Record<string, string>> = {
  Waiting: "W",
  Hold: "H",
  toLaunch: "L",
  Running: "R",
  Finishing: "F",
  Terminated: "T",
  Error: "E",
}

/** A job that failed ends in Error, as OAR's desktop jobs do. Jobs of a held campaign are queued to us, and held to OAR. */
export function oarState({ phase, outcome }: { phase: number; outcome: number }, held = false): string {
  if (held && phase === Phase.QUEUED) return "Hold"
  if (phase === Phase.ENDED) return outcome === Outcome.FINISHED ? "Terminated" : "Error"
  return states[phase] ?? "Waiting"
}

export function oarLetter(state: string): string {
  return letters[state] ?? "?"
}

/** 17 for a campaign of one job, 17.3 for a job of an array: what cah takes too. */
export function oarId(campaign: bigint, index: number, total: number): string {
  return total > 1 ? `${campaign}.${index}` : String(campaign)
}

/** "2026-11-22 10:02:03", in the user's own time, as OAR shows it. */
export function oarTime(at: Timestamp | undefined): string {
  if (at === undefined) return ""
  const date = timestampDate(at)
  const two = (value: number) => String(value).padStart(2, "0")
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join("-")
  return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":")}`
}

/** "2:0:0". */
export function oarWalltime(seconds: number): string {
  return [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60, Math.ceil(seconds) % 60].join(":")
}

/** OAR shows what wait(2) gave: the code in the upper byte. */
export function oarExit(code: number): string {
  return code > 128 ? `${code - 128} (0,${code - 128},0)` : `${code * 256} (${code},0,0)`
}
