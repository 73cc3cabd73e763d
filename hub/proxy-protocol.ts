// The PROXY protocol, versions 1 (text) and 2 (binary): what a proxy says of its client in a connection's first bytes. Pure.
// https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
import { isIP, isIPv4, isIPv6 } from "node:net"
import { plainAddress } from "../common/address.ts"

export type ProxyHeader =
  /** The bytes begin otherwise: there is none. */
  | { readonly kind: "none" }
  /** Not enough to tell. */
  | { readonly kind: "more" }
  | { readonly kind: "broken" }
  /** Its length, and the client's address; null: the proxy speaks for itself, as in its health checks. */
  | { readonly kind: "header"; readonly bytes: number; readonly address: string | null }

const V1 = Buffer.from("PROXY ")
/** The longest that version 1 allows, with its line break. */
const V1_BYTES_MAX = 107
const V2 = Buffer.from("0d0a0d0a000d0a515549540a", "hex")
const V2_HEAD_BYTES = V2.length + 4
/** Addresses, and whatever the proxy adds: names, certificates' facts. */
const V2_REST_BYTES_MAX = 4_096
const [LOCAL, PROXY] = [0, 1]
const [TCP4, TCP6] = [0x11, 0x21]

export function readProxyHeader(bytes: Buffer): ProxyHeader {
  if (begins(bytes, V1)) return bytes.length < V1.length ? { kind: "more" } : readText(bytes)
  if (begins(bytes, V2)) return bytes.length < V2_HEAD_BYTES ? { kind: "more" } : readBinary(bytes)
  return { kind: "none" }
}

/** As far as there are bytes. */
function begins(bytes: Buffer, with_: Buffer): boolean {
  const length = Math.min(bytes.length, with_.length)
  return bytes.compare(with_, 0, length, 0, length) === 0
}

function readText(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, V1_BYTES_MAX).indexOf("\r\n")
  if (end < 0) return bytes.length < V1_BYTES_MAX ? { kind: "more" } : { kind: "broken" }
  const [, family, source = "", target = "", ...ports] = bytes.toString("latin1", 0, end).split(" ")
  if (family === "UNKNOWN") return { kind: "header", bytes: end + 2, address: null }
  const isFamily = family === "TCP4" ? isIPv4 : family === "TCP6" ? isIPv6 : () => false
  const arePorts = ports.length === 2 && ports.every(port => /^\d{1,5}$/.test(port) && Number(port) <= 0xffff)
  if (!isFamily(source) || !isFamily(target) || !arePorts) return { kind: "broken" }
  return { kind: "header", bytes: end + 2, address: plainAddress(source) }
}

function readBinary(bytes: Buffer): ProxyHeader {
  const [version, command] = [bytes[V2.length]! >> 4, bytes[V2.length]! & 0xf]
  const family = bytes[V2.length + 1]!
  const rest = bytes.readUInt16BE(V2.length + 2)
  if (version !== 2 || (command !== LOCAL && command !== PROXY) || rest > V2_REST_BYTES_MAX) return { kind: "broken" }
  const length = V2_HEAD_BYTES + rest
  if (bytes.length < length) return { kind: "more" }
  // What is neither TCP over IPv4 nor over IPv6 is said to be taken as without an address.
  if (command === LOCAL || (family !== TCP4 && family !== TCP6)) return { kind: "header", bytes: length, address: null }
  const source = bytes.subarray(V2_HEAD_BYTES, V2_HEAD_BYTES + (family === TCP4 ? 4 : 16))
  if (rest < (family === TCP4 ? 12 : 36)) return { kind: "broken" }
  const text = family === TCP4 ? source.join(".") : source.toString("hex").replace(/(.{4})(?!$)/g, "$1:")
  return isIP(text) === 0 ? { kind: "broken" } : { kind: "header", bytes: length, address: plainAddress(text) }
}
