// What is measured: the real hub, or a bare one, in a process of its own on a core of its own, with a data directory that goes
// with it. All are driven alike from here on.
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import Database from "better-sqlite3"
import { Hub } from "../harness/hub.ts"
import { end, type Program, ready, start, tail } from "../harness/processes.ts"
import { cores, pinned, type Usage, usageOf } from "./machine.ts"
import { Profiler } from "./profile.ts"

export interface Subject {
  readonly name: string
  readonly url: string
  readonly bearer: string
  readonly pid: number
  /** The file of its SQLite database. */
  readonly database: string
  /** As many tokens as it takes for so many agents. */
  enrol(agents: number): Promise<string[]>
  usage(): Usage
  /** The 99th percentile of the event loop's delay since this was asked last. */
  loopDelayMs(): Promise<number>
  /** Throws unless the database, read by itself, holds exactly so many finished jobs, each in its first attempt. To be asked after stop(). */
  demandStored(jobs: number): void
  /** The same for campaigns that nobody ran: exactly so many, all of whose jobs are there with their own lines. */
  demandQueued(campaigns: number, jobsEach: number): void
  readonly profiler: Profiler | null
  stop(): Promise<void>
  /** Removes its data. */
  clear(): Promise<void>
}

export interface HubSubject extends Subject {
  /** As a power cut of the process looks, and its start on the same data and port. Resolves when it listens again. */
  killAndStart(): Promise<void>
}

export interface SubjectOptions {
  /** Records what its processor does. */
  readonly profile?: boolean
}

const ENROLMENT_USES_MAX = 10_000

export async function startHub({ profile = false }: SubjectOptions = {}): Promise<HubSubject> {
  const place = await mkdtemp(join(tmpdir(), "cah-bench-"))
  const data = join(place, "hub")
  const log = join(place, "hub.log")
  const database = join(data, "hub.db")
  const hub = await Hub.start(data, log, {
    host: "127.0.0.1",
    // One owner submits all: the quota of one is not what is measured.
    more: ["--quota-jobs", "1000000000", "--quota-submits", "1000000", "--quota-watches", "100000"],
    within: pinned(cores.hub),
    environment: profile ? { NODE_OPTIONS: "--inspect=127.0.0.1:0" } : {},
  })
  return {
    name: "hub",
    url: hub.url,
    bearer: hub.token,
    get pid() {
      return hub.program.pid
    },
    database,
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
      demand(database, {
        // A job that ended with a result is that result's row; jobs holds all others.
        "SELECT count(*) FROM results WHERE outcome = 'finished' AND last_attempt = 1": jobs,
        "SELECT count(*) FROM results": jobs,
        "SELECT count(*) FROM jobs": 0,
      })
    },
    demandQueued(campaigns, jobsEach) {
      demand(database, {
        "SELECT count(*) FROM campaigns": campaigns,
        [`SELECT count(*) FROM campaigns WHERE total = ${jobsEach}`]: campaigns,
        "SELECT count(DISTINCT value) FROM parameters, json_each(parameters.lines)": jobsEach,
        "SELECT sum(count) FROM parameters": campaigns * jobsEach,
      })
    },
    profiler: profile ? await Profiler.attach(log) : null,
    async killAndStart() {
      await hub.killAtOnce()
      await hub.startAgain()
    },
    stop: () => stopped(hub.program),
    clear: () => rm(place, { recursive: true, force: true }),
  }
}

/** For agents and their jobs, for submits alone, for bytes alone. */
const bares = {
  "bare hub": new URL("./bare-hub.ts", import.meta.url),
  "bare grpc": new URL("./bare-grpc.ts", import.meta.url),
  "bare http": new URL("./bare-http.ts", import.meta.url),
} as const

export async function startBare(name: keyof typeof bares = "bare hub"): Promise<Subject> {
  const place = await mkdtemp(join(tmpdir(), "cah-bench-"))
  const source = fileURLToPath(bares[name])
  const program = start(name, ["--import", "tsx", source, place], {}, join(place, "bare.log"), pinned(cores.hub))
  const told = join(place, "bare.json")
  const database = join(place, "bare.db")
  const url = await ready(program, () =>
    readFile(told, "utf8").then(
      text => (JSON.parse(text) as { url: string }).url,
      () => null,
    ),
  )
  return {
    name,
    url,
    bearer: "nobody asks",
    pid: program.pid,
    database,
    enrol: () => Promise.resolve(["nobody asks"]),
    usage: () => usageOf(program.pid)!,
    async loopDelayMs() {
      const answer = (await (await fetch(new URL("/loop", url))).json()) as { p99Ms: number }
      return answer.p99Ms
    },
    demandStored(jobs) {
      demand(database, {
        "SELECT count(*) FROM jobs WHERE attempt = 1 AND length(result) > 0": jobs,
        "SELECT count(*) FROM jobs": jobs,
      })
    },
    demandQueued(campaigns, jobsEach) {
      demand(database, {
        [`SELECT count(*) FROM campaigns WHERE total = ${jobsEach}`]: campaigns,
        "SELECT count(DISTINCT value) FROM campaigns, json_each(campaigns.lines)": jobsEach,
        "SELECT sum(json_array_length(lines)) FROM campaigns": campaigns * jobsEach,
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

/** Not through whatever wrote it: these queries, on a handle of our own. Throws where an answer is not the one that is wanted. */
export function demand(database: string, wanted: Readonly<Record<string, number>>): void {
  const db = new Database(database, { readonly: true, fileMustExist: true })
  try {
    for (const [query, count] of Object.entries(wanted)) {
      const found = (db.prepare(query).pluck().get() as number | null) ?? 0
      if (found !== count)
        throw new Error(`counts are wrong: the database should answer ${count} to "${query}": ${found}`)
    }
  } finally {
    db.close()
  }
}
