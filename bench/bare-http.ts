// Node's own http with nothing but the essentials, to measure the hub's streams against: a GET reads a file, a PUT writes one,
// hashed as it comes, made durable and renamed to its digest before the answer. Back-pressure is Node's own pipeline.
// It knows no agent, no attempt, no resumption, and trusts everybody.
//   node --import tsx bench/bare-http.ts DIRECTORY       writes DIRECTORY/bare.json when it listens
import { createHash } from "node:crypto"
import { createReadStream, createWriteStream, writeFileSync } from "node:fs"
import { open, rename, stat } from "node:fs/promises"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { join } from "node:path"
import { Transform } from "node:stream"
import { pipeline } from "node:stream/promises"

/** As the hub reads, and takes in one write. */
const PIECE_BYTES = 256 * 1024
const directory = process.argv[2]!
let uploads = 0

async function give(name: string, response: ServerResponse): Promise<void> {
  const path = join(directory, name)
  response.setHeader("content-length", (await stat(path)).size)
  await pipeline(createReadStream(path, { highWaterMark: PIECE_BYTES }), response)
}

async function take(name: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const temporary = join(directory, `upload-${++uploads}`)
  const hash = createHash("sha256")
  const hashed = new Transform({
    transform(piece: Buffer, _encoding, done) {
      hash.update(piece)
      done(null, piece)
    },
  })
  // flush: fsync before the file is closed.
  await pipeline(request, hashed, createWriteStream(temporary, { flush: true, highWaterMark: PIECE_BYTES }))
  const digest = hash.digest("hex")
  if (digest !== name) throw new Error(`the bytes sent as ${name} are ${digest}`)
  await rename(temporary, join(directory, name))
  const folder = await open(directory)
  await folder.sync()
  await folder.close()
  response.end()
}

const server = createServer((request, response) => {
  const name = request.url!.slice(1)
  void (request.method === "PUT" ? take(name, request, response) : give(name, response))
})
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as { port: number }
  writeFileSync(join(directory, "bare.json"), JSON.stringify({ url: `http://127.0.0.1:${port}` }))
})
process.on("SIGTERM", () => process.exit(0))
