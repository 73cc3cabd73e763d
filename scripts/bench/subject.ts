// What is measured: the real hub, or the bare one, in a process of its own on a core of its own, with a data directory that goes
// with it. Both are driven alike from here on.
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import Database from "better-sqlite3"
import { Hub } from "../demo/hub.ts"
import { end, type Program, ready, start, tail } from "../demo/processes.ts"
import { cores, pinned, type Usage, usageOf } from "./machine.ts"
import { Profiler } from "./profile.ts"

export interface Subject {
  readonly name: "hub" | "bare hub"
  readonly url: string
  readonly bearer: string
  readonly pid: number
  /** As many tokens as it takes for so many agents. */
  enrol(agents: number): Promise<string[]>
  usage(): Usage
  /** The 99th percentile of the event loop's delay since this was asked last. */
  loopDelayMs(): Promise<number>
  /** Throws unless the database, read by itself, holds exactly so many finished jobs, each in its first attempt. To be asked after stop(). */
  demandStored(jobs: number): void
  readonly profiler: Profiler | null
  stop(): Promise<void>
  /** Removes its data. */
  clear(): Promise<void>
}

export interface SubjectOptions {
  /** Records what its processor does. */
  readonly profile?: boolean
}

const ENROLMENT_USES_MAX = 10_000
const bareProgram = fileURLToPath(new URL("./bare-hub.ts", import.meta.url))

export async function startHub({ profile = false }: SubjectOptions = {}): Promise<Subject> {
  const place = await mkdtemp(join(tmpdir(), "cah-bench-"))
  const data = join(place, "hub")
  const log = join(place, "hub.log")
  const hub = await Hub.start(data, log, {
    host: "127.0.0.1",
    more: [],
    within: pinned(cores.hub),
    environment: profile ? { NODE_OPTIONS: "--inspect=127.0.0.1:0" } : {},
  })
  return {
    name: "hub",
    url: hub.url,
    bearer: hub.token,
    pid: hub.program.pid,
    async enrol(agents) {
      const secrets: string[] = []
      for (let left = agents; left > 0; left -= ENROLMENT_USES_MAX) {
        const uses = Math.min(left, ENROLMENT_USES_MAX)
        const { secret } = await hub.ask<{ secret: string }>("OperatorService/CreateEnrolment", {
          account: "bench",
          uses,
        })
        secrets.push(secret)
      }
      return secrets
    },
    usage: () => usageOf(hub.program.pid)!,
    async loopDelayMs() {
      return ((await hub.metrics()).get('cah_event_loop_lag_seconds{percentile="99"}') ?? Number.NaN) * 1_000
    },
    demandStored(jobs) {
      demand(join(data, "hub.db"), jobs, {
        jobs: "SELECT count(*) AS count, max(attempt) AS attempt FROM jobs WHERE outcome = 'finished'",
        others: "SELECT count(*) AS count FROM jobs WHERE outcome IS NULL OR outcome <> 'finished'",
        results: "SELECT count(*) AS count FROM results",
      })
    },
    profiler: profile ? await Profiler.attach(log) : null,
    stop: () => stopped(hub.program),
    clear: () => rm(place, { recursive: true, force: true }),
  }
}

export async function startBare(): Promise<Subject> {
  const place = await mkdtemp(join(tmpdir(), "cah-bench-"))
  const program = start(
    "bare hub",
    ["--import", "tsx", bareProgram, place],
    {},
    join(place, "bare.log"),
    pinned(cores.hub),
  )
  const told = join(place, "bare.json")
  const url = await ready(program, () =>
    readFile(told, "utf8").then(
      text => (JSON.parse(text) as { url: string }).url,
      () => null,
    ),
  )
  return {
    name: "bare hub",
    url,
    bearer: "nobody asks",
    pid: program.pid,
    enrol: () => Promise.resolve(["nobody asks"]),
    usage: () => usageOf(program.pid)!,
    async loopDelayMs() {
      const answer = (await (await fetch(new URL("/loop", url))).json()) as { p99Ms: number }
      return answer.p99Ms
    },
    demandStored(jobs) {
      demand(join(place, "bare.db"), jobs, {
        jobs: "SELECT count(*) AS count, max(attempt) AS attempt FROM jobs",
        others: "SELECT count(*) AS count FROM jobs WHERE length(result) = 0",
        results: "SELECT count(*) AS count FROM jobs",
      })
    },
    profiler: null,
    stop: () => stopped(program),
    clear: () => rm(place, { recursive: true, force: true }),
  }
}

async function stopped(program: Program): Promise<void> {
  if (program.over) throw new Error(`${program.name} died meanwhile (${await program.ended}):\n${await tail(program)}`)
  const stubborn = await end([program])
  if (stubborn.length > 0) throw new Error(`${program.name} did not stop:\n${await tail(program)}`)
}

/** Not through whatever wrote it: its own queries on its own handle. */
function demand(file: string, jobs: number, queries: { jobs: string; others: string; results: string }): void {
  const db = new Database(file, { readonly: true, fileMustExist: true })
  try {
    const finished = db.prepare(queries.jobs).get() as { count: number; attempt: number }
    const others = db.prepare(queries.others).get() as { count: number }
    const results = db.prepare(queries.results).get() as { count: number }
    const right = finished.count === jobs && finished.attempt === 1 && others.count === 0 && results.count === jobs
    if (right) return
    const found = JSON.stringify({ finished, others, results })
    throw new Error(
      `counts are wrong: the database should hold ${jobs} jobs finished at the first attempt, but: ${found}`,
    )
  } finally {
    db.close()
  }
}
