// A wire that breaks when it is told to: passes bytes between the client and the hub, and cuts one connection after so many bytes of a
// download or an upload. Looks at the beginning of requests only to know which is which.
import { connect, createServer, type Server, type Socket } from "node:net"

interface Cut {
  readonly request: string
  /** Which way the bytes are counted: what the hub sends, or what it is sent. */
  readonly direction: "down" | "up"
  readonly afterBytes: number
}

/** Requests with shorter bodies are questions about an upload, not the upload. */
const UPLOAD_BYTES_MIN = 50_000

export class Cutter {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #target: number
  #cut: Cut | null = null
  /** First lines of requests, and Range headers. */
  readonly seen: string[] = []
  cuts = 0

  private constructor(server: Server, target: number) {
    this.#server = server
    this.#target = target
  }

  static async start(target: number): Promise<Cutter> {
    const server = createServer()
    const cutter = new Cutter(server, target)
    server.on("connection", socket => cutter.#pass(socket))
    await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve))
    return cutter
  }

  get url(): string {
    const address = this.#server.address()
    if (typeof address !== "object" || address === null) throw new Error("the wire is closed")
    return `http://127.0.0.1:${address.port}/`
  }

  /** Another hub behind the same address, as after a restart. */
  leadTo(target: number): void {
    this.#target = target
  }

  /** From now on each request that begins so is cut after so many bytes: libcurl tries some again by itself. */
  cut(cut: Cut): void {
    this.#cut = cut
  }

  mend(): void {
    this.#cut = null
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #pass(client: Socket): void {
    const hub = connect(this.#target, "127.0.0.1")
    for (const socket of [client, hub]) {
      this.#sockets.add(socket)
      socket.on("close", () => this.#sockets.delete(socket))
      socket.on("error", () => socket.destroy())
    }
    let armed: Cut | null = null
    let passed = 0
    const count = (direction: Cut["direction"], data: Buffer): Buffer | null => {
      if (armed?.direction !== direction) return data
      passed += data.length
      return passed >= armed.afterBytes ? null : data
    }
    const broke = (): void => {
      this.cuts += 1
      client.destroy()
      hub.destroy()
    }
    client.on("data", data => {
      const head = /^(?:GET|POST) \S+/.exec(data.toString("latin1", 0, 200))?.[0]
      if (head !== undefined) {
        const text = data.toString("latin1")
        const range = /\r\nRange: (\S+)/i.exec(text)?.[1]
        this.seen.push(range === undefined ? head : `${head} ${range}`)
        const bytes = Number(/\r\nContent-Length: (\d+)/i.exec(text)?.[1] ?? 0)
        const isMeant = this.#cut !== null && head.startsWith(this.#cut.request)
        armed = isMeant && (this.#cut?.direction === "down" || bytes >= UPLOAD_BYTES_MIN) ? this.#cut : null
        passed = 0
      }
      const rest = count("up", data)
      if (rest === null) broke()
      else hub.write(rest)
    })
    hub.on("data", data => {
      const rest = count("down", data)
      if (rest === null) broke()
      else client.write(rest)
    })
    client.on("end", () => hub.end())
    hub.on("end", () => client.end())
    client.on("close", () => hub.destroy())
    hub.on("close", () => client.destroy())
  }
}
