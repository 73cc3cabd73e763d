// A V8 CPU profile of a running hub, for just the time that is measured: attached over the inspector that Node offers when started
// with --inspect, main thread and store writer alike. Summed up by function, by self time.
import { readFile, writeFile } from "node:fs/promises"
import { setTimeout as pause } from "node:timers/promises"
import { WebSocket } from "ws"

/** Between samples. Finer costs the hub more than it tells. */
const SAMPLE_US = 200
const TOP = 25
const TOP_FILES = 15
/** Threads that are busy less than this share of the time are left out. */
const BUSY_SHARE_MIN = 0.02
const READY_MAX_MS = 10_000

interface ProfileNode {
  readonly id: number
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  readonly children?: readonly number[]
}

export interface Profile {
  readonly nodes: readonly ProfileNode[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

interface Answer {
  readonly id?: number
  readonly method?: string
  readonly params?: Record<string, unknown>
  readonly result?: Record<string, unknown>
  readonly error?: { readonly message: string }
}

export class Profiler {
  readonly #socket: WebSocket
  readonly #pending = new Map<number, { resolve(result: Record<string, unknown>): void; reject(error: Error): void }>()
  /** Of worker threads, by session; the main thread is "". */
  readonly #threads = new Map<string, string>([["", "main"]])
  #lastId = 0

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on("message", data => this.#onAnswer("", JSON.parse(String(data)) as Answer))
  }

  /** The process writes where its inspector listens to its log. */
  static async attach(log: string): Promise<Profiler> {
    const deadlineMs = performance.now() + READY_MAX_MS
    for (;;) {
      const [, address] = /Debugger listening on (ws:\S+)/.exec(await readFile(log, "utf8")) ?? []
      if (address !== undefined) {
        const socket = new WebSocket(address, { perMessageDeflate: false })
        await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject))
        const profiler = new Profiler(socket)
        await profiler.#ask("", "NodeWorker.enable", { waitForDebuggerOnStart: false })
        return profiler
      }
      if (performance.now() > deadlineMs) throw new Error("the hub's inspector did not open")
      await pause(50)
    }
  }

  async begin(): Promise<void> {
    for (const session of this.#threads.keys()) {
      await this.#ask(session, "Profiler.enable")
      await this.#ask(session, "Profiler.setSamplingInterval", { interval: SAMPLE_US })
      await this.#ask(session, "Profiler.start")
    }
  }

  /** Writes one .cpuprofile for each thread, and returns what to print. */
  async finish(prefix: string): Promise<string> {
    const texts: string[] = []
    for (const [session, thread] of this.#threads) {
      const { profile } = (await this.#ask(session, "Profiler.stop")) as unknown as { profile: Profile }
      const top = topOf(profile)
      // Loaders and the like, which sleep.
      if (top === null) continue
      const file = `${prefix}.${thread.replaceAll(/\W+/g, "-")}.cpuprofile`
      await writeFile(file, JSON.stringify(profile))
      texts.push(`${thread}, in ${file}:\n${top}`)
    }
    return texts.join("\n\n")
  }

  close(): void {
    this.#socket.close()
  }

  #ask(session: string, method: string, params: object = {}): Promise<Record<string, unknown>> {
    const id = ++this.#lastId
    const answered = new Promise<Record<string, unknown>>((resolve, reject) =>
      this.#pending.set(id, { resolve, reject }),
    )
    const message = JSON.stringify({ id, method, params })
    if (session === "") this.#socket.send(message)
    else {
      const wrapped = {
        id: ++this.#lastId,
        method: "NodeWorker.sendMessageToWorker",
        params: { sessionId: session, message },
      }
      this.#socket.send(JSON.stringify(wrapped))
    }
    return answered
  }

  #onAnswer(session: string, answer: Answer): void {
    if (answer.method === "NodeWorker.attachedToWorker") {
      const { sessionId, workerInfo } = answer.params as { sessionId: string; workerInfo: { title: string } }
      this.#threads.set(sessionId, workerInfo.title)
    }
    if (answer.method === "NodeWorker.receivedMessageFromWorker") {
      const { sessionId, message } = answer.params as { sessionId: string; message: string }
      this.#onAnswer(sessionId, JSON.parse(message) as Answer)
    }
    if (answer.id === undefined) return
    const waiting = this.#pending.get(answer.id)
    this.#pending.delete(answer.id)
    if (answer.error === undefined) waiting?.resolve(answer.result ?? {})
    else waiting?.reject(new Error(`the inspector${session === "" ? "" : " of a worker"}: ${answer.error.message}`))
  }
}

/** Where the time went by function and by file, its own alone; what was idle is left out. Null: hardly anything went there. */
export function topOf({ nodes, samples, timeDeltas }: Profile): string | null {
  const placeOf = new Map(
    nodes.map(({ id, callFrame: { functionName, url } }) => {
      const file = url.replace(/^.*\/(?=(?:hub|proto|node_modules|scripts)\/)/, "").replace(/^node_modules\//, "")
      return [id, { name: functionName === "" ? "(anonymous)" : functionName, file }]
    }),
  )
  const [functions, files] = [new Map<string, number>(), new Map<string, number>()]
  let [busyUs, idleUs] = [0, 0]
  samples.forEach((id, i) => {
    const { name, file } = placeOf.get(id)!
    const us = timeDeltas[i] ?? 0
    if (name === "(idle)") {
      idleUs += us
      return
    }
    busyUs += us
    add(functions, `${name}  ${file}`, us)
    // Without a file: native code, or the collector.
    add(files, file === "" ? name : file, us)
  })
  if (busyUs < BUSY_SHARE_MIN * (busyUs + idleUs)) return null
  return [
    `  busy ${(busyUs / 1e3).toFixed(0)} ms, idle ${(idleUs / 1e3).toFixed(0)} ms`,
    ...largest(functions, TOP, busyUs),
    "  by file:",
    ...largest(files, TOP_FILES, busyUs),
  ].join("\n")
}

function add(sums: Map<string, number>, key: string, value: number): void {
  sums.set(key, (sums.get(key) ?? 0) + value)
}

function largest(sums: ReadonlyMap<string, number>, count: number, totalUs: number): string[] {
  const rows = [...sums].sort(([, a], [, b]) => b - a).slice(0, count)
  return rows.map(([name, us]) => {
    const share = ((100 * us) / totalUs).toFixed(1).padStart(6)
    return `${share} %  ${(us / 1e3).toFixed(0).padStart(7)} ms  ${name.trimEnd()}`
  })
}
