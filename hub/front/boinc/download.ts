// Files for volunteers' computers: those of the release, and each launch's own input. In parts where a client goes on with an interrupted
// download. Files of a release never change under a name, so anybody between may keep them.
import { createReadStream } from "node:fs"
import { pipeline } from "node:stream/promises"
import type { Computers } from "../../cases/computers.ts"
import type { Log, StoreReader } from "../../core/ports.ts"
import type { LaunchId } from "../../core/volunteers.ts"
import type { Metrics } from "../../metrics.ts"
import type { Request, Response } from "../../port.ts"
import { type Answer, send, text } from "../http.ts"
import { inputName } from "./launch.ts"
import type { Download, Release } from "./release.ts"

export interface DownloadParts {
  readonly store: Pick<StoreReader, "volunteers">
  readonly computers: Computers
  readonly release: Release | null
  readonly metrics: Metrics
  readonly log: Log
}

/** Both ends included, as HTTP has it. */
export interface Range {
  readonly from: number
  readonly to: number
}

/** Null: the whole; "none": no such bytes. Several ranges at once are answered with the whole, as HTTP allows. */
export function rangeOf(header: string | undefined, sizeBytes: number): Range | null | "none" {
  const parts = /^bytes=(\d*)-(\d*)$/.exec(header ?? "")
  if (parts === null || (parts[1] === "" && parts[2] === "")) return null
  const [first, last] = [parts[1] ?? "", parts[2] ?? ""]
  const from = first === "" ? Math.max(0, sizeBytes - Number(last)) : Number(first)
  const to = first === "" || last === "" ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1)
  return from > to || from >= sizeBytes ? "none" : { from, to }
}

export function download(parts: DownloadParts, name: string, request: Request, response: Response): void {
  const file = parts.release?.downloads.get(name)
  if (file === undefined) return send(request, response, input(parts, name))
  const range = rangeOf(request.headers.range, file.sizeBytes)
  if (range === "none") {
    const headers = { "Content-Range": `bytes */${file.sizeBytes}` }
    return send(request, response, text(416, "there are no such bytes in this file\n", headers))
  }
  sendFile(parts, file, range, request, response).catch(error => {
    // Mostly a client that went away: it comes back for the rest.
    parts.log.debug({ file: name, error }, "a download ended early")
    response.destroy()
  })
}

async function sendFile(
  { metrics }: DownloadParts,
  file: Download,
  range: Range | null,
  request: Request,
  response: Response,
): Promise<void> {
  const { from, to } = range ?? { from: 0, to: file.sizeBytes - 1 }
  response.writeHead(range === null ? 200 : 206, {
    "Content-Type": "application/octet-stream",
    "Content-Length": to - from + 1,
    "Accept-Ranges": "bytes",
    ETag: `"${file.sha256}"`,
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
    ...(range === null ? {} : { "Content-Range": `bytes ${from}-${to}/${file.sizeBytes}` }),
  })
  if (request.method === "HEAD" || to < from) {
    response.end()
    return
  }
  const bytes = createReadStream(file.path, { start: from, end: to })
  bytes.on("data", piece => metrics.streamBytes.inc({ dir: "out", kind: "release" }, piece.length))
  await pipeline(bytes, response as NodeJS.WritableStream)
}

/** Whoever knows the name of a launch's input has leave to read it, as long as the launch goes on. */
function input({ store, computers }: DownloadParts, name: string): Answer {
  const id = /^volunteer_(\d{1,15})_[0-9a-f]{32}\.json$/.exec(name)?.[1]
  const launch = id === undefined ? null : store.volunteers.launch(Number(id) as LaunchId)
  if (launch === null || inputName(launch) !== name || launch.endedAt !== null) {
    return text(404, "there is no such file here, or no longer\n")
  }
  return { status: 200, type: "application/octet-stream", body: computers.inputOf(launch) }
}
