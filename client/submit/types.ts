// OAR's job types (-t): those that every job here has anyway, those that mean nothing on strangers' machines, and those that are
// not there yet. A type is accepted only if the job gets what it says.
import { usage } from "../errors.ts"

/** The job is run on machines that come and go, and may be run again from its start: so is every job here. */
const always = ["desktop_computing", "idempotent"]

const refused: Readonly<Record<string, string>> = {
  besteffort: "is not supported yet. Give it a low place instead: --priority -100",
  container: "is not supported yet.",
  inner: "is not supported yet.",
  noop: "is not supported: a job here runs its command.",
  cosystem: "needs a front-end that jobs run on; here they run on the nodes.",
  deploy: "would install the node anew; nodes here belong to volunteers.",
  timesharing: "is not supported: a job's slots are its own.",
  token: "is not supported yet.",
}

export function checkType(text: string): string {
  if (always.includes(text)) return text
  const name = /^[a-z_]+/i.exec(text)?.[0] ?? text
  const known = Object.hasOwn(refused, name)
  throw usage(
    known ? `-t ${text}: ${name} ${refused[name]}` : `-t: "${text}" is not a type of job.`,
    `Accepted: ${always.join(", ")}; every job here is both.`,
  )
}
