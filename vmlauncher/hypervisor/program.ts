// Runs a program of this computer's and gives its output; for questions that take no longer than a few seconds.
import { execFile } from "node:child_process"
import { ASK_MS } from "../limits.ts"

export interface Answer {
  /** Null: it could not be run at all. */
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

export function ask(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  return new Promise(resolve => {
    const options = { timeout: ASK_MS, killSignal: "SIGKILL", encoding: "utf8", maxBuffer: 4 * 1024 * 1024 } as const
    execFile(
      program,
      [...args],
      { ...options, env: { PATH: SEARCH_PATH, LC_ALL: "C", ...env } },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : null
        resolve({
          exitCode: code,
          stdout,
          stderr: error !== null && code === null ? `${stderr}${error.message}` : stderr,
        })
      },
    )
  })
}

/** Where distributions put hypervisors; a client started as a service has hardly any PATH of its own. */
export const SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
