// What a job is told: its command line with its parameters, and its environment. Pure. A job sees what its scientist
// wrote and what is said here, nothing of the agent's or the volunteer's own environment.
import { type AttemptName, attemptId, type RunSpec } from "../core/model.ts"

export interface Surroundings {
  /** Name of this node. */
  readonly node: string
  /** The working directory, its file of nodes and its scratch directory, as the job sees them. */
  readonly work: string
  readonly nodeFile: string
  readonly scratch: string
}

export const PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"

/** One element is a line for the shell, to which the parameters are added as written; more are taken as they are, parameters split at spaces. */
export function commandOf(spec: RunSpec): string[] {
  const line = spec.line ?? ""
  const [first, ...rest] = spec.command
  if (first === undefined) return []
  if (rest.length === 0) return ["/bin/sh", "-c", line === "" ? first : `${first} ${line}`]
  return [first, ...rest, ...line.split(/\s+/).filter(word => word !== "")]
}

/** Of OpenMP, OpenBLAS and Intel's MKL. */
const threadVariables = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"]

/** The scientist's variables first, so that none of them can stand in for one of ours. */
export function environmentOf(name: AttemptName, spec: RunSpec, around: Surroundings): Record<string, string> {
  const jobId = spec.arraySize > 1 ? `${name.campaign}.${name.index}` : `${name.campaign}`
  const seconds = Math.ceil(spec.walltimeMs / 1_000)
  return {
    PATH,
    LANG: "C.UTF-8",
    USER: "nobody",
    LOGNAME: "nobody",
    SHELL: "/bin/sh",
    HOME: around.work,
    TMPDIR: around.scratch,
    // Libraries that count processors themselves, and not those they may use, begin too many threads. A scientist may know better.
    ...Object.fromEntries(threadVariables.map(variable => [variable, `${spec.needs.slots}`])),
    ...spec.env,
    PWD: around.work,
    CAH_JOB_ID: `${name.campaign}.${name.index}`,
    CAH_JOB_NAME: spec.campaignName,
    CAH_CAMPAIGN_ID: `${name.campaign}`,
    CAH_ARRAY_INDEX: `${name.index}`,
    CAH_ARRAY_SIZE: `${spec.arraySize}`,
    CAH_ATTEMPT: `${name.attempt}`,
    CAH_ATTEMPT_ID: attemptId(name),
    CAH_NODE: around.node,
    CAH_SLOTS: `${spec.needs.slots}`,
    CAH_PARAMETERS: spec.line ?? "",
    CAH_PROJECT_NAME: spec.project,
    CAH_WALLTIME_SECONDS: `${seconds}`,
    CAH_WORKDIR: around.work,
    CAH_NODEFILE: around.nodeFile,
    // Programs written for OAR find what they know. Its manual names both OAR_ARRAY_INDEX and OAR_JOB_INDEX.
    OAR_JOB_ID: jobId,
    OAR_JOB_NAME: spec.campaignName,
    OAR_ARRAY_ID: `${name.campaign}`,
    OAR_ARRAY_INDEX: `${name.index}`,
    OAR_JOB_INDEX: `${name.index}`,
    OAR_JOB_WALLTIME: clockTime(seconds),
    OAR_JOB_WALLTIME_SECONDS: `${seconds}`,
    OAR_PROJECT_NAME: spec.project,
    OAR_WORKDIR: around.work,
    OAR_WORKING_DIRECTORY: around.work,
    OAR_NODEFILE: around.nodeFile,
    OAR_NODE_FILE: around.nodeFile,
  }
}

/** Why this can't be run at all, or null. The system would refuse it with words that help nobody. */
export function unrunnable(spec: RunSpec): string | null {
  if (spec.command.length === 0) return "the command is empty"
  const texts = [...spec.command, spec.line ?? "", ...Object.values(spec.env), spec.campaignName, spec.project]
  if (texts.some(text => text.includes("\0")))
    return "a NUL character in the command, its parameters or its environment"
  const badName = Object.keys(spec.env).find(key => key === "" || /[=\0]/.test(key))
  if (badName !== undefined) return `"${badName}" can't be the name of an environment variable`
  return null
}

/** OAR's way to write a walltime, "2:00:00". */
function clockTime(seconds: number): string {
  const two = (n: number): string => `${n}`.padStart(2, "0")
  return `${Math.floor(seconds / 3_600)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
}
