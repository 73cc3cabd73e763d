// OAR's job types (-t): those that every job here has anyway, those that are asked for, and those that mean nothing on strangers' machines.
// A type is accepted only if the job gets what it says.
import { usage } from "../errors.ts"

export type JobType =
  | { readonly kind: "desktop_computing" | "idempotent" | "besteffort" | "container" | "noop" }
  /** In the places of that campaign's jobs. */
  | { readonly kind: "inner"; readonly campaign: string }

const accepted = ["besteffort", "container", "inner=ID", "idempotent", "noop", "desktop_computing"]

const refused: Readonly<Record<string, string>> = {
  inner: "in which container? Write -t inner=ID.",
  token: "counts licences or the like across jobs, and nobody keeps such counts here.",
  cosystem: "needs a front-end that jobs run on; here they run on the nodes.",
  deploy: "would install the node anew; nodes here belong to volunteers.",
  timesharing: "would put others into a job's slots, which are its own.",
  allow_classic_ssh: "would let you log in; nobody logs in to a volunteer's machine.",
}

export function parseType(text: string): JobType {
  const inner = /^inner=(.+)$/.exec(text)?.[1]?.trim()
  if (inner !== undefined && inner !== "") return { kind: "inner", campaign: inner }
  const kind = (["desktop_computing", "idempotent", "besteffort", "container", "noop"] as const).find(
    word => word === text,
  )
  if (kind !== undefined) return { kind }
  const name = /^[a-z_]+/i.exec(text)?.[0] ?? text
  const why = Object.hasOwn(refused, name) ? refused[name] : undefined
  throw usage(
    why === undefined ? `-t: "${text}" is not a type of job.` : `-t ${text}: ${name} ${why}`,
    `Accepted: ${accepted.join(", ")}.`,
  )
}
