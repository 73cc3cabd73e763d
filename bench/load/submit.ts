// Submits different jobs in one stream of messages, in three protocols: grpc-js as it is, and the bytes that a Connect and a gRPC-web
// client put on the wire. All messages are encoded before the clock starts, so that the hub is measured and not a client's
// encoder. Nobody runs the jobs.
import { fromBinary } from "@bufbuild/protobuf"
import { Client, credentials, Metadata } from "@grpc/grpc-js"
import {
  ScientistService,
  type SubmitStreamResponse,
  SubmitStreamResponseSchema,
} from "../../proto/gen/cah/v1/scientist_pb.ts"
import { differentMessages, submissionOf, submit } from "./ask.ts"
import type { LoadAnswer, LoadOrder } from "./protocol.ts"

type Order = Extract<LoadOrder, { kind: "submit" }>

let submissions = 0
const grpcClients = new Map<string, Client>()

export async function submitOnly({ url, bearer, jobs, via }: Order): Promise<LoadAnswer> {
  const messages = differentMessages(`submit-${process.pid}-${++submissions}`, jobs)
  const submission = via === "grpc" ? null : submissionOf(messages, jobs, via)
  const client = via === "grpc" ? await grpcClient(url) : null
  const cpu = process.cpuUsage()
  const start = process.hrtime.bigint()
  if (client !== null) await submitByGrpc(client, bearer, messages, jobs)
  else await submit(new URL(url), bearer, submission!)
  const seconds = Number(process.hrtime.bigint() - start) / 1e9
  const { user, system } = process.cpuUsage(cpu)
  return { kind: "submitted", seconds, loadCpuSeconds: (user + system) / 1e6 }
}

/** Connected: opening a connection is no part of a submit. */
async function grpcClient(url: string): Promise<Client> {
  const known = grpcClients.get(url)
  if (known !== undefined) return known
  const client = new Client(new URL(url).host, credentials.createInsecure(), { "grpc.enable_http_proxy": 0 })
  grpcClients.set(url, client)
  await new Promise<void>((resolve, reject) => {
    client.waitForReady(Date.now() + 10_000, error => (error === undefined ? resolve() : reject(error)))
  })
  return client
}

async function submitByGrpc(client: Client, bearer: string, messages: readonly Uint8Array[], jobs: number) {
  const metadata = new Metadata()
  metadata.set("authorization", `Bearer ${bearer}`)
  const response = await new Promise<SubmitStreamResponse>((resolve, reject) => {
    const call = client.makeClientStreamRequest<Uint8Array, SubmitStreamResponse>(
      `/${ScientistService.typeName}/SubmitStream`,
      message => Buffer.from(message),
      bytes => fromBinary(SubmitStreamResponseSchema, bytes),
      metadata,
      (error, answer) => (error === null ? resolve(answer!) : reject(error)),
    )
    let next = 0
    const write = () => {
      while (next < messages.length) if (!call.write(messages[next++]!)) return void call.once("drain", write)
      call.end()
    }
    write()
  })
  if (response.jobs !== jobs) throw new Error(`of ${jobs} jobs the hub took ${response.jobs}`)
}
