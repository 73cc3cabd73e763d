// Who is asking: the one place that says from which address a connection or a request comes, whether that is the operator at the
// hub's own machine, and for whom bounds are kept. A proxy is believed only if the operator named it (--trusted-proxy): by the PROXY
// protocol in a connection's first bytes, or by X-Forwarded-For (else Forwarded) in a request's head.
import type { IncomingHttpHeaders, IncomingMessage } from "node:http"
import type { Http2ServerRequest } from "node:http2"
import { BlockList, type Socket } from "node:net"
import { blockOf, familyOf, isLoopback, plainAddress } from "../common/address.ts"
import { CahError } from "./core/errors.ts"

export interface Peer {
  /** The client's, also where a trusted proxy stands between; "unknown" of a connection that is gone. */
  readonly address: string
  /** What bounds are kept for. */
  readonly block: string
  /** Whether bounds by address say anything. Loopback is the operator, or a proxy that was not named and stands for many. */
  readonly isCounted: boolean
  /** Sits at the hub's own machine, for sure: not a proxy, and not a page in a browser there whose name points at 127.0.0.1. */
  readonly isOperator: boolean
  /** Nobody could read on the way, as far as we are told. */
  readonly isEncrypted: boolean
}

export interface PeersOptions {
  /** Addresses or networks: 10.1.2.3, 10.1.0.0/16, 2001:db8::/32. CahError invalid_argument for anything else. */
  readonly trusted?: readonly string[]
  /** A proxy stands before the hub, as its public URL tells: loopback then may be anybody. */
  readonly hasPublicUrl?: boolean
}

/** What a request says of who sends it. */
type Asked = Pick<IncomingMessage | Http2ServerRequest, "headers" | "socket">

/** What tells one connection of a port from all others. */
type Endpoint = Pick<Socket, "remoteAddress" | "remotePort" | "localAddress">

export class Peers {
  readonly #trusted = new BlockList()
  readonly #isBehindProxy: boolean
  /** What proxies said of their connections. */
  readonly #announced = new Map<string, string>()

  constructor({ trusted = [], hasPublicUrl = false }: PeersOptions = {}) {
    for (const network of trusted) addTo(this.#trusted, network)
    this.#isBehindProxy = hasPublicUrl || trusted.length > 0
  }

  /** Whether it may say for whom it speaks. */
  isTrusted(address: string): boolean {
    return this.#trusted.check(address, familyOf(address))
  }

  /** A proxy said at a connection's beginning whose it is. */
  announced(socket: Socket, address: string): void {
    const endpoint = endpointOf(socket)
    this.#announced.set(endpoint, address)
    socket.once("close", () => this.#announced.delete(endpoint))
  }

  /** The other end of a connection, or for whom it was opened. Null: it is gone. */
  addressOf(socket: Endpoint): string | null {
    // Without TLS's layer around it: that has the same ends.
    const announced = this.#announced.size === 0 ? undefined : this.#announced.get(endpointOf(socket))
    return announced ?? plainAddress(socket.remoteAddress ?? "")
  }

  /** Remembers whose request it is, for everybody who asks peerOf(). */
  meet(request: Asked): void {
    met.set(request, this.of(request))
  }

  of({ headers, socket }: Asked): Peer {
    const near = this.addressOf(socket)
    const isProxy = near !== null && this.isTrusted(near)
    const told = isProxy ? this.#told(headers) : null
    const address = told?.address ?? near ?? "unknown"
    const isTls = "encrypted" in socket && socket.encrypted === true
    return {
      address,
      block: blockOf(address),
      isCounted: !isLoopback(address) || this.isTrusted(address),
      isOperator: !this.#isBehindProxy && isLoopback(address) && isHeadOfNeighbour(headers),
      isEncrypted: isTls || told?.isEncrypted === true,
    }
  }

  /** From right to left: what stands left of the first that is no proxy of ours, anybody may have written. */
  #told(headers: IncomingHttpHeaders): { address: string | null; isEncrypted: boolean } {
    const { protocol, clients } = forwarded(headers)
    let address: string | null = null
    for (const client of clients.reverse()) {
      const next = plainAddress(client)
      if (next === null) break
      address = next
      if (!this.isTrusted(next)) break
    }
    return { address, isEncrypted: protocol === "https" }
  }
}

const met = new WeakMap<object, Peer>()
const nobodyTrusted = new Peers()

/** Whose request it is, of one that came by the port. */
export function peerOf(request: Asked): Peer {
  return met.get(request) ?? nobodyTrusted.of(request)
}

/** One line of --trusted-proxy. CahError invalid_argument. */
export function checkNetwork(network: string): string {
  addTo(new BlockList(), network)
  return network
}

function addTo(list: BlockList, network: string): void {
  const [, text = "", bits] = /^([0-9A-Fa-f:.]+)(?:\/(\d{1,3}))?$/.exec(network) ?? []
  const address = plainAddress(text)
  if (address === null) throw notNetwork(network)
  const family = familyOf(address)
  const all = family === "ipv4" ? 32 : 128
  const prefix = bits === undefined ? all : Number(bits)
  if (prefix > all) throw notNetwork(network)
  list.addSubnet(address, prefix, family)
}

function notNetwork(network: string): CahError {
  return new CahError(
    "invalid_argument",
    `"${network}" is no address or network like 10.1.2.3, 10.1.0.0/16 or fd00::/8`,
  )
}

function endpointOf({ remoteAddress, remotePort, localAddress }: Endpoint): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`
}

/** Nobody passed the request on, and it was meant for this machine. */
function isHeadOfNeighbour(headers: IncomingHttpHeaders): boolean {
  const passed = ["forwarded", "x-forwarded-for", "x-real-ip", "via"].some(name => headers[name] !== undefined)
  const authority = String(headers[":authority"] ?? headers.host ?? "")
  return !passed && isLoopback(authority.replace(/:\d+$/, ""))
}

/** The clients that proxies name, nearest last. X-Forwarded-For wins: most proxies write it, and pass on whatever Forwarded came. */
function forwarded(headers: IncomingHttpHeaders): { clients: string[]; protocol: string } {
  const list = headers["x-forwarded-for"]
  if (list !== undefined) {
    const protocols = String(headers["x-forwarded-proto"] ?? "").split(",")
    return { clients: String(list).split(",").map(withoutPort), protocol: protocols.at(-1)!.trim().toLowerCase() }
  }
  const elements = String(headers.forwarded ?? "").split(",")
  const value = (element: string, name: string) =>
    new RegExp(`(?:^|;)\\s*${name}=(?:"([^"]*)"|([^;\\s"]*))`, "i").exec(element)?.slice(1).join("") ?? ""
  const proxied = elements.at(-1)!
  const protocol = value(proxied, "proto") || String(headers["x-forwarded-proto"] ?? "")
  return { clients: elements.map(element => withoutPort(value(element, "for"))), protocol: protocol.toLowerCase() }
}

/** "192.0.2.1:80" and "[2001:db8::1]:80" as well as plain ones. */
function withoutPort(text: string): string {
  const trimmed = text.trim()
  return /^\[(.+)\](?::\d+)?$/.exec(trimmed)?.[1] ?? /^([\d.]+):\d+$/.exec(trimmed)?.[1] ?? trimmed
}
