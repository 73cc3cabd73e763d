// The wire below the fake hub: a real grpc-js server on loopback that speaks a service from its descriptors. What a method answers is the fake
// hub's; what was not given is "unimplemented", as an older hub would say. For tests only.
import { once } from "node:events"
import {
  create,
  type DescMessage,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf"
import { anyPack } from "@bufbuild/protobuf/wkt"
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  status as Status,
  type sendUnaryData,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js"
import { ErrorDetailSchema, ErrorStatusSchema } from "../proto/gen/cah/v1/error_pb.ts"

export type Call =
  | ServerUnaryCall<unknown, unknown>
  | ServerReadableStream<unknown, unknown>
  | ServerWritableStream<unknown, unknown>

/** An error as a service gives it. */
export class Refusal extends Error {
  readonly code: number
  /** Undefined: as a hub of before says it, without a detail. */
  readonly detail: MessageInitShape<typeof ErrorDetailSchema> | undefined
  constructor(code: number, message: string, detail?: MessageInitShape<typeof ErrorDetailSchema>) {
    super(message)
    this.code = code
    this.detail = detail
  }
}

/** Told of each call before its method, and given what to do after it, or null. Throws to refuse. */
type Arrived = (name: string, call: Call) => (() => void) | null

export type Methods<S extends DescService> = {
  readonly [K in keyof S["method"]]?: S["method"][K] extends { methodKind: infer Kind; input: infer I; output: infer _ }
    ? I extends DescMessage
      ? Kind extends "unary"
        ? (request: MessageShape<I>) => object
        : Kind extends "client_streaming"
          ? (requests: AsyncIterable<MessageShape<I>>) => Promise<object>
          : (request: MessageShape<I>, ended: AbortSignal) => AsyncIterable<object> | Iterable<object>
      : never
    : never
}

export class FakeServer {
  readonly #server = new Server()

  add<S extends DescService>(service: S, arrived: Arrived, methods: Methods<S>): void {
    const definition: Record<string, object> = {}
    const handlers: UntypedServiceImplementation = {}
    for (const method of service.methods) {
      definition[method.localName] = {
        path: `/${service.typeName}/${method.name}`,
        requestStream: method.methodKind === "client_streaming",
        responseStream: method.methodKind === "server_streaming",
        requestDeserialize: (bytes: Buffer) => fromBinary(method.input, bytes),
        responseSerialize: (value: Record<string, unknown>) =>
          Buffer.from(toBinary(method.output, create(method.output, value))),
        requestSerialize: (value: Record<string, unknown>) =>
          Buffer.from(toBinary(method.input, create(method.input, value))),
        responseDeserialize: (bytes: Buffer) => fromBinary(method.output, bytes),
      }
      const answer = methods[method.localName] as ((...args: unknown[]) => never) | undefined
      if (answer !== undefined)
        handlers[method.localName] = handler(method.methodKind, method.localName, arrived, answer)
    }
    this.#server.addService(definition as Parameters<Server["addService"]>[0], handlers)
  }

  /** Returns the port. */
  listen(port: number, tls: { key: Buffer; cert: Buffer } | undefined): Promise<number> {
    const credentials =
      tls === undefined
        ? ServerCredentials.createInsecure()
        : ServerCredentials.createSsl(null, [{ private_key: tls.key, cert_chain: tls.cert }])
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(`127.0.0.1:${port}`, credentials, (error, bound) =>
        error ? reject(error) : resolve(bound),
      )
    })
  }

  stop(): void {
    this.#server.forceShutdown()
  }
}

type Answer = (...args: unknown[]) => never

function handler(kind: string, name: string, arrived: Arrived, answer: Answer) {
  if (kind === "unary") return unary(name, arrived, answer)
  return kind === "client_streaming" ? clientStream(name, arrived, answer) : serverStream(name, arrived, answer)
}

function unary(name: string, arrived: Arrived, answer: Answer) {
  return (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>) => {
    try {
      const late = arrived(name, call)
      const value = answer(call.request)
      late?.()
      callback(null, value)
    } catch (thrown) {
      callback(refusal(thrown), null)
    }
  }
}

function clientStream(name: string, arrived: Arrived, answer: Answer) {
  return (call: ServerReadableStream<unknown, unknown>, callback: sendUnaryData<unknown>) => {
    const work = async () => {
      const late = arrived(name, call)
      const value = await answer(call.iterator({ destroyOnReturn: false }))
      late?.()
      return value
    }
    work().then(
      value => callback(null, value),
      thrown => callback(refusal(thrown), null),
    )
  }
}

function serverStream(name: string, arrived: Arrived, answer: Answer) {
  return (call: ServerWritableStream<unknown, unknown>) => {
    const ended = new AbortController()
    call.on("cancelled", () => ended.abort())
    const work = async () => {
      const late = arrived(name, call)
      for await (const message of answer(call.request, ended.signal) as AsyncIterable<object>) {
        if (ended.signal.aborted) return
        if (!call.write(message)) await once(call, "drain", { signal: ended.signal })
      }
      late?.()
    }
    work().then(
      () => call.end(),
      thrown => {
        if (!ended.signal.aborted) call.emit("error", refusal(thrown))
      },
    )
  }
}

function refusal(thrown: unknown) {
  const code = thrown instanceof Refusal ? thrown.code : Status.INTERNAL
  const details = thrown instanceof Error ? thrown.message : String(thrown)
  const metadata = new Metadata()
  if (thrown instanceof Refusal && thrown.detail !== undefined) {
    const packed = anyPack(ErrorDetailSchema, create(ErrorDetailSchema, thrown.detail))
    const status = create(ErrorStatusSchema, { code, message: details, details: [packed] })
    metadata.set("grpc-status-details-bin", Buffer.from(toBinary(ErrorStatusSchema, status)))
  }
  return Object.assign(new Error(details), { code, details, metadata })
}
