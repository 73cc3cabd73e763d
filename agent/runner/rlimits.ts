// The limits that each process of a job bears (setrlimit), set by util-linux's prlimit, which changes its own and becomes the next program. Pure.
// They bound one process, not a job: for the sums see cgroup.ts, where the kernel counts, and watch.ts, where the agent does.

/** Where util-linux has them on every Linux that has bubblewrap. */
export const PRLIMIT = "/usr/bin/prlimit"
export const TASKSET = "/usr/bin/taskset"

export interface ProcessLimits {
  /** The largest file. */
  readonly fileBytes: number
  /** Private memory that is set aside, used or not; none where the kernel counts what is used. */
  readonly dataBytes?: number | null
  /** Processes and threads of the user who runs the job. */
  readonly processes?: number | null
}

/** What a command is put behind. No core dumps. */
export function resourceLimits({ fileBytes, dataBytes = null, processes = null }: ProcessLimits): string[] {
  return [
    ...[PRLIMIT, "--core=0:0", `--fsize=${fileBytes}:${fileBytes}`],
    ...(dataBytes === null ? [] : [`--data=${dataBytes}:${dataBytes}`]),
    ...(processes === null ? [] : [`--nproc=${processes}:${processes}`]),
    "--",
  ]
}

/** The same inside a sandbox, for what is counted there. */
export function innerLimits(processes: number): string[] {
  return [PRLIMIT, `--nproc=${processes}:${processes}`, "--"]
}
