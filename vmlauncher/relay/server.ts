// The launcher's end of the guest's one cable. The hypervisor starts a relay process for each connection of the guest; each comes here, over a
// socket file, and is connected to the hub and nothing else: who calls has no say in where it leads. Shapes and counts the bytes, and
// notices a guest that dials like no agent does. It sees what it passes on as bytes: TLS is between the agent and the hub.
import { rmSync, statSync } from "node:fs"
import { createServer, type Server, type Socket } from "node:net"
import type { Clock } from "../core/ports.ts"
import { FLOOD_CONNECTIONS, FLOOD_MS, LINGER_MS, REFUSED_LOOK_MS, RELAYS_MAX, WAITING_MAX_BYTES } from "../limits.ts"
import type { Bucket } from "./bucket.ts"
import type { Ledger } from "./ledger.ts"

export interface RelayWorld {
  /** Connects to the hub. Rejects with a sentence for people. */
  readonly dial: (signal: AbortSignal) => Promise<Socket>
  readonly up: Bucket
  readonly down: Bucket
  readonly ledger: Ledger
  readonly clock: Clock
  /** A file that grows by a byte with each connection that was refused before it came here. */
  readonly refused: string
  /** The guest dialled, or sent something. */
  onHeard(): void
  onFlood(): void
  /** Null: the hub was reached. Said when it changes. */
  onHub(trouble: string | null): void
}

export class Relay {
  readonly #world: RelayWorld
  readonly #server: Server
  readonly #open = new Set<AbortController>()
  #isOpen = true
  #isReachable: boolean | null = null
  #excess: number[] = []
  #refusedBytes = 0
  #watch: NodeJS.Timeout | null = null

  constructor(world: RelayWorld) {
    this.#world = world
    this.#server = createServer({ allowHalfOpen: true }, socket => this.#onConnection(socket))
  }

  /** The path has room for some hundred characters; a relative one is shorter. */
  async listen(path: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject)
      this.#server.listen(path, resolve)
    })
    rmSync(this.#world.refused, { force: true })
    this.#watch = setInterval(() => this.#lookAtRefused(), REFUSED_LOOK_MS)
  }

  /** Closed, it answers nobody: the guest finds its hub away. */
  setOpen(isOpen: boolean): void {
    this.#isOpen = isOpen
    if (!isOpen) this.drop()
  }

  /** Cuts what there is; new connections are welcome. */
  drop(): void {
    for (const one of this.#open) one.abort()
  }

  async close(): Promise<void> {
    if (this.#watch !== null) clearInterval(this.#watch)
    this.drop()
    await new Promise<void>(resolve => this.#server.close(() => resolve()))
  }

  #onConnection(guest: Socket): void {
    // A relay process that was killed is no news.
    guest.on("error", () => guest.destroy())
    this.#world.onHeard()
    if (!this.#isOpen || this.#open.size >= RELAYS_MAX) {
      guest.destroy()
      if (this.#isOpen) this.#onExcess(1)
      return
    }
    const cut = new AbortController()
    this.#open.add(cut)
    void this.#serve(guest, cut.signal).finally(() => {
      this.#open.delete(cut)
      guest.destroy()
    })
  }

  #lookAtRefused(): void {
    const bytes = statSync(this.#world.refused, { throwIfNoEntry: false })?.size ?? 0
    const more = bytes - this.#refusedBytes
    this.#refusedBytes = bytes
    if (more > 0) this.#onExcess(more)
  }

  #onExcess(connections: number): void {
    const nowMs = this.#world.clock.nowMs()
    const fresh = Array.from({ length: Math.min(connections, FLOOD_CONNECTIONS) }, () => nowMs)
    this.#excess = [...this.#excess.filter(time => time > nowMs - FLOOD_MS), ...fresh]
    if (this.#excess.length < FLOOD_CONNECTIONS) return
    this.#excess = []
    this.#world.onFlood()
  }

  async #serve(guest: Socket, signal: AbortSignal): Promise<void> {
    const gone = new AbortController()
    guest.once("close", () => gone.abort())
    let hub: Socket
    try {
      hub = await this.#world.dial(AbortSignal.any([signal, gone.signal]))
    } catch (error) {
      if (!signal.aborted && !gone.signal.aborted) this.#tell(error instanceof Error ? error.message : String(error))
      return
    }
    this.#tell(null)
    hub.on("error", () => hub.destroy())
    const end = (): void => {
      guest.destroy()
      hub.destroy()
    }
    signal.addEventListener("abort", end)
    if (signal.aborted) end()
    const { up, down, ledger, onHeard } = this.#world
    const ways = [
      pump(guest, hub, up, bytes => {
        ledger.sent(bytes)
        onHeard()
      }),
      pump(hub, guest, down, bytes => ledger.received(bytes)),
    ]
    // One side may have said its last word and wait for the other's. Not for ever.
    await Promise.race(ways)
    const lingering = setTimeout(end, LINGER_MS)
    await Promise.all(ways)
    clearTimeout(lingering)
    signal.removeEventListener("abort", end)
    end()
  }

  #tell(trouble: string | null): void {
    const isReachable = trouble === null
    if (isReachable === this.#isReachable) return
    // The first success is what everybody expects.
    const isNews = this.#isReachable !== null || !isReachable
    this.#isReachable = isReachable
    if (isNews) this.#world.onHub(trouble)
  }
}

/** Until one side ends. What is read waits here for its tokens; meanwhile the sender is not read further. */
async function pump(from: Socket, to: Socket, bucket: Bucket, count: (bytes: number) => void): Promise<void> {
  try {
    for await (const chunk of from.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      await bucket.take(chunk.length)
      count(chunk.length)
      if (!to.write(chunk) && to.writableLength >= WAITING_MAX_BYTES) await drained(to)
      if (to.destroyed) break
    }
    to.end()
  } catch {
    // Reset by the peer, or cut by us: an end like another, which the agent answers by dialling again.
    to.destroy()
  }
}

function drained(socket: Socket): Promise<void> {
  return new Promise(resolve => {
    const go = (): void => {
      socket.off("drain", go)
      socket.off("close", go)
      resolve()
    }
    socket.on("drain", go)
    socket.on("close", go)
    if (socket.destroyed) go()
  })
}
