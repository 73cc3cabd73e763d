// gRPC calls by @grpc/grpc-js from the protobuf-es descriptors: unary, server stream, client stream, each with a
// deadline, an abort signal and typed errors. Calls that may be repeated are, with back-off, while the hub is away.
// Knows nothing of campaigns, and never logs: the token travels in the metadata of each call and nowhere else.
import { once } from "node:events"
import {
  create,
  type DescMessage,
  type DescMethodClientStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf"
import { anyUnpack, MethodOptions_IdempotencyLevel as Idempotency } from "@bufbuild/protobuf/wkt"
import { Client, credentials, Metadata } from "@grpc/grpc-js"
import { isLoopback } from "../common/address.ts"
import {
  ErrorDetailSchema,
  ErrorStatusSchema,
  Reason as WireReason,
  Retry as WireRetry,
} from "../proto/gen/cah/v1/error_pb.ts"
import { type Backoff, pause, waitMs } from "./backoff.ts"
import { ClientError, type Detail, fromStatus, isTransient, type Reason, type StatusLike } from "./errors.ts"
import {
  CALL_MAX_MS,
  CALL_TRIES,
  CALL_WAIT_MAX_MS,
  CALL_WAIT_MIN_MS,
  KEEPALIVE_ANSWER_MS,
  KEEPALIVE_MS,
  MESSAGE_MAX_BYTES,
  RECEIVE_WINDOW_BYTES,
} from "./limits.ts"

export interface RpcOptions {
  readonly url: URL
  readonly token: string | null
  /** PEM certificates to trust in place of the system's. */
  readonly ca: Buffer | null
  /** Where it came from, for advice. */
  readonly caFile?: string | null
}

export interface Retry {
  readonly tries: number
  readonly backoff: Backoff
  /** Told before each wait. */
  readonly onWait?: ((error: ClientError, ms: number) => void) | undefined
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
  readonly deadlineMs?: number
  /** Without it only methods without side effects are repeated. */
  readonly retry?: Retry
}

const callRetry: Retry = {
  tries: CALL_TRIES,
  backoff: { minMs: CALL_WAIT_MIN_MS, maxMs: CALL_WAIT_MAX_MS },
}
const once1: Retry = { ...callRetry, tries: 1 }

export class Rpc {
  readonly hub: string
  readonly #client: Client
  readonly #token: string | null
  readonly #caFile: string | null

  constructor(options: RpcOptions) {
    const secure = options.url.protocol === "https:"
    const port = options.url.port === "" ? (secure ? "443" : "80") : options.url.port
    this.hub = options.url.origin
    this.#token = options.token
    this.#caFile = options.caFile ?? null
    this.#client = new Client(
      `dns:///${options.url.hostname}:${port}`,
      secure ? credentials.createSsl(options.ca) : credentials.createInsecure(),
      {
        // Ours is the only retry: it knows which calls may be repeated and tells the user.
        "grpc.enable_retries": 0,
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.max_reconnect_backoff_ms": 2_000,
        "grpc.keepalive_time_ms": KEEPALIVE_MS,
        "grpc.keepalive_timeout_ms": KEEPALIVE_ANSWER_MS,
        "grpc.max_receive_message_length": MESSAGE_MAX_BYTES,
        "grpc-node.flow_control_window": RECEIVE_WINDOW_BYTES,
        // A proxy from the environment has no way to this machine's own loopback.
        "grpc.enable_http_proxy": isLoopback(options.url.hostname) ? 0 : 1,
      },
    )
  }

  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>> {
    const message = create(method.input, request)
    const harmless = method.idempotency === Idempotency.NO_SIDE_EFFECTS
    return repeat(options.retry ?? (harmless ? callRetry : once1), options.signal, () =>
      this.#settle(options.signal, (metadata, deadline, callback) =>
        this.#client.makeUnaryRequest(
          path(method),
          serializer(method.input),
          deserializer(method.output),
          message,
          metadata,
          { deadline: deadline(options.deadlineMs ?? CALL_MAX_MS) },
          callback,
        ),
      ),
    )
  }

  /** Ends when the hub ends it. Leaving the loop early cancels the call. Reads no faster than the caller. */
  async *serverStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    options: Pick<CallOptions, "signal"> = {},
  ): AsyncGenerator<MessageShape<O>, void, undefined> {
    options.signal?.throwIfAborted()
    const call = this.#client.makeServerStreamRequest(
      path(method),
      serializer(method.input),
      deserializer(method.output),
      create(method.input, request),
      this.#metadata(),
      {},
    )
    // The cancel below may still report an error after the loop has stopped listening.
    call.on("error", () => {})
    const cancel = () => call.cancel()
    options.signal?.addEventListener("abort", cancel, { once: true })
    try {
      for await (const message of call) yield message as MessageShape<O>
    } catch (thrown) {
      options.signal?.throwIfAborted()
      throw this.#error(thrown)
    } finally {
      options.signal?.removeEventListener("abort", cancel)
      call.cancel()
    }
    options.signal?.throwIfAborted()
  }

  /** Sends no faster than the hub reads. A stream is never repeated here: only the caller can make its messages again. */
  async clientStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodClientStreaming<I, O>,
    requests: AsyncIterable<MessageInitShape<I>> | Iterable<MessageInitShape<I>>,
    options: { signal?: AbortSignal | undefined; answerMs?: number } = {},
  ): Promise<MessageShape<O>> {
    // Aborted when the call is over, whichever way, so that a writer waiting for room stops too.
    const over = new AbortController()
    const answer = this.#settle<MessageShape<O>>(options.signal, (metadata, _deadline, callback) => {
      const call = this.#client.makeClientStreamRequest(
        path(method),
        serializer(method.input),
        deserializer(method.output),
        metadata,
        {},
        (error, message) => {
          over.abort()
          callback(error, message)
        },
      )
      const write = async () => {
        for await (const request of requests) {
          if (over.signal.aborted) return
          if (!call.write(create(method.input, request))) await once(call, "drain", { signal: over.signal })
        }
        call.end()
        // It may be over already: a timer set now would keep the process for nothing.
        if (over.signal.aborted) return
        // From the last byte on the hub owes an answer.
        const timer = setTimeout(() => call.cancel(), options.answerMs ?? CALL_MAX_MS)
        over.signal.addEventListener("abort", () => clearTimeout(timer), { once: true })
      }
      write().catch(thrown => {
        if (over.signal.aborted) return
        callback(thrown, undefined)
        call.cancel()
      })
      return call
    })
    return answer
  }

  close(): void {
    this.#client.close()
  }

  #settle<T>(
    signal: AbortSignal | undefined,
    start: (
      metadata: Metadata,
      deadline: (ms: number) => number,
      callback: (error: unknown, value: T | undefined) => void,
    ) => { cancel(): void },
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      signal?.throwIfAborted()
      const call = start(
        this.#metadata(),
        ms => Date.now() + ms,
        (error, value) => {
          signal?.removeEventListener("abort", cancel)
          if (signal?.aborted) reject(signal.reason)
          else if (error !== null || value === undefined) reject(this.#error(error))
          else resolve(value)
        },
      )
      const cancel = () => call.cancel()
      signal?.addEventListener("abort", cancel, { once: true })
    })
  }

  #metadata(): Metadata {
    const metadata = new Metadata()
    if (this.#token !== null) metadata.set("authorization", `Bearer ${this.#token}`)
    return metadata
  }

  #error(thrown: unknown): ClientError {
    return isStatus(thrown)
      ? fromStatus(thrown, this.hub, thrown, this.#caFile, detailIn(thrown.metadata))
      : ClientError.from(thrown)
  }
}

/** Runs a call until it succeeds, fails for good, or has been tried often enough. */
export async function repeat<T>(retry: Retry, signal: AbortSignal | undefined, call: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await call()
    } catch (thrown) {
      signal?.throwIfAborted()
      const error = ClientError.from(thrown)
      if (tries >= retry.tries || !isTransient(error)) throw error
      const ms = waitMs(retry.backoff, tries)
      retry.onWait?.(error, ms)
      await pause(ms, signal)
    }
  }
}

function path(method: { parent: { typeName: string }; name: string }): string {
  return `/${method.parent.typeName}/${method.name}`
}

function serializer<D extends DescMessage>(schema: D): (message: MessageShape<D>) => Buffer {
  return message => {
    const bytes = toBinary(schema, message)
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }
}

function deserializer<D extends DescMessage>(schema: D): (bytes: Buffer) => MessageShape<D> {
  return bytes => fromBinary(schema, bytes)
}

/** Null: it is an older hub's, a proxy's, or the wire's own. */
function detailIn(metadata: Metadata | undefined): Detail | null {
  const [bytes] = metadata?.get("grpc-status-details-bin") ?? []
  if (!Buffer.isBuffer(bytes)) return null
  try {
    for (const any of fromBinary(ErrorStatusSchema, bytes).details) {
      const detail = anyUnpack(any, ErrorDetailSchema)
      if (detail !== undefined)
        return { reason: reasons[detail.reason] ?? null, isFinal: detail.retry === WireRetry.NEVER }
    }
  } catch {
    // Bytes of somebody else's that are no details: the words stand without them.
  }
  return null
}

const reasons: Readonly<Record<number, Reason>> = {
  [WireReason.NO_NODE]: "no_node",
  [WireReason.CONTAINER]: "container",
  [WireReason.RESERVATION]: "reservation",
}

function isStatus(thrown: unknown): thrown is StatusLike & { readonly metadata?: Metadata } {
  return (
    typeof thrown === "object" &&
    thrown !== null &&
    "details" in thrown &&
    "code" in thrown &&
    typeof thrown.code === "number" &&
    typeof thrown.details === "string"
  )
}
