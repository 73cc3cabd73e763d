// NATS JetStream: a work queue on file, publishes whose acknowledgements are awaited, pull consumers that acknowledge each message.

import { Counter } from "../counter.ts"
import type { Client } from "../peer.ts"
import { library } from "./library.ts"

interface Message {
  string(): string
  ack(): void
}

interface JetStream {
  publish(subject: string, payload: string): Promise<unknown>
  readonly consumers: {
    get(
      stream: string,
      consumer: string,
    ): Promise<{ consume(options: { max_messages: number }): Promise<AsyncIterable<Message>> }>
  }
}

interface Nats {
  connect(options: { servers: string }): Promise<{
    flush(): Promise<void>
    jetstream(): JetStream
    jetstreamManager(): Promise<{
      readonly streams: { add(stream: object): Promise<unknown> }
      readonly consumers: { add(stream: string, consumer: object): Promise<unknown> }
    }>
  }>
}

/** Publishes on their way. */
const AT_ONCE = 1_000

export const nats: Client = async ({ address, tasks, workers, slots }, counter) => {
  const { connect } = library<Nats>("nats")
  const connection = await connect({ servers: address })
  const stream = `bench-${tasks}-${workers}`
  const manager = await connection.jetstreamManager()
  await manager.streams.add({ name: stream, subjects: [stream], storage: "file", retention: "workqueue" })
  await manager.consumers.add(stream, { durable_name: "workers", ack_policy: "explicit", max_ack_pending: -1 })
  const producer = connection.jetstream()
  const iterators: AsyncIterable<Message>[] = []
  const connections: Awaited<ReturnType<typeof connect>>[] = []
  for (let worker = 0; worker < workers; worker++) {
    const own = await connect({ servers: address })
    connections.push(own)
    const consumer = await own.jetstream().consumers.get(stream, "workers")
    iterators.push(await consumer.consume({ max_messages: slots }))
  }
  return async () => {
    for (const messages of iterators) void take(messages, counter)
    const underWay = new Set<Promise<void>>()
    for (let i = 0; i < tasks; i++) {
      const published = producer.publish(stream, Counter.payload(i)).then(() => void underWay.delete(published))
      underWay.add(published)
      if (underWay.size >= AT_ONCE) await Promise.race(underWay)
    }
    await Promise.all(underWay)
    await counter.all
    // The last acknowledgements are with the server.
    await Promise.all(connections.map(own => own.flush()))
  }
}

async function take(messages: AsyncIterable<Message>, counter: Counter): Promise<void> {
  for await (const message of messages) {
    message.ack()
    counter.took(message.string())
  }
}
