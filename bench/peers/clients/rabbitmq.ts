// RabbitMQ by amqplib: a durable queue of either type, persistent messages, publisher confirms; consumers with a prefetch that acknowledge each message.

import { Counter } from "../counter.ts"
import type { Client } from "../peer.ts"
import { library } from "./library.ts"

interface Message {
  readonly content: Buffer
}

interface Channel {
  assertQueue(name: string, options: { durable: boolean; arguments: { "x-queue-type": QueueType } }): Promise<unknown>
  prefetch(count: number): Promise<unknown>
  consume(queue: string, onMessage: (message: Message | null) => void): Promise<unknown>
  ack(message: Message): void
  sendToQueue(queue: string, content: Buffer, options: { persistent: boolean }): boolean
  waitForConfirms(): Promise<unknown>
  once(event: "drain", listener: () => void): void
  close(): Promise<void>
}

type QueueType = "classic" | "quorum"

interface Amqplib {
  connect(url: string): Promise<{ createChannel(): Promise<Channel>; createConfirmChannel(): Promise<Channel> }>
}

export const rabbitmq = clientOf("classic")
export const rabbitmqQuorum = clientOf("quorum")

function clientOf(type: QueueType): Client {
  return async ({ address, tasks, workers, slots }, counter) => {
    const amqplib = library<Amqplib>("amqplib")
    const producer = await (await amqplib.connect(address)).createConfirmChannel()
    const queue = `bench-${tasks}-${workers}`
    await producer.assertQueue(queue, { durable: true, arguments: { "x-queue-type": type } })
    const channels: Channel[] = []
    for (let worker = 0; worker < workers; worker++) {
      const channel = await (await amqplib.connect(address)).createChannel()
      channels.push(channel)
      await channel.prefetch(slots)
      await channel.consume(queue, message => {
        if (message === null) throw new Error("RabbitMQ has cancelled a consumer")
        channel.ack(message)
        counter.took(message.content.toString())
      })
    }
    return async () => {
      for (let i = 0; i < tasks; i++) {
        const hasRoom = producer.sendToQueue(queue, Buffer.from(Counter.payload(i)), { persistent: true })
        if (!hasRoom) await new Promise<void>(resolve => producer.once("drain", resolve))
      }
      await producer.waitForConfirms()
      await counter.all
      // Answered when the broker has taken all that was said before: the last acknowledgements too.
      await Promise.all(channels.map(channel => channel.close()))
    }
  }
}
