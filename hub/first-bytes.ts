// What a connection's first bytes tell: who is calling, and whether that can be served. Pure.
//
//   0x16 ─────────→ TLS ──ALPN──→ h2 | http/1.1
//   "PRI " ───────→ HTTP/2, plain text
//   anything else → HTTP/1, plain text

export type Caller = "tls" | "http2" | "http1"

const TLS_HANDSHAKE = 0x16
/** What every HTTP/2 client says first (RFC 9113, 3.4). */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
const PREFACE_BEGIN = "PRI "

/** An empty SETTINGS frame, and GOAWAY: no stream was taken, PROTOCOL_ERROR. Node's own server only closes the connection. */
export const BROKEN_PREFACE_ANSWER = Buffer.from("000000040000000000" + "0000080700000000000000000000000001", "hex")
/** A fatal "handshake_failure" alert: what a TLS client understands, where silence would make it wait. */
export const TLS_ALERT = Buffer.from([0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x28])

/** Who is calling, or null while the bytes do not tell. "P" may begin POST, PUT or PRI. */
export function whoIsCalling(bytes: Buffer): Caller | null {
  if (bytes.length === 0) return null
  if (bytes[0] === TLS_HANDSHAKE) return "tls"
  const begin = bytes.toString("latin1", 0, PREFACE_BEGIN.length)
  if (begin === PREFACE_BEGIN) return "http2"
  return PREFACE_BEGIN.startsWith(begin) ? null : "http1"
}

/** Of a client of HTTP/2. */
export function prefaceOf(bytes: Buffer): "whole" | "more" | "broken" {
  const length = Math.min(bytes.length, PREFACE.length)
  if (bytes.compare(PREFACE, 0, length, 0, length) !== 0) return "broken"
  return length === PREFACE.length ? "whole" : "more"
}
