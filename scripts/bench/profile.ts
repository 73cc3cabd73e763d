// A V8 CPU profile of a running hub, for just the time that is measured: attached over the inspector that Node offers when started
// with --inspect, main thread and store writer alike. Summed up by function, by self time.
import { readFile, writeFile } from "node:fs/promises"
import { setTimeout as pause } from "node:timers/promises"
import { WebSocket } from "ws"

/** Between samples. Finer costs the hub more than it tells. */
const SAMPLE_US = 200
const TOP = 25
const READY_MAX_MS = 10_000

interface ProfileNode {
  readonly id: number
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  readonly children?: readonly number[]
}

interface Profile {
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
      const file = `${prefix}.${thread.replaceAll(/\W+/g, "-")}.cpuprofile`
      await writeFile(file, JSON.stringify(profile))
      texts.push(`${thread}, in ${file}:\n${topOf(profile)}`)
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

/** The functions that took most time themselves, with what was idle apart. */
function topOf({ nodes, samples, timeDeltas }: Profile): string {
  const nameOf = new Map(
    nodes.map(({ id, callFrame: { functionName, url } }) => {
      const file = url.replace(/^.*\/(?=(?:hub|proto|node_modules|scripts)\/)/, "").replace(/^node_modules\//, "")
      return [id, `${functionName === "" ? "(anonymous)" : functionName}${file === "" ? "" : `  ${file}`}`]
    }),
  )
  const self = new Map<string, number>()
  let total = 0
  let idle = 0
  samples.forEach((id, i) => {
    const name = nameOf.get(id)!
    const us = timeDeltas[i] ?? 0
    if (name === "(idle)") {
      idle += us
      return
    }
    total += us
    self.set(name, (self.get(name) ?? 0) + us)
  })
  const rows = [...self].sort(([, a], [, b]) => b - a).slice(0, TOP)
  const lines = rows.map(
    ([name, us]) =>
      `${((100 * us) / total).toFixed(1).padStart(6)} %  ${(us / 1e3).toFixed(0).padStart(7)} ms  ${name}`,
  )
  return [`  busy ${(total / 1e3).toFixed(0)} ms, idle ${(idle / 1e3).toFixed(0)} ms`, ...lines].join("\n")
}
