// grpc-js with nothing but the essentials, to measure the hub's submits against: takes a stream of messages with parameter lines,
// puts them into SQLite in one transaction with synchronous=FULL (the bare hub's writer), and answers after COMMIT. It checks
// no token and no specification, keeps nothing in memory, and has no other front.
//   node --import tsx bench/bare-grpc.ts DIRECTORY       writes DIRECTORY/bare.json when it listens
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { Worker } from "node:worker_threads"
import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import { type MethodDefinition, Server, ServerCredentials, type ServerReadableStream } from "@grpc/grpc-js"
import { CampaignSpecSchema } from "../proto/gen/cah/v1/job_pb.ts"
import {
  ScientistService,
  type SubmitStreamRequest,
  SubmitStreamRequestSchema,
  type SubmitStreamResponse,
  SubmitStreamResponseSchema,
} from "../proto/gen/cah/v1/scientist_pb.ts"

const directory = process.argv[2]!
const writer = new Worker(new URL("./bare-writer.mjs", import.meta.url), {
  workerData: { file: join(directory, "bare.db") },
  execArgv: [],
})
const committed: (() => void)[] = []
writer.on("message", () => committed.shift()!())
let campaigns = 0

const method: MethodDefinition<SubmitStreamRequest, SubmitStreamResponse> = {
  path: `/${ScientistService.typeName}/SubmitStream`,
  requestStream: true,
  responseStream: false,
  requestSerialize: message => Buffer.from(toBinary(SubmitStreamRequestSchema, message)),
  requestDeserialize: bytes => fromBinary(SubmitStreamRequestSchema, bytes),
  responseSerialize: message => Buffer.from(toBinary(SubmitStreamResponseSchema, message)),
  responseDeserialize: bytes => fromBinary(SubmitStreamResponseSchema, bytes),
}

const server = new Server()
server.addService(
  { SubmitStream: method },
  {
    SubmitStream(
      call: ServerReadableStream<SubmitStreamRequest, SubmitStreamResponse>,
      answer: (error: null, response: SubmitStreamResponse) => void,
    ) {
      const lines: string[] = []
      let spec: Uint8Array = new Uint8Array(0)
      call.on("data", (message: SubmitStreamRequest) => {
        if (message.spec !== undefined) spec = toBinary(CampaignSpecSchema, message.spec)
        for (const { line } of message.parameters) lines.push(line)
      })
      call.on("end", () => {
        const id = ++campaigns
        const campaign = { id, total: lines.length, spec, lines }
        committed.push(() =>
          answer(null, create(SubmitStreamResponseSchema, { campaign: BigInt(id), jobs: lines.length })),
        )
        writer.postMessage({ submitted: [campaign], journal: new Uint8Array(0), ended: [], results: [] })
      })
    },
  },
)
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error
  writeFileSync(join(directory, "bare.json"), JSON.stringify({ url: `http://127.0.0.1:${port}` }))
})
process.on("SIGTERM", () => {
  writer.once("exit", () => process.exit(0))
  writer.postMessage(null)
})
