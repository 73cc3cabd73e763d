// The agent's end of a WebSocket with as little as it takes, so that a simulated agent costs a fraction of what its hub does:
// frames of one read are handed over in place, what they lead to leaves in one masked write. Only for a server we trust: no
// fragments, no text, no compression.
import { randomBytes } from "node:crypto"
import { connect, type Socket } from "node:net"
import { SUBPROTOCOL } from "../../proto/wire/frame.ts"

export interface SocketHandler {
  opened(): void
  /** One message: bytes start … end of a buffer that is only good during the call. */
  message(bytes: Buffer, start: number, end: number): void
  /** After all messages of one read. */
  drained(): void
  /** Over, or never begun. retryAfterMs: what a refusal said. */
  closed(why: string, retryAfterMs: number | null): void
}

/** Not zero: a server would skip the unmasking that it does for every real agent. */
const mask = [0x5d, 0xa1, 0x3c, 0x77] as const
/** For what one agent says in one turn: 64 slots of reports fit many times. */
const SCRATCH_BYTES = 1024 * 1024

const opcodes = { binary: 0x82, close: 0x88, ping: 0x89, pong: 0x8a } as const
/** One for all agents of the process: writes are copied out of it at the end of a turn. */
const scratch = Buffer.allocUnsafe(SCRATCH_BYTES)

export class AgentSocket {
  readonly #handler: SocketHandler
  readonly #socket: Socket
  #rest: Buffer | null = null
  #isOpen = false
  #isOver = false
  #at = 0

  constructor(url: URL, handler: SocketHandler) {
    this.#handler = handler
    this.#socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true })
    this.#socket.on("connect", () => this.#upgrade(url))
    this.#socket.on("data", bytes => this.#onData(bytes))
    this.#socket.on("error", error => this.#end((error as NodeJS.ErrnoException).code ?? error.message, null))
    this.#socket.on("close", () => this.#end("the connection was closed", null))
  }

  /** Room for a message of this length in the turn's write: put it into `scratch` from the returned place on, then seal(). */
  begin(length: number): number {
    if (this.#at + length + 14 > SCRATCH_BYTES) this.flush()
    this.#at += length < 126 ? 6 : 8
    return this.#at
  }

  get scratch(): Buffer {
    return scratch
  }

  /** The message begun at `start` is there. */
  seal(start: number, length: number, opcode: number = opcodes.binary): void {
    let head = start - (length < 126 ? 6 : 8)
    scratch[head++] = opcode
    if (length < 126) scratch[head++] = 0x80 | length
    else {
      scratch[head++] = 0x80 | 126
      head = scratch.writeUInt16BE(length, head)
    }
    for (const byte of mask) scratch[head++] = byte
    for (let i = 0; i < length; i++) scratch[start + i]! ^= mask[i & 3]!
    this.#at = start + length
  }

  send(message: Uint8Array, opcode?: number): void {
    const start = this.begin(message.length)
    scratch.set(message, start)
    this.seal(start, message.length, opcode)
  }

  ping(): void {
    this.send(new Uint8Array(0), opcodes.ping)
    this.flush()
  }

  /** Writes what was said in this turn. Must be called before another agent's turn. */
  flush(): void {
    if (this.#at === 0) return
    this.#socket.write(Buffer.from(scratch.subarray(0, this.#at)))
    this.#at = 0
  }

  destroy(): void {
    this.#isOver = true
    this.#socket.destroy()
  }

  #upgrade(url: URL): void {
    this.#socket.write(
      [
        "GET /agent HTTP/1.1",
        `Host: ${url.host}`,
        "Upgrade: websocket",
        "Connection: Upgrade",
        `Sec-WebSocket-Key: ${randomBytes(16).toString("base64")}`,
        "Sec-WebSocket-Version: 13",
        `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`,
        "\r\n",
      ].join("\r\n"),
    )
  }

  #onData(read: Buffer): void {
    if (this.#isOver) return
    let bytes = this.#rest === null ? read : Buffer.concat([this.#rest, read])
    this.#rest = null
    if (!this.#isOpen) {
      const headEnd = bytes.indexOf("\r\n\r\n")
      if (headEnd < 0) {
        this.#rest = bytes
        return
      }
      const head = bytes.toString("latin1", 0, headEnd)
      if (!head.startsWith("HTTP/1.1 101")) {
        const retry = /^retry-after: *(\d+)/im.exec(head)
        const [, status = "no status"] = /^HTTP\/1\.1 (\d+)/.exec(head) ?? []
        // The hub writes head and body at once, and the body says why.
        const reason = bytes.toString("utf8", headEnd + 4).trim()
        this.#end(`${status}: ${reason}`, retry === null ? null : Number(retry[1]) * 1_000)
        return
      }
      this.#isOpen = true
      this.#handler.opened()
      bytes = bytes.subarray(headEnd + 4)
    }
    const taken = this.#messages(bytes)
    if (taken < bytes.length) this.#rest = taken === 0 ? bytes : Buffer.from(bytes.subarray(taken))
    this.#handler.drained()
    this.flush()
  }

  /** Hands over whole messages; returns how many bytes they were. */
  #messages(bytes: Buffer): number {
    let at = 0
    while (at + 2 <= bytes.length) {
      let length = bytes[at + 1]!
      let start = at + 2
      if (length === 126) {
        if (at + 4 > bytes.length) break
        length = bytes.readUInt16BE(start)
        start += 2
      } else if (length === 127) {
        if (at + 10 > bytes.length) break
        length = Number(bytes.readBigUInt64BE(start))
        start += 8
      }
      const end = start + length
      if (end > bytes.length) break
      const opcode = bytes[at]!
      if (opcode === opcodes.binary) this.#handler.message(bytes, start, end)
      else if (opcode === opcodes.ping) this.send(bytes.subarray(start, end), opcodes.pong)
      else if (opcode === opcodes.close) {
        this.#end(`closed by the hub: ${bytes.toString("utf8", start + 2, end)}`, null)
        return bytes.length
      } else if (opcode !== opcodes.pong) throw new Error(`a WebSocket frame of kind ${opcode}`)
      at = end
    }
    return at
  }

  #end(why: string, retryAfterMs: number | null): void {
    if (this.#isOver) return
    this.destroy()
    this.#handler.closed(why, retryAfterMs)
  }
}
