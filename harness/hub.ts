// The demo's hub: started, asked, killed and started again on the same port and data. Asks over Connect JSON with plain fetch, so
// that what is verified here shares no code with the client. Answers are protobuf's JSON.
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { kill, type Program, ready, start } from "./processes.ts"

/** One question, hub restarts included: it is away for seconds at a time. */
const ASK_MAX_MS = 30_000
const ASK_AGAIN_MS = 100

export interface JobAnswer {
  readonly id?: { readonly index?: number }
  readonly phase?: string
  readonly outcome?: string
  readonly attempt?: number
  readonly failures?: number
  readonly losses?: number
  readonly node?: string
  /** Durations are "1.234s". */
  readonly result?: { readonly runTime?: string; readonly stageout?: { readonly sizeBytes?: string } }
}

export interface CampaignAnswer {
  readonly counts?: Readonly<Record<string, number>>
  readonly submittedAt?: string
  readonly endedAt?: string
}

/** Totals over all lives of the hub: counters begin at 0 with each start. */
export interface Totals {
  stageinBytes: number
  stageoutBytes: number
}

export interface Where {
  readonly host: string
  /** More flags. */
  readonly more: readonly string[]
  readonly environment?: Record<string, string>
  /** As for start() of processes.ts: what runs the hub. */
  readonly within?: readonly string[]
  /** Which hub is started; this clone's unless said. */
  readonly program?: string
  /** The host by which we reach it, where that is not the one it listens on. */
  readonly reach?: string
}

export class Hub {
  readonly #data: string
  readonly #log: string
  readonly #where: Where
  readonly totals: Totals = { stageinBytes: 0, stageoutBytes: 0 }
  program: Program
  url: string
  token = ""

  private constructor(data: string, log: string, where: Where, program: Program) {
    this.#data = data
    this.#log = log
    this.#where = where
    this.program = program
    this.url = ""
  }

  static async start(data: string, log: string, where: Where = { host: "127.0.0.1", more: [] }): Promise<Hub> {
    const hub = new Hub(data, log, where, launch(data, log, where, 0))
    await hub.isReady()
    return hub
  }

  /** Rejects when it ends before, or takes too long. */
  async isReady(): Promise<void> {
    this.url = await ready(this.program, async () => {
      try {
        const told = JSON.parse(await readFile(join(this.#data, "hub.json"), "utf8")) as { pid: number; url: string }
        return told.pid === this.program.pid ? this.#reached(told.url) : null // the file of an earlier life names another pid
      } catch {
        return null // not there yet, or what a power cut left of it
      }
    })
    this.token = (await readFile(join(this.#data, "admin.token"), "utf8")).trim()
  }

  #reached(told: string): string {
    if (this.#where.reach === undefined) return told
    const url = new URL(told)
    url.hostname = this.#where.reach
    return url.origin
  }

  /** Counters since its start are read just before: what is transferred in the milliseconds between is not counted. */
  async kill(): Promise<void> {
    await this.#count()
    await kill(this.program)
  }

  /** Without counting first: also a hub that answers nobody any more. */
  killAtOnce(): Promise<void> {
    return kill(this.program)
  }

  async startAgain(within: readonly string[] = []): Promise<void> {
    this.begin(within)
    await this.isReady()
  }

  /** Begins a start that may come to nothing: run `within` something that hinders it. */
  begin(within: readonly string[]): void {
    const where = within.length === 0 ? this.#where : { ...this.#where, within }
    this.program = launch(this.#data, this.#log, where, Number(new URL(this.url).port))
  }

  async #count(): Promise<void> {
    const samples = await this.metrics()
    this.totals.stageinBytes += samples.get('cah_stream_bytes_total{dir="out",kind="stagein"}') ?? 0
    this.totals.stageoutBytes += samples.get('cah_stream_bytes_total{dir="in",kind="stageout"}') ?? 0
  }

  /** Reads the counters for the last time. */
  async finalTotals(): Promise<Totals> {
    await this.#count()
    return this.totals
  }

  async metrics(): Promise<Map<string, number>> {
    const answer = await fetch(new URL("/metrics", this.url), { headers: { authorization: `Bearer ${this.token}` } })
    if (!answer.ok) throw new Error(`/metrics answered ${answer.status}: ${await answer.text()}`)
    const lines = (await answer.text()).split("\n").filter(line => line !== "" && !line.startsWith("#"))
    return new Map(
      lines.map(line => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]),
    )
  }

  /** Calls a method; asks again while the hub is away. */
  async ask<Answer>(method: `${"ScientistService" | "OperatorService"}/${string}`, message: object): Promise<Answer> {
    const deadlineMs = performance.now() + ASK_MAX_MS
    for (;;) {
      try {
        const { status, text } = await this.askOnce(method, message)
        if (status === 200) return JSON.parse(text) as Answer
        if (status !== 503) throw new HubSaidNo(`${method} answered ${status}: ${text}`)
      } catch (error) {
        if (error instanceof HubSaidNo || performance.now() > deadlineMs) throw error
      }
      await pause(ASK_AGAIN_MS)
    }
  }

  /** Whatever the hub answers. */
  async askOnce(
    method: `${"ScientistService" | "OperatorService"}/${string}`,
    message: object,
  ): Promise<{ readonly status: number; readonly text: string }> {
    const answer = await fetch(new URL(`/cah.v1.${method}`, this.url), {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${this.token}` },
      body: JSON.stringify(message),
      signal: AbortSignal.timeout(ASK_MAX_MS),
    })
    return { status: answer.status, text: await answer.text() }
  }

  /** Every job of a campaign, page by page. */
  async jobs(campaign: string): Promise<JobAnswer[]> {
    const all: JobAnswer[] = []
    for (;;) {
      const page = await this.ask<{ jobs?: JobAnswer[] }>("ScientistService/ListJobs", {
        campaign,
        limit: 1000,
        fromIndex: all.length === 0 ? 0 : (all.at(-1)?.id?.index ?? 0) + 1,
      })
      if (page.jobs === undefined || page.jobs.length === 0) return all
      all.push(...page.jobs)
    }
  }
}

class HubSaidNo extends Error {}

function launch(data: string, log: string, where: Where, port: number): Program {
  const { host, more, environment = {}, within = [], program = "hub/bin/cah-hub.mjs" } = where
  const flags = ["--data", data, "--listen", `${host}:${port}`, ...more]
  return start("hub", [program, ...flags], environment, log, within)
}
