// Blobs to and from the hub, resumable on either side's restart and checked by digest at the end. An upload asks the hub
// how much it has; a download goes on from the partial file that an earlier try, or an earlier run, left behind.
// Decides nothing about where files belong: library.ts and results.ts do.
import { createHash, type Hash } from "node:crypto"
import { createReadStream } from "node:fs"
import { type FileHandle, open } from "node:fs/promises"
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { Blob, JobId } from "../proto/gen/cah/v1/job_pb.ts"
import { type Output, ScientistService, type UploadRequestSchema } from "../proto/gen/cah/v1/scientist_pb.ts"
import { digestOf } from "../proto/wire/digest.ts"
import { pause, waitMs } from "./backoff.ts"
import { ClientError, isTransient } from "./errors.ts"
import { CALL_WAIT_MIN_MS, CHUNK_BYTES, TRANSFER_TRIES, TRANSFER_WAIT_MAX_MS, UPLOAD_ANSWER_MAX_MS } from "./limits.ts"
import type { Retry, Rpc } from "./rpc.ts"

export interface TransferOptions {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined
  readonly onWait?: Retry["onWait"]
}

const backoff = { minMs: CALL_WAIT_MIN_MS, maxMs: TRANSFER_WAIT_MAX_MS }

/** For calls around a transfer or a submit: patient enough for a hub that restarts. */
export function patient(onWait?: Retry["onWait"]): Retry {
  return { tries: TRANSFER_TRIES, backoff, onWait }
}

/** Makes sure that the hub has the blob. Returns the bytes that had to be sent: 0 if it was there. */
export async function uploadFile(
  rpc: Rpc,
  blob: { digest: string; sizeBytes: bigint },
  file: string,
  options: TransferOptions = {},
): Promise<number> {
  const total = Number(blob.sizeBytes)
  let sent = 0
  let reached = -1
  let failures = 0
  let mismatches = 0
  for (;;) {
    const have = await rpc.unary(
      ScientistService.method.getUpload,
      { blob },
      { signal: options.signal, retry: patient(options.onWait) },
    )
    if (have.stored) return sent
    const offset = Number(have.offset)
    if (offset > total) throw new ClientError("internal", `The hub says that it has ${offset} of ${total} bytes.`)
    if (offset > reached) failures = 0
    reached = Math.max(reached, offset)
    try {
      const messages = uploadMessages(
        blob,
        file,
        offset,
        bytes => {
          sent += bytes
        },
        options,
      )
      await rpc.clientStream(ScientistService.method.upload, messages, {
        signal: options.signal,
        answerMs: UPLOAD_ANSWER_MAX_MS,
      })
      return sent
    } catch (thrown) {
      options.signal?.throwIfAborted()
      const error = ClientError.from(thrown)
      // Bytes that were damaged on the way are sent again, once; twice means that they are wrong here. (Older hubs: data_loss.)
      // "aborted" and "failed_precondition" mean that the hub has more or less than we thought: it is asked again.
      const moved = error.code === "aborted" || error.code === "failed_precondition"
      const wrong = error.code === "invalid_argument" || error.code === "data_loss"
      const again = isTransient(error) || moved || (wrong && mismatches++ === 0)
      if (!again || ++failures >= TRANSFER_TRIES) throw error
      const ms = waitMs(backoff, failures)
      options.onWait?.(error, ms)
      await pause(ms, options.signal)
    }
  }
}

async function* uploadMessages(
  blob: { digest: string; sizeBytes: bigint },
  file: string,
  offset: number,
  onSent: (bytes: number) => void,
  options: TransferOptions,
): AsyncGenerator<MessageInitShape<typeof UploadRequestSchema>> {
  const total = Number(blob.sizeBytes)
  yield { blob, offset: BigInt(offset), data: new Uint8Array(0) }
  let at = offset
  for await (const chunk of createReadStream(file, { start: offset, highWaterMark: CHUNK_BYTES })) {
    const data: Uint8Array = chunk
    yield { data }
    at += data.length
    onSent(data.length)
    options.onProgress?.(at, total)
  }
}

export interface Wanted {
  readonly job: Pick<JobId, "campaign" | "index">
  readonly output: Output
  /** What the job's result says that it is; null takes what comes and believes its digest. */
  readonly blob: Pick<Blob, "digest" | "sizeBytes"> | null
}

/**
 * Fetches one output of a job into `file`, going on where the file ends. Returns when the whole has the right digest.
 * Bytes with the wrong one are thrown away and fetched once more; then it is an error of code data_loss.
 */
export async function downloadFile(
  rpc: Rpc,
  wanted: Wanted,
  file: string,
  options: TransferOptions = {},
): Promise<number> {
  const handle = await open(file, "a+", 0o600)
  try {
    for (let mismatches = 0; ; ) {
      const partial = new Partial(handle)
      await partial.recall()
      const blob = await fill(rpc, wanted, partial, options)
      const found = partial.digest()
      if (found === blob.digest) return partial.sizeBytes
      await handle.truncate(0)
      if (++mismatches < 2) continue
      throw new ClientError("data_loss", `The bytes that came are not the result: ${found}, not ${blob.digest}.`, {
        hint: "What came was thrown away. Try again; if it happens again, tell the operator: the hub's copy is damaged.",
      })
    }
  } finally {
    await handle.close()
  }
}

/** A file that grows, and the digest of what it holds so far. */
class Partial {
  readonly #handle: FileHandle
  #hash: Hash = createHash("sha256")
  sizeBytes = 0

  constructor(handle: FileHandle) {
    this.#handle = handle
  }

  /** Hashes what an earlier run left. */
  async recall(): Promise<void> {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES)
    for (;;) {
      const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, this.sizeBytes)
      if (bytesRead === 0) return
      this.#hash.update(buffer.subarray(0, bytesRead))
      this.sizeBytes += bytesRead
    }
  }

  async append(data: Uint8Array): Promise<void> {
    this.#hash.update(data)
    for (let at = 0; at < data.length; ) at += (await this.#handle.write(data, at)).bytesWritten
    this.sizeBytes += data.length
  }

  async restart(): Promise<void> {
    await this.#handle.truncate(0)
    this.#hash = createHash("sha256")
    this.sizeBytes = 0
  }

  digest(): string {
    return digestOf(this.#hash.copy().digest())
  }
}

async function fill(
  rpc: Rpc,
  wanted: Wanted,
  partial: Partial,
  options: TransferOptions,
): Promise<Pick<Blob, "digest" | "sizeBytes">> {
  let blob = wanted.blob
  let failures = 0
  for (;;) {
    if (blob !== null && partial.sizeBytes > Number(blob.sizeBytes)) await partial.restart()
    if (blob !== null && partial.sizeBytes === Number(blob.sizeBytes)) return blob
    const before = partial.sizeBytes
    try {
      blob = await receive(rpc, wanted, blob, partial, options)
      if (partial.sizeBytes === Number(blob.sizeBytes)) return blob
      throw new ClientError("unavailable", `The hub stopped sending at byte ${partial.sizeBytes} of ${blob.sizeBytes}.`)
    } catch (thrown) {
      options.signal?.throwIfAborted()
      const error = ClientError.from(thrown)
      if (partial.sizeBytes > before) failures = 0
      if (!isTransient(error) || ++failures >= TRANSFER_TRIES) throw error
      const ms = waitMs(backoff, failures)
      options.onWait?.(error, ms)
      await pause(ms, options.signal)
    }
  }
}

async function receive(
  rpc: Rpc,
  wanted: Wanted,
  expected: Pick<Blob, "digest" | "sizeBytes"> | null,
  partial: Partial,
  options: TransferOptions,
): Promise<Pick<Blob, "digest" | "sizeBytes">> {
  const request = { job: wanted.job, output: wanted.output, offset: BigInt(partial.sizeBytes) }
  let blob: Pick<Blob, "digest" | "sizeBytes"> | null = null
  for await (const message of rpc.serverStream(ScientistService.method.download, request, { signal: options.signal })) {
    if (blob === null) {
      if (message.blob === undefined) throw new ClientError("internal", "The hub did not say what it sends.")
      if (expected !== null && message.blob.digest !== expected.digest) {
        throw new ClientError("data_loss", `The hub sends ${message.blob.digest} in place of ${expected.digest}.`)
      }
      blob = message.blob
      if (Number(message.offset) !== partial.sizeBytes) {
        if (message.offset !== 0n) throw new ClientError("internal", `The hub went on from byte ${message.offset}.`)
        await partial.restart()
      }
    }
    if (message.data.length === 0) continue
    if (partial.sizeBytes + message.data.length > Number(blob.sizeBytes)) {
      throw new ClientError("data_loss", `The hub sends more than the ${blob.sizeBytes} bytes it announced.`)
    }
    await partial.append(message.data)
    options.onProgress?.(partial.sizeBytes, Number(blob.sizeBytes))
  }
  if (blob === null) throw new ClientError("unavailable", "The hub ended the transfer before it began.")
  return blob
}
