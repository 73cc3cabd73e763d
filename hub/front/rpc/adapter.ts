// From HTTP requests to services: gRPC, gRPC-web and Connect from one set of handlers. It finds the handler by path, says who
// the peer is, and hears of what goes wrong after the answer has begun. It decides nothing.

import type { Interceptor } from "@connectrpc/connect"
import { Code, ConnectError, type ConnectRouter, createConnectRouter, createContextValues } from "@connectrpc/connect"
import type { UniversalServerRequest } from "@connectrpc/connect/protocol"
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from "@connectrpc/connect-node"
import { type Peer, peerKey } from "../../auth/interceptor.ts"
import type { Log } from "../../core/ports.ts"
import { GATHERED_BYTES_MAX, MESSAGE_BYTES_MAX } from "../../limits.ts"
import type { Request, Response } from "../../port.ts"

export interface RpcOptions {
  readonly routes: (router: ConnectRouter) => void
  /** The first is the outermost. */
  readonly interceptors: Interceptor[]
  /** Ends all open calls; its reason is what callers are told. */
  readonly shutdown: AbortSignal
  readonly log: Log
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
    const context = createContextValues().set(peerKey, peerOf(request, response))
    whenBodyCanBeRead(request, body => {
      let universal: UniversalServerRequest
      try {
        universal = universalRequestFromNodeRequest(request, response, undefined, context)
      } catch {
        // No host, or one that is no host name.
        response.statusCode = 400
        response.end()
        return
      }
      handler(body === null ? universal : { ...universal, body })
        .then(answer => universalResponseToNodeResponse(answer, response))
        .catch(thrown => {
          const { code } = ConnectError.from(thrown)
          if (code === Code.Aborted || code === Code.Canceled) return
          options.log.error({ method: handler.requestPath, error: thrown }, "an answer could not be sent")
          response.destroy()
        })
    })
    return true
  }
}

/**
 * A body that is small, and says so, is gathered first: Node's way of iterating over a request is a visible part of a submit
 * (npm run bench -- --only latency). Null: read it as it comes. A peer that goes away meanwhile has asked nothing.
 */
function whenBodyCanBeRead(request: Request, run: (body: AsyncIterable<Uint8Array> | null) => void): void {
  const length = Number(request.headers["content-length"] ?? Number.NaN)
  if (request.httpVersionMajor !== 1 || !(length <= GATHERED_BYTES_MAX)) return run(null)
  const pieces: Uint8Array[] = []
  request.on("data", (piece: Uint8Array) => pieces.push(piece))
  request.on("end", () => run(iterate(pieces)))
}

async function* iterate<T>(values: Iterable<T>): AsyncGenerator<T> {
  yield* values
}

function peerOf(request: Request, response: Response): Peer {
  return {
    address: request.socket.remoteAddress ?? "unknown",
    cut() {
      if ("stream" in response) response.stream.close()
      else response.destroy()
    },
  }
}
