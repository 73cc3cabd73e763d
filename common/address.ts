// Addresses of the Internet as text: one way of writing each, which of them are this machine itself, and which belong to one
// subscriber. Both sides ask here, so that "this machine" means the same to hub, agent and client.
import { BlockList, isIP, isIPv6, SocketAddress } from "node:net"

const loopback = new BlockList()
loopback.addSubnet("127.0.0.0", 8, "ipv4")
loopback.addAddress("::1", "ipv6")

/** An address, or a URL's host: 127/8, ::1, either also as mapped into IPv6 or in brackets, and the name localhost. */
export function isLoopback(host: string | undefined): boolean {
  if (host === undefined) return false
  if (host.toLowerCase() === "localhost") return true
  const address = plainAddress(host.replace(/^\[(.*)\]$/, "$1"))
  return address !== null && loopback.check(address, familyOf(address))
}

/** As short as it can be written, IPv4 never as mapped into IPv6, and without a zone. Null: it is no address. */
export function plainAddress(text: string): string | null {
  const [address = ""] = text.split("%", 1)
  if (isIP(address) === 0) return null
  if (!isIPv6(address)) return address
  const short = new SocketAddress({ address, family: "ipv6" }).address
  const [, mapped] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(short) ?? []
  return mapped ?? short
}

export function familyOf(address: string): "ipv4" | "ipv6" {
  return isIPv6(address) ? "ipv6" : "ipv4"
}

/** What bounds are kept for: one address of IPv4, or the /64 of IPv6 that one subscriber has to choose from. */
export function blockOf(address: string): string {
  const plain = plainAddress(address) ?? address
  return isIPv6(plain) ? prefixOf(plain, 4) : plain
}

/**
 * Where two computers probably stand under one roof, or one person's hand: 256 addresses of IPv4, which is the least that is routed by
 * itself, and the /48 of IPv6, which is the most that providers hand to one site (a home gets a /56 or a /64 of it: a /64 would count one
 * subscriber's networks as 65,536). Too wide costs another node, too narrow a wrong answer. "": it is no address.
 */
export function networkOf(address: string): string {
  const plain = plainAddress(address)
  if (plain === null) return ""
  return isIPv6(plain) ? prefixOf(plain, 3) : `${plain.slice(0, plain.lastIndexOf("."))}.0/24`
}

/** So many of an IPv6 address's eight groups. */
function prefixOf(address: string, groups: number): string {
  const [head = "", tail = ""] = address.split("::", 2)
  const left = head === "" ? [] : head.split(":")
  const right = tail === "" ? [] : tail.split(":")
  const middle = new Array<string>(Math.max(0, 8 - left.length - right.length)).fill("0")
  return `${[...left, ...middle, ...right].slice(0, groups).join(":")}::/${groups * 16}`
}
