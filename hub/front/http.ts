// HTTP for BOINC clients and volunteers' browsers: the URL by which the caller knows the hub, bodies of bounded size, and answers with
// their headers. Knows nothing of what is asked.
import { CahError } from "../core/errors.ts"
import { BODY_MS } from "../limits.ts"
import { peerOf } from "../peers.ts"
import type { Request, Response } from "../port.ts"

export interface Answer {
  readonly status: number
  readonly type: string
  readonly body: string | Buffer
  readonly headers?: Readonly<Record<string, string>>
}

export function addressOf(request: Request): string {
  return peerOf(request).address
}

export function isEncrypted(request: Request): boolean {
  return peerOf(request).isEncrypted
}

/** With a slash at its end: the public URL if the operator gave one, else that by which the caller came. Null: it names none. */
export function baseUrlOf(request: Request, publicUrl: string | null): string | null {
  if (publicUrl !== null) return publicUrl
  const { headers } = request
  const host = (headers[":authority"] ?? headers.host ?? "") as string
  if (!/^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/.test(host)) return null
  return `${isEncrypted(request) ? "https" : "http"}://${host}/`
}

/** Where the address says nothing of who asks, whoever stands before the hub has limits of its own. */
export function isWithin(limit: { count(address: string): boolean }, request: Request): boolean {
  const { address, isCounted } = peerOf(request)
  return !isCounted || limit.count(address)
}

/** Whose turn it is among those who log in: the address's, or where that says nothing the account's. */
export function turnOf(request: Request, email: string): string {
  const { block, isCounted } = peerOf(request)
  return isCounted ? block : email.toLowerCase()
}

/** The whole body, or null as soon as it is larger. CahError aborted if it does not come within its time. */
export async function readBody(request: Request, maxBytes: number, ms = BODY_MS): Promise<Buffer | null> {
  if (Number(request.headers["content-length"] ?? 0) > maxBytes) return null
  const pieces: Buffer[] = []
  let length = 0
  // Ends the loop below, wherever it waits.
  const late = setTimeout(() => request.destroy(new CahError("aborted", `no body within ${ms / 1_000} s`)), ms)
  try {
    for await (const piece of request as AsyncIterable<Buffer>) {
      length += piece.length
      if (length > maxBytes) return null
      pieces.push(piece)
    }
  } finally {
    clearTimeout(late)
  }
  return Buffer.concat(pieces, length)
}

export function send(request: Request, response: Response, { status, type, body, headers }: Answer): void {
  const bytes = typeof body === "string" ? Buffer.from(body) : body
  // What is left of a body that was not read would be taken for the next request.
  const unread = request.method === "POST" && !request.complete && request.httpVersionMajor === 1
  response.writeHead(status, {
    "Content-Type": type.startsWith("text/") && !type.includes(";") ? `${type}; charset=utf-8` : type,
    "Content-Length": bytes.byteLength,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    // Who came by TLS comes by TLS from now on; not on the hub's own machine, whose name other programs share.
    ...(isEncrypted(request) && peerOf(request).isCounted ? { "Strict-Transport-Security": "max-age=31536000" } : {}),
    ...(unread ? { Connection: "close" } : {}),
    ...headers,
  })
  // A HEAD request has no body: both versions of HTTP leave it out by themselves.
  response.end(bytes)
}

export function xml(body: string, status = 200): Answer {
  return { status, type: "text/xml", body }
}

export function text(status: number, body: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, type: "text/plain", body, headers }
}
