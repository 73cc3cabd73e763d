// QEMU's control connection (QMP): one JSON object a line, questions answered in order, events in between. QEMU calls us on a socket file, which is how
// a QEMU whose launcher has died in the meantime finds out. Knows the protocol and no command.
import type { Socket } from "node:net"
import { QMP_ANSWER_MS, QMP_LINE_MAX_BYTES } from "../../limits.ts"

export interface QmpEvent {
  readonly event: string
  readonly data?: Readonly<Record<string, unknown>>
}

interface Question {
  readonly command: string
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: Error) => void
  readonly timer: NodeJS.Timeout
}

export class Qmp {
  readonly #socket: Socket
  readonly #onEvent: (event: QmpEvent) => void
  readonly #questions = new Map<number, Question>()
  #lastId = 0
  #rest = ""
  #greeted: () => void = () => {}
  readonly #greeting: Promise<void>

  constructor(socket: Socket, onEvent: (event: QmpEvent) => void) {
    this.#socket = socket
    this.#onEvent = onEvent
    this.#greeting = new Promise(resolve => {
      this.#greeted = resolve
    })
    socket.setEncoding("utf8")
    socket.on("data", (text: string) => this.#onData(text))
    socket.on("error", () => socket.destroy())
    socket.on("close", () => this.#onClose())
  }

  /** To be called once, first. */
  async greet(): Promise<void> {
    await this.#greeting
    await this.execute("qmp_capabilities")
  }

  /** Rejects with QEMU's own words, or if it does not answer in time. */
  execute(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    const id = ++this.#lastId
    return new Promise((resolve, reject) => {
      const late = (): void => {
        this.#questions.delete(id)
        reject(new Error(`QEMU did not answer ${command} within ${QMP_ANSWER_MS / 1_000} s`))
      }
      const timer = setTimeout(late, QMP_ANSWER_MS)
      this.#questions.set(id, { command, resolve, reject, timer })
      if (this.#socket.destroyed) return this.#onClose()
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`)
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #onData(text: string): void {
    this.#rest += text
    const lines = this.#rest.split("\n")
    this.#rest = lines.pop()!
    if (this.#rest.length > QMP_LINE_MAX_BYTES) this.#socket.destroy()
    for (const line of lines) if (line.trim() !== "") this.#onMessage(line)
  }

  #onMessage(line: string): void {
    let message: Record<string, unknown>
    try {
      message = JSON.parse(line) as Record<string, unknown>
    } catch {
      // QEMU does not write such a line. Whatever this is, it can't be talked to.
      this.#socket.destroy()
      return
    }
    if ("QMP" in message) return this.#greeted()
    if ("event" in message) return this.#onEvent(message as unknown as QmpEvent)
    const id = message.id as number
    const question = this.#questions.get(id)
    if (question === undefined) return
    this.#questions.delete(id)
    clearTimeout(question.timer)
    if ("return" in message) return question.resolve(message.return)
    const why = (message.error as { desc?: string } | undefined)?.desc ?? "no reason given"
    question.reject(new Error(`QEMU refused ${question.command}: ${why}`))
  }

  #onClose(): void {
    this.#greeted()
    for (const { command, reject, timer } of this.#questions.values()) {
      clearTimeout(timer)
      reject(new Error(`QEMU was gone before it answered ${command}`))
    }
    this.#questions.clear()
  }
}
