// Blobs to and from a hub as its contract says it, over Connect's streaming JSON with plain fetch: what an end-to-end piece
// verifies shares no code with the client. Resumes nothing by itself beyond asking the hub where to go on.
import { createHash } from "node:crypto"
import type { Hub } from "../harness/hub.ts"

/** Below the contract's 256 KiB. */
const MESSAGE_BYTES = 128 * 1024
/** Connect's flag on the last envelope of a stream. */
const END_STREAM = 2
const HEAD_BYTES = 5
const CALL_MAX_MS = 120_000

export interface Blob {
  readonly digest: string
  readonly sizeBytes: number
}

/** A call that the hub ended with an error: code and message as it said them. */
export class CallFailed extends Error {
  readonly code: string

  constructor(code: string, message: string) {
    super(`${code}: ${message}`)
    this.code = code
  }
}

export function blobOf(bytes: Uint8Array): Blob {
  return { digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}`, sizeBytes: bytes.length }
}

/** One try, from where the hub is. Resolves when the hub says that it has it all. */
export async function upload(hub: Hub, bytes: Uint8Array): Promise<Blob> {
  const blob = blobOf(bytes)
  const answer = await hub.askOnce("ScientistService/GetUpload", { blob })
  if (answer.status !== 200) throw new CallFailed(String(answer.status), answer.text)
  const { offset = "0", stored = false } = JSON.parse(answer.text) as { offset?: string; stored?: boolean }
  if (stored) return blob
  const messages: object[] = [{ blob, offset }]
  for (let at = Number(offset); at < bytes.length; at += MESSAGE_BYTES) {
    messages.push({ data: Buffer.from(bytes.subarray(at, at + MESSAGE_BYTES)).toString("base64") })
  }
  await stream(hub, "Upload", messages)
  return blob
}

/** The output of a job, whole; CallFailed where the hub does not give it. */
export async function download(
  hub: Hub,
  job: { readonly campaign: string | number; readonly index: number },
  offset = 0,
): Promise<{ readonly blob: Blob; readonly bytes: Buffer }> {
  const said = await stream(hub, "Download", [{ job, output: "OUTPUT_STAGEOUT", offset }])
  const messages = said as { readonly blob?: Blob; readonly data?: string }[]
  const blob = messages[0]?.blob
  if (blob === undefined) throw new Error("the hub did not say what it sends")
  return { blob, bytes: Buffer.concat(messages.map(({ data }) => Buffer.from(data ?? "", "base64"))) }
}

async function stream(hub: Hub, method: "Upload" | "Download", messages: readonly object[]): Promise<object[]> {
  const response = await fetch(new URL(`/cah.v1.ScientistService/${method}`, hub.url), {
    method: "POST",
    headers: {
      "content-type": "application/connect+json",
      "connect-protocol-version": "1",
      authorization: `Bearer ${hub.token}`,
    },
    body: Buffer.concat(messages.map(enveloped)),
    signal: AbortSignal.timeout(CALL_MAX_MS),
  })
  const body = Buffer.from(await response.arrayBuffer())
  if (response.status !== 200) throw new CallFailed(String(response.status), body.toString())
  const answers: object[] = []
  for (let at = 0; at + HEAD_BYTES <= body.length; ) {
    const flags = body.readUInt8(at)
    const end = at + HEAD_BYTES + body.readUInt32BE(at + 1)
    const message = JSON.parse(body.toString("utf8", at + HEAD_BYTES, end)) as {
      error?: { code: string; message?: string }
    }
    if ((flags & END_STREAM) !== 0) {
      if (message.error !== undefined) throw new CallFailed(message.error.code, message.error.message ?? "")
      return answers
    }
    answers.push(message)
    at = end
  }
  throw new CallFailed("unavailable", "the answer was cut off")
}

function enveloped(message: object): Buffer {
  const body = Buffer.from(JSON.stringify(message))
  const head = Buffer.alloc(HEAD_BYTES)
  head.writeUInt32BE(body.length, 1)
  return Buffer.concat([head, body])
}
