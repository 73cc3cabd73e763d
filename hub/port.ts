// The one TCP port. Looks at the first bytes of each connection to see who is calling, and passes it to TLS, HTTP/2 or
// HTTP/1, whose requests all end at one handler; upgrades are handed on. It knows nothing of what is served. The bytes are held
// here, not in the socket: peeking by unshift + readable spins on a first packet of one byte, which stops the whole hub (a
// denial of service by one byte).
import { constants } from "node:crypto"
import { createServer as createHttp1, type IncomingMessage, type ServerResponse } from "node:http"
import {
  createServer as createHttp2,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from "node:http2"
import { type AddressInfo, createServer, type Socket } from "node:net"
import type { Duplex } from "node:stream"
import { createServer as createTls } from "node:tls"
import { blockOf, isLoopback } from "../common/address.ts"
import { CahError } from "./core/errors.ts"
import type { Log } from "./core/ports.ts"
import { BROKEN_PREFACE_ANSWER, type Caller, prefaceOf, TLS_ALERT, whoIsCalling } from "./first-bytes.ts"
import {
  HEADER_BYTES_MAX,
  HEADERS_MS,
  HTTP2_SESSION_MEMORY_MB,
  HTTP2_SESSION_WINDOW_BYTES,
  HTTP2_STREAM_WINDOW_BYTES,
  HTTP2_STREAMS_MAX,
  IDLE_MS,
  SNIFF_MS,
  SOCKETS_MAX,
  SOCKETS_PER_PEER_MAX,
  SOCKETS_SPARE,
} from "./limits.ts"
import { Peers } from "./peers.ts"
import { readProxyHeader } from "./proxy-protocol.ts"
import { Shares } from "./shares.ts"
import { SparingLog } from "./sparing.ts"

export type Request = IncomingMessage | Http2ServerRequest
export type Response = ServerResponse | Http2ServerResponse
export type OnRequest = (request: Request, response: Response) => void
export type OnUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => void

export interface PortOptions {
  readonly host: string
  /** 0: the system chooses. */
  readonly port: number
  /** PEM. Null: no TLS on this port. */
  readonly tls: { readonly cert: string | Buffer; readonly key: string | Buffer } | null
  /** Who may speak plain text. Tokens travel in it, so beyond loopback somebody must have asked for it. */
  readonly plainText: "everybody" | "loopback"
  readonly onRequest: OnRequest
  readonly onUpgrade: OnUpgrade
  /** Who may say for whom it speaks. None: nobody. */
  readonly peers?: Peers
  /** The number of open connections, whenever it changes. */
  readonly onConnections?: (open: number) => void
  readonly log: Log
  /** Smaller in tests. */
  readonly sniffMs?: number
  readonly headersMs?: number
}

export interface OnePort {
  readonly host: string
  readonly port: number
  /** Handshakes from now on are with this certificate; what is open stays as it is. */
  renew(tls: { readonly cert: string | Buffer; readonly key: string | Buffer }): void
  /** Accepts nothing more, tells HTTP/2 peers (GOAWAY), lets open calls end until the deadline, then cuts. */
  close(drainMs: number): Promise<void>
}

/** ECDHE and AEAD only. Node's own list still offers CBC, CCM and ARIA under TLS 1.2. */
const CIPHERS = [
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "TLS_AES_128_GCM_SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
].join(":")

const STRONG = {
  minVersion: "TLSv1.2",
  ciphers: CIPHERS,
  // A client of TLS 1.2 could else ask for handshake after handshake on one connection.
  secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  honorCipherOrder: true,
} as const

export async function openPort(options: PortOptions): Promise<OnePort> {
  const { log, onRequest, onUpgrade } = options
  const sniffMs = options.sniffMs ?? SNIFF_MS
  const headersMs = options.headersMs ?? HEADERS_MS
  const peers = options.peers ?? new Peers()
  const faults = new SparingLog(log)
  const sockets = new Set<Socket>()
  const shares = new Shares(SOCKETS_MAX, SOCKETS_PER_PEER_MAX)
  const sessions = new Set<ServerHttp2Session>()
  let closing = false

  // One broken request must never be more than its own 500.
  const handle: OnRequest = (request, response) => {
    if (hostsOf(request) > 1) {
      response.statusCode = 400
      if (request.httpVersionMajor === 1) response.setHeader("Connection", "close")
      response.end()
      return
    }
    peers.meet(request)
    if (!("stream" in response) && hasBody(request)) closeUnlessWhole(request, response)
    if (closing && request.httpVersionMajor === 1) response.setHeader("Connection", "close")
    try {
      onRequest(request, response)
    } catch (thrown) {
      faults.say("error", "request", "request handler threw", { error: thrown, path: request.url })
      if (response.headersSent) response.destroy()
      else {
        response.statusCode = 500
        response.end()
      }
    }
  }

  const http1 = createHttp1({
    maxHeaderSize: HEADER_BYTES_MAX,
    headersTimeout: headersMs,
    connectionsCheckingInterval: Math.max(50, headersMs / 5),
    // No bound on the whole request: an upload may take hours. IDLE_MS below bounds a stalled one.
    requestTimeout: 0,
    keepAliveTimeout: IDLE_MS,
    insecureHTTPParser: false,
  })
  http1.timeout = IDLE_MS
  http1.maxHeadersCount = 100
  http1.on("request", handle)
  http1.on("upgrade", (request, socket, head) => {
    // Whoever takes the upgrade has its own idea of idleness.
    if ("setTimeout" in socket) (socket as Socket).setTimeout(0)
    if (hostsOf(request) > 1) {
      socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
      return
    }
    peers.meet(request)
    try {
      onUpgrade(request, socket, head)
    } catch (thrown) {
      faults.say("error", "upgrade", "upgrade handler threw", { error: thrown, path: request.url })
      socket.destroy()
    }
  })
  http1.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    log.debug({ error: error.code ?? error.message }, "malformed HTTP/1")
    if (!socket.writable) return socket.destroy()
    const status = {
      HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large",
      ERR_HTTP_REQUEST_TIMEOUT: "408 Request Timeout",
    }[error.code ?? ""]
    socket.end(`HTTP/1.1 ${status ?? "400 Bad Request"}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
  })
  // This server never listens itself, and Node begins to look after headersTimeout only on "listening".
  http1.emit("listening")

  const http2 = createHttp2({
    settings: {
      maxConcurrentStreams: HTTP2_STREAMS_MAX,
      maxHeaderListSize: HEADER_BYTES_MAX,
      initialWindowSize: HTTP2_STREAM_WINDOW_BYTES,
      enablePush: false,
    },
    maxSessionMemory: HTTP2_SESSION_MEMORY_MB,
  })
  http2.on("request", handle)
  http2.on("sessionError", error => log.debug({ error: error.message }, "HTTP/2 session failed"))
  http2.on("session", session => {
    sessions.add(session)
    session.on("close", () => sessions.delete(session))
    session.setLocalWindowSize(HTTP2_SESSION_WINDOW_BYTES)
    // Idle without a call: the peer comes back when it has one. A silent call is bounded by TCP keep-alive.
    let calls = 0
    session.on("stream", stream => {
      calls += 1
      stream.on("close", () => {
        calls -= 1
      })
    })
    session.setTimeout(IDLE_MS, () => {
      if (calls === 0) session.close()
    })
    if (closing) session.close()
  })

  const tls = options.tls
    ? createTls({
        ...options.tls,
        ...STRONG,
        ALPNProtocols: ["h2", "http/1.1"],
        handshakeTimeout: headersMs,
      })
    : null
  tls?.on("secureConnection", socket => {
    socket.on("error", error => log.debug({ error: error.message }, "TLS connection failed"))
    if (socket.alpnProtocol === "h2") sniff(socket, held => (prefaceOf(held) === "more" ? null : "http2"), pass)
    else http1.emit("connection", socket)
  })
  tls?.on("tlsClientError", (error, socket) => {
    log.debug({ error: error.message }, "TLS handshake failed")
    socket.destroy()
  })

  function hand(socket: Socket, caller: Caller, held: Buffer): void {
    if (caller !== "tls" && options.plainText === "loopback" && !isLoopback(socket.remoteAddress)) {
      refuse(socket, caller)
      return
    }
    pass(socket, caller, held)
  }

  function pass(socket: Socket, caller: Caller, held: Buffer): void {
    if (caller === "tls" && tls === null) {
      socket.end(TLS_ALERT, () => socket.destroy())
      return
    }
    if (caller === "http2" && prefaceOf(held) === "broken") {
      log.debug({}, "an HTTP/2 client began wrongly")
      socket.end(BROKEN_PREFACE_ANSWER, () => socket.destroy())
      return
    }
    // An HTTP/1 peer may close its half after the request; the others may not.
    if (caller !== "http1") socket.allowHalfOpen = false
    socket.pause()
    socket.unshift(held)
    const server = caller === "tls" ? tls : caller === "http2" ? http2 : http1
    server?.emit("connection", socket)
    // TLS and HTTP/2 read what is held themselves. HTTP/1 takes later bytes straight from the handle, so the held ones
    // must flow before the next read, which they do: resume() works in this very tick.
    if (caller === "http1") socket.resume()
  }

  /** Holds what comes until it tells who is calling. `read` may take a part of it away, and throw the connection out. */
  function sniff(
    socket: Socket,
    read: (held: Buffer) => Caller | Buffer | null,
    then: (socket: Socket, caller: Caller, held: Buffer) => void,
  ): void {
    let held: Buffer = Buffer.alloc(0)
    const silent = setTimeout(() => {
      log.debug({ heldBytes: held.length }, "silent peer")
      socket.destroy()
    }, sniffMs)
    const take = (chunk: Buffer) => {
      held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
      let found = read(held)
      while (Buffer.isBuffer(found)) {
        held = found
        found = read(held)
      }
      if (found === null || socket.destroyed) return
      stop()
      then(socket, found, held)
    }
    const gone = () => {
      stop()
      socket.destroy()
    }
    const stop = () => {
      clearTimeout(silent)
      socket.off("data", take)
      socket.off("end", gone)
      socket.off("close", stop)
    }
    socket.on("data", take)
    socket.on("end", gone)
    socket.on("close", stop)
  }

  /** Of a connection of plain TCP: what it is, once a proxy has said whose. */
  function firstBytes(socket: Socket, near: string): (held: Buffer) => Caller | Buffer | null {
    let mayBeProxied = peers.isTrusted(near)
    return held => {
      if (mayBeProxied) {
        const header = readProxyHeader(held)
        if (header.kind === "more") return null
        mayBeProxied = false
        if (header.kind === "broken") {
          faults.say("info", near, "a proxy's first line is not of the PROXY protocol", { proxy: near })
          socket.destroy()
          return null
        }
        if (header.kind === "header") {
          if (header.address !== null) {
            peers.announced(socket, header.address)
            if (!takesPlace(socket, header.address)) return null
          }
          return held.subarray(header.bytes)
        }
      }
      const caller = whoIsCalling(held)
      return caller === "http2" && prefaceOf(held) === "more" ? null : caller
    }
  }

  /** Whether the connection may stay; where it may, it has one of its address's places. */
  function takesPlace(socket: Socket, address: string): boolean {
    const leave = shares.take(blockOf(address), () => {
      log.debug({ address }, "a connection gave way to another address")
      socket.destroy()
    })
    if (leave === null) {
      log.debug({ address, limit: SOCKETS_PER_PEER_MAX }, "too many connections from one address")
      socket.destroy()
      return false
    }
    socket.on("close", leave)
    return true
  }

  // Half-open as http.Server has it: a peer may close its half once the request is sent.
  const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 })
  server.maxConnections = SOCKETS_MAX + SOCKETS_SPARE
  server.on("drop", () => log.debug({ limit: SOCKETS_MAX }, "too many connections, one was refused"))
  const failed = (error: Error) => log.debug({ error: error.message }, "connection failed")
  server.on("connection", socket => {
    // A peer that resets is no news; the servers above add their own listeners.
    socket.on("error", failed)
    const near = peers.addressOf(socket)
    if (near === null) return socket.destroy()
    // Loopback, and a proxy until it has said whose the connection is, stand for many.
    const isCounted = !isLoopback(near) && !peers.isTrusted(near)
    if (isCounted && !takesPlace(socket, near)) return
    sockets.add(socket)
    options.onConnections?.(sockets.size)
    socket.on("close", () => {
      sockets.delete(socket)
      options.onConnections?.(sockets.size)
    })
    sniff(socket, firstBytes(socket, near), hand)
  })

  await listen(server, options)
  const address = server.address() as AddressInfo

  return {
    host: address.address,
    port: address.port,
    renew: pair => tls?.setSecureContext({ ...pair, ...STRONG }),
    async close(drainMs) {
      closing = true
      const closed = new Promise<void>(resolve => server.close(() => resolve()))
      for (const session of sessions) session.close()
      http1.closeIdleConnections()
      const deadline = setTimeout(() => {
        for (const socket of sockets) socket.destroy()
      }, drainMs)
      // Keep-alive connections that become idle during the drain would hold it to its deadline.
      const idle = setInterval(() => http1.closeIdleConnections(), Math.max(10, Math.min(250, drainMs / 10)))
      await closed
      clearTimeout(deadline)
      clearInterval(idle)
      // Never listened, so Node answers "not running": what it does before that is what we want (its timer ends).
      http1.close(() => {})
    },
  }
}

/** A request for two hosts is taken as for one by us and for the other by a proxy, so it is for neither. */
function hostsOf({ rawHeaders, headers }: Request): number {
  const authority = headers[":authority"]
  let hosts = authority !== undefined && headers.host !== undefined && headers.host !== authority ? 1 : 0
  for (let i = 0; i < rawHeaders.length; i += 2) if (rawHeaders[i]!.toLowerCase() === "host") hosts++
  return hosts
}

function hasBody({ headers }: Request): boolean {
  return headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0"
}

/**
 * An answer that goes out before its request is here is the connection's last: a proxy may then drop the rest of that request and
 * send the next one, whose beginning would be taken for the rest (seen with HAProxy 2.6).
 */
function closeUnlessWhole(request: Request, response: ServerResponse): void {
  const writeHead = response.writeHead.bind(response) as (...args: unknown[]) => ServerResponse
  response.writeHead = (...args: unknown[]) => {
    if (!request.complete && !response.headersSent) response.setHeader("Connection", "close")
    return writeHead(...args)
  }
}

function refuse(socket: Socket, caller: Caller): void {
  if (caller === "http2") {
    socket.destroy()
    return
  }
  const text = "This port speaks TLS: use https://\n"
  socket.end(
    `HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
    () => socket.destroy(),
  )
}

function listen(server: ReturnType<typeof createServer>, where: { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(cannotListen(error, where)))
    server.listen(where.port, where.host, () => resolve())
  })
}

function cannotListen(error: NodeJS.ErrnoException, { host, port }: { host: string; port: number }): CahError {
  const why: Record<string, string> = {
    EADDRINUSE: `port ${port} on ${host} is in use: stop the program that has it, or choose another with --port`,
    EACCES: `port ${port} is reserved for root: choose one above 1023 with --port`,
    EADDRNOTAVAIL: `this machine has no address ${host}: choose one of its own with --host`,
    ENOTFOUND: `the name ${host} is unknown: give an address with --host`,
  }
  return new CahError("failed_precondition", why[error.code ?? ""] ?? `cannot listen on ${host}:${port}`, {
    cause: error,
  })
}
