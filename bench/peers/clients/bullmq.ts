// BullMQ on Redis: jobs added a hundred at a time, workers that complete each. Finished jobs are kept, as ours are.

import { Counter } from "../counter.ts"
import type { Client } from "../peer.ts"
import { library } from "./library.ts"

interface Connection {
  readonly host: string
  readonly port: number
  readonly maxRetriesPerRequest: null
}

interface Job {
  readonly data: string
}

interface BullMq {
  readonly Queue: new (
    name: string,
    options: { connection: Connection },
  ) => { addBulk(jobs: { name: string; data: string }[]): Promise<unknown>; waitUntilReady(): Promise<unknown> }
  readonly Worker: new (
    name: string,
    run: (job: Job) => Promise<void>,
    options: { connection: Connection; concurrency: number },
  ) => {
    on(event: "completed", listener: (job: Job) => void): void
    on(event: "error", listener: (error: Error) => void): void
    waitUntilReady(): Promise<unknown>
  }
}

const BULK = 100
/** Bulks on their way: more would only wait in the client. */
const BULKS_AT_ONCE = 8

export const bullmq: Client = async ({ address, tasks, workers, slots }, counter) => {
  const { Queue, Worker } = library<BullMq>("bullmq")
  const { hostname, port } = new URL(address)
  const connection = { host: hostname, port: Number(port), maxRetriesPerRequest: null }
  const name = `bench-${tasks}-${workers}`
  const queue = new Queue(name, { connection })
  await queue.waitUntilReady()
  for (let i = 0; i < workers; i++) {
    const worker = new Worker(name, async () => {}, { connection, concurrency: slots })
    // After Redis has said so.
    worker.on("completed", job => counter.took(job.data))
    worker.on("error", error => {
      throw error
    })
    await worker.waitUntilReady()
  }
  return async () => {
    const underWay = new Set<Promise<void>>()
    for (let first = 0; first < tasks; first += BULK) {
      const length = Math.min(BULK, tasks - first)
      const jobs = Array.from({ length }, (_, i) => ({ name: "noop", data: Counter.payload(first + i) }))
      const added = queue.addBulk(jobs).then(() => void underWay.delete(added))
      underWay.add(added)
      if (underWay.size >= BULKS_AT_ONCE) await Promise.race(underWay)
    }
    await Promise.all(underWay)
    await counter.all
  }
}
