// What every peer is to the benchmark: a server that is started with its own data, and a client that submits tasks, takes them and
// acknowledges them. The servers have the hub's core and the clients the load's, as it is with ours.
import { createServer } from "node:net"
import type { Program } from "../../harness/processes.ts"
import type { Counter } from "./counter.ts"

/** How the tasks are taken: so many connections, each with so many tasks at once. */
export interface Shape {
  readonly workers: number
  readonly slots: number
}

export interface Server {
  /** For the client; plain data. */
  readonly address: string
  /** Ended in this order. */
  readonly programs: readonly Program[]
}

export interface Peer {
  readonly name: string
  /** What an acknowledgement means there, in the configuration that is measured. */
  readonly durability: string
  /** Nobody is told that a task was taken before it is on disk. */
  readonly isDurable: boolean
  /** Programs without which it cannot be, and Debian's packages that have them. */
  readonly programs: readonly string[]
  readonly packages: readonly string[]
  /** Its own client libraries, of bench/peers/package.json. */
  readonly libraries: readonly string[]
  /** It needs root, or to be started as a user that root makes. */
  readonly needsRoot?: boolean
  readonly tasks: number
  readonly shapes: readonly Shape[]
  /** In an empty directory. Resolves when it answers. */
  start(place: string): Promise<Server>
}

/** Of the client's process: one line of JSON. */
export interface PeerRan {
  readonly seconds: number
  readonly loadCpuSeconds: number
}

export interface ClientOrder extends Shape {
  readonly client: ClientName
  readonly address: string
  readonly tasks: number
}

/** Connects; what it returns submits and takes all tasks, and resolves when all are acknowledged. */
export type Client = (order: ClientOrder, counter: Counter) => Promise<() => Promise<void>>

export type ClientName = "rabbitmq" | "rabbitmqQuorum" | "bullmq" | "nats" | "beanstalkd" | "graphile" | "slurm"

/** A port of loopback that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return port
}
