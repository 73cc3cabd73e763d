// From HTTP requests to services: gRPC, gRPC-web and Connect from one set of handlers. It finds the handler by path, asks who may
// call before anything of the body is read, holds each message to its method's bound before it is decoded, and hears of what goes
// wrong after the answer has begun. It decides nothing.
import { constants } from "node:http2"
import type { DescMethod } from "@bufbuild/protobuf"
import type { Interceptor } from "@connectrpc/connect"
import { Code, ConnectError, type ConnectRouter, createConnectRouter, createContextValues } from "@connectrpc/connect"
import type { UniversalServerRequest } from "@connectrpc/connect/protocol"
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from "@connectrpc/connect-node"
import type { CahError } from "../../core/errors.ts"
import { GATHERED_BYTES_MAX, MESSAGE_BYTES_MAX, MESSAGE_MS, REFUSED_BODY_MS } from "../../limits.ts"
import { peerOf } from "../../peers.ts"
import type { Request, Response } from "../../port.ts"
import type { SparingLog } from "../../sparing.ts"
import { type Bound, boundOf } from "./bounds.ts"
import { connectErrorOf, countedKey } from "./errors.ts"
import { type CallPeer, callerKey, type Guard, peerKey, refusalKey } from "./guard.ts"
import { checkedBody, checkQuery, tooLate } from "./messages.ts"

export interface RpcOptions {
  readonly routes: (router: ConnectRouter) => void
  /** Who may call, from a request's head. */
  readonly admit: Guard["admit"]
  /** The first is the outermost. */
  readonly interceptors: Interceptor[]
  /** Ends all open calls; its reason is what callers are told. */
  readonly shutdown: AbortSignal
  readonly faults: SparingLog
  /** Told of calls that ended before an interceptor heard of them. */
  onRefused?(method: DescMethod, contentType: string, error: ConnectError): void
  /** Others than those of bounds.ts, and a shorter time for a message, in tests. */
  readonly boundOf?: (method: DescMethod) => Bound
  readonly messageMs?: number
}

/** Answers the request and says true, or says false: no service has this path. */
export type RpcHandler = (request: Request, response: Response) => boolean

export function rpcHandler(options: RpcOptions): RpcHandler {
  const router = createConnectRouter({
    interceptors: options.interceptors,
    readMaxBytes: MESSAGE_BYTES_MAX,
    shutdownSignal: options.shutdown,
    // Frames and logs that were compressed already: gzip made a download of 300 MB four times slower.
    acceptCompression: [],
  })
  options.routes(router)
  const handlers = new Map(router.handlers.map(handler => [handler.requestPath, handler]))

  return (request, response) => {
    const handler = handlers.get((request.url ?? "").split("?", 1)[0] ?? "")
    if (handler === undefined) return false
    const { method } = handler
    const peer = callPeerOf(request, response)
    const context = createContextValues().set(peerKey, peer)
    const rule = { method, ms: options.messageMs ?? MESSAGE_MS, ...(options.boundOf ?? boundOf)(method) }
    const contentType = request.headers["content-type"] ?? ""
    let refusal: ConnectError | null = null
    try {
      context.set(callerKey, options.admit(method, request.headers.authorization ?? null, peer))
      if (request.method === "GET") checkQuery(new URLSearchParams(request.url?.split("?")[1] ?? ""), rule)
    } catch (thrown) {
      refusal = connectErrorOf(thrown)
      context.set(refusalKey, refusal)
    }

    /** An error of the body: where no interceptor has heard of the call yet, it is counted here. */
    const failed = (thrown: unknown): ConnectError => {
      const error = connectErrorOf(thrown)
      if (!context.get(countedKey)) options.onRefused?.(method, contentType, error)
      return error
    }
    const answer = (body: AsyncIterable<Uint8Array> | null) => {
      let universal: UniversalServerRequest
      try {
        universal = universalRequestFromNodeRequest(request, response, undefined, context)
      } catch {
        // No host, or one that is no host name.
        response.statusCode = 400
        response.end()
        return
      }
      const asked =
        refusal === null
          ? { ...universal, body: checked(body ?? (universal.body as AsyncIterable<Uint8Array>)) }
          : refused(universal, refusal)
      response.once("finish", () => endRequest(request, response))
      handler(asked)
        .then(made => universalResponseToNodeResponse(made, response))
        .catch(thrown => {
          const { code } = ConnectError.from(thrown)
          if (code === Code.Aborted || code === Code.Canceled) return
          const fields = { method: handler.requestPath, error: thrown }
          options.faults.say("error", handler.requestPath, "an answer could not be sent", fields)
          response.destroy()
        })
    }
    async function* checked(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
      try {
        yield* checkedBody(body, contentType, rule)
      } catch (thrown) {
        void exhaust(body)
        throw failed(thrown)
      }
    }
    /** In the words of the caller's protocol: it hears of the error where it would have read the first message. */
    function refused(universal: UniversalServerRequest, error: ConnectError): UniversalServerRequest {
      // biome-ignore lint/correctness/useYield: a body of which there is nothing to read.
      const body = (async function* () {
        throw failed(error)
      })()
      if (universal.method !== "GET") return { ...universal, body }
      // A GET has no body to fail: answered as the call that it stands for.
      const header = new Headers(universal.header)
      header.set("content-type", "application/proto")
      return { ...universal, method: "POST", header, body }
    }

    if (refusal === null) whenBodyCanBeRead(request, rule.ms, answer)
    else whenSmallBodyIsOver(request, () => answer(null))
    return true
  }
}

/**
 * A body that is small, and says so, is gathered first: Node's way of iterating over a request is a visible part of a submit
 * (npm run bench -- --only latency). Null: read it as it comes. A peer that goes away meanwhile has asked nothing.
 */
function whenBodyCanBeRead(request: Request, ms: number, run: (body: AsyncIterable<Uint8Array> | null) => void): void {
  const length = Number(request.headers["content-length"] ?? Number.NaN)
  if (request.httpVersionMajor !== 1 || !(length <= GATHERED_BYTES_MAX)) return run(null)
  const pieces: Uint8Array[] = []
  const take = (piece: Uint8Array) => void pieces.push(piece)
  const ended = () => run(iterate(pieces))
  const late = setTimeout(() => {
    request.off("data", take).off("end", ended)
    run(iterate(pieces, tooLate(ms)))
  }, ms)
  request
    .on("data", take)
    .on("end", ended)
    .on("close", () => clearTimeout(late))
}

/**
 * A refusal reads nothing of a body, but lets a small one come first: an answer that overtakes its request ends the connection, and a
 * proxy says so too late (nginx before HTTP/2: its client sends the next call into a connection that is closing). A body that says it is
 * larger, turns out larger or is late is not waited for.
 */
function whenSmallBodyIsOver(request: Request, run: () => void): void {
  let bytes = 0
  const done = () => {
    clearTimeout(late)
    request.off("data", count).off("end", done).off("close", stop)
    request.resume()
    run()
  }
  const count = (piece: Uint8Array) => {
    bytes += piece.length
    if (bytes > GATHERED_BYTES_MAX) done()
  }
  const stop = () => clearTimeout(late)
  const late = setTimeout(done, REFUSED_BODY_MS)
  request.on("data", count).on("end", done).on("close", stop)
  if (Number(request.headers["content-length"]) > GATHERED_BYTES_MAX) done()
}

async function* iterate<T>(values: Iterable<T>, error?: CahError): AsyncGenerator<T> {
  yield* values
  if (error !== undefined) throw error
}

/** Reads the rest for nothing: left where it is it would hold up all other calls of its connection. */
async function exhaust(body: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    for await (const _piece of body);
  } catch {
    // The peer went away, and nobody waits for its bytes.
  }
}

/** After the answer nothing more of the call is wanted: HTTP/2 says so, and HTTP/1 closes the connection (port.ts). */
function endRequest(request: Request, response: Response): void {
  if ("stream" in response && !request.complete && !request.destroyed) response.stream.close(constants.NGHTTP2_NO_ERROR)
}

function callPeerOf(request: Request, response: Response): CallPeer {
  return {
    address: peerOf(request).address,
    cut() {
      if ("stream" in response) response.stream.close()
      else response.destroy()
    },
  }
}
