// beanstalkd in its own protocol, which is lines of text: puts that are answered INSERTED, reserves and deletes that are answered
// DELETED. The producer has many puts on their way; a consumer's connection stands still while it waits for a task, so each has one task.
import { connect, type Socket } from "node:net"
import { Counter } from "../counter.ts"
import type { Client } from "../peer.ts"

/** Puts on their way. */
const AT_ONCE = 1_000

class Connection {
  readonly #socket: Socket
  #rest = Buffer.alloc(0)
  /** Who waits for the answers, in order. */
  readonly #waiting: ((line: string, body: string) => void)[] = []
  #taken = 0

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on("data", bytes => this.#onData(bytes))
  }

  static async open(address: string): Promise<Connection> {
    const { hostname, port } = new URL(address)
    const socket = connect({ host: hostname, port: Number(port), noDelay: true })
    await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject))
    return new Connection(socket)
  }

  ask(command: string, answered: (line: string, body: string) => void): void {
    this.#waiting.push(answered)
    this.#socket.write(command)
  }

  #onData(bytes: Buffer): void {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    let at = 0
    for (;;) {
      const end = all.indexOf("\r\n", at)
      if (end < 0) break
      const line = all.toString("latin1", at, end)
      let next = end + 2
      let body = ""
      if (line.startsWith("RESERVED ")) {
        const length = Number(line.split(" ")[2])
        if (next + length + 2 > all.length) break
        body = all.toString("latin1", next, next + length)
        next += length + 2
      }
      at = next
      this.#waiting[this.#taken++]!(line, body)
      if (this.#taken > AT_ONCE) this.#waiting.splice(0, this.#taken)
      if (this.#waiting.length < this.#taken) this.#taken = 0
    }
    this.#rest = Buffer.from(all.subarray(at))
  }
}

export const beanstalkd: Client = async ({ address, tasks, workers }, counter) => {
  const producer = await Connection.open(address)
  const consumers: Connection[] = []
  for (let worker = 0; worker < workers; worker++) consumers.push(await Connection.open(address))
  return async () => {
    for (const consumer of consumers) take(consumer, counter)
    await putAll(producer, tasks)
    await counter.all
  }
}

/** One task after the other, for ever. */
function take(consumer: Connection, counter: Counter): void {
  consumer.ask("reserve\r\n", (line, body) => {
    expect(line, "RESERVED")
    consumer.ask(`delete ${line.split(" ")[1]}\r\n`, deleted => {
      expect(deleted, "DELETED")
      counter.took(body)
    })
    // In the same turn: both leave together.
    take(consumer, counter)
  })
}

function putAll(producer: Connection, tasks: number): Promise<void> {
  return new Promise(resolve => {
    let [next, inserted] = [0, 0]
    const put = () => {
      if (next >= tasks) return
      const payload = Counter.payload(next++)
      producer.ask(`put 0 0 600 ${payload.length}\r\n${payload}\r\n`, line => {
        expect(line, "INSERTED")
        if (++inserted === tasks) resolve()
        else put()
      })
    }
    for (let i = 0; i < AT_ONCE; i++) put()
  })
}

function expect(line: string, word: string): void {
  if (!line.startsWith(word)) throw new Error(`beanstalkd answered "${line}" where ${word} was expected`)
}
