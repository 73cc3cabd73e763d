// Asks a hub as a scientist's program would, in Connect's protocol or gRPC-web's over HTTP/1.1 and one kept connection, with little
// of its own: requests are encoded before the clock starts. The bare hub answers Connect's two calls.
import { Agent, request } from "node:http"
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf"
import type { CampaignSpecSchema } from "../../proto/gen/cah/v1/job_pb.ts"
import {
  SubmitRequestSchema,
  SubmitResponseSchema,
  SubmitStreamRequestSchema,
  SubmitStreamResponseSchema,
} from "../../proto/gen/cah/v1/scientist_pb.ts"

/** Parameter lines in one message of a stream. */
const LINES_PER_MESSAGE = 100
/** In an envelope's first byte: trailers, as Connect and as gRPC-web mark them. */
const END_OF_STREAM = 2
const TRAILERS = 0x80
const contentTypes = { connect: "application/connect+proto", "grpc-web": "application/grpc-web+proto" } as const
const service = "/cah.v1.ScientistService"

export interface Submission {
  readonly path: string
  readonly contentType: string
  readonly body: Uint8Array
  readonly jobs: number
}

const agent = new Agent({ keepAlive: true })

/** The job that does nothing. */
function noopSpec(name: string): MessageInitShape<typeof CampaignSpecSchema> {
  return { name, command: ["true"] }
}

/** One array: all jobs alike, one short message. */
export function arraySubmission(key: string, jobs: number, spec = noopSpec("array")): Submission {
  const message = create(SubmitRequestSchema, { idempotencyKey: key, spec: { ...spec, array: jobs } })
  return {
    path: `${service}/Submit`,
    contentType: "application/proto",
    body: toBinary(SubmitRequestSchema, message),
    jobs,
  }
}

/** So many different jobs, each with a line of its own, in a stream of messages. */
export function differentSubmission(key: string, jobs: number): Submission {
  return submissionOf(differentMessages(key, jobs), jobs, "connect")
}

export function submissionOf(
  messages: readonly Uint8Array[],
  jobs: number,
  via: keyof typeof contentTypes,
): Submission {
  const body = Buffer.concat(messages.map(envelope))
  return { path: `${service}/SubmitStream`, contentType: contentTypes[via], body, jobs }
}

export function differentMessages(key: string, jobs: number): Uint8Array[] {
  const messages: Uint8Array[] = []
  for (let first = 0; first < jobs; first += LINES_PER_MESSAGE) {
    const count = Math.min(LINES_PER_MESSAGE, jobs - first)
    const parameters = Array.from({ length: count }, (_, i) => ({ line: `job ${first + i}` }))
    const message = first === 0 ? { idempotencyKey: key, spec: noopSpec("noop"), parameters } : { parameters }
    messages.push(toBinary(SubmitStreamRequestSchema, create(SubmitStreamRequestSchema, message)))
  }
  return messages
}

/** Resolves with the campaign's number once the hub has answered, which means: it is on disk. */
export async function submit(url: URL, bearer: string, { path, contentType, body, jobs }: Submission): Promise<number> {
  const answer = await post(new URL(path, url), bearer, contentType, body)
  const isStream = contentType !== "application/proto"
  const { campaign, jobs: taken } = isStream
    ? fromBinary(SubmitStreamResponseSchema, onlyMessage(answer))
    : fromBinary(SubmitResponseSchema, answer)
  if (taken !== jobs) throw new Error(`of ${jobs} jobs the hub took ${taken}`)
  return Number(campaign)
}

export function envelope(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(5 + message.length)
  framed[0] = 0
  framed.writeUInt32BE(message.length, 1)
  framed.set(message, 5)
  return framed
}

/** Messages in a body of envelopes. Throws what the end of the stream says went wrong. */
export function messagesIn(body: Buffer): Buffer[] {
  const messages: Buffer[] = []
  for (let at = 0; at < body.length; ) {
    const length = body.readUInt32BE(at + 1)
    const content = body.subarray(at + 5, at + 5 + length)
    const isEnd = (body[at]! & (END_OF_STREAM | TRAILERS)) !== 0
    if (!isEnd) messages.push(content)
    else if (isRefusal(content)) throw new Error(`the hub refused: ${content.toString("utf8")}`)
    at += 5 + length
  }
  return messages
}

/** Connect says an error as JSON; gRPC-web a status that is not 0. */
function isRefusal(trailers: Buffer): boolean {
  return trailers.includes('"error"') || /grpc-status: *[1-9]/i.test(trailers.toString("latin1"))
}

function onlyMessage(body: Buffer): Buffer {
  const [message] = messagesIn(body)
  if (message === undefined) throw new Error("the hub's answer holds no message")
  return message
}

function post(url: URL, bearer: string, contentType: string, body: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const headers = {
      "content-type": contentType,
      "content-length": body.length,
      "connect-protocol-version": "1",
      authorization: `Bearer ${bearer}`,
    }
    const asked = request(url, { method: "POST", agent, headers }, response => {
      const pieces: Buffer[] = []
      response.on("data", (piece: Buffer) => pieces.push(piece))
      response.on("error", reject)
      response.on("end", () => {
        const answer = Buffer.concat(pieces)
        if (response.statusCode === 200) resolve(answer)
        else reject(new Error(`${url.pathname} answered ${response.statusCode}: ${answer.toString("utf8")}`))
      })
    })
    asked.on("error", reject)
    asked.end(body)
  })
}
