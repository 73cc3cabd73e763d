// The two kinds of proxy that a BOINC client knows: HTTP (CONNECT, RFC 9110 9.3.6) and SOCKS 5 (RFC 1928, with name and password by RFC 1929). A
// connection to the proxy in, one to the hub out. What a proxy answers is a stranger's: capped, and told of in words.
import { lookup } from "node:dns/promises"
import { isIP, isIPv6, type Socket } from "node:net"
import type { Address, HubProxy } from "../core/ports.ts"
import { PROXY_ANSWER_MAX_BYTES } from "../limits.ts"

/** What it takes to have the proxy connect to the hub. Rejects with a sentence. */
export async function tunnel(socket: Socket, hub: Address, proxy: HubProxy, signal: AbortSignal): Promise<void> {
  const why =
    proxy.kind === "http" ? await connect(socket, hub, proxy, signal) : await socks(socket, hub, proxy, signal)
  if (why !== null) throw new Error(`the proxy (${proxy.host}:${proxy.port}) does not connect to the hub: ${why}`)
}

/** Whether the volunteer wants no proxy for this host: the client compares whole names; a dot before one stands for all below it. */
export function isExempt(host: string, { exempt }: HubProxy): boolean {
  const name = host.toLowerCase()
  return exempt.some(entry => {
    const plain = entry.toLowerCase().replace(/^\[|\]$/g, "")
    return plain === "*" || plain === name || (plain.startsWith(".") && name.endsWith(plain))
  })
}

// ---- HTTP -------------------------------------------------------------------------------------------------------

async function connect(socket: Socket, hub: Address, proxy: HubProxy, signal: AbortSignal): Promise<string | null> {
  const target = `${hub.host.includes(":") ? `[${hub.host}]` : hub.host}:${hub.port}`
  const basic = Buffer.from(`${proxy.user}:${proxy.password}`).toString("base64")
  const credentials = proxy.user === "" ? "" : `Proxy-Authorization: Basic ${basic}\r\n`
  socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${credentials}\r\n`)
  const head = await read(socket, signal, bytes => {
    const end = bytes.indexOf("\r\n\r\n")
    return end === -1 ? null : end + 4
  })
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(head.toString("latin1"))?.[1]
  if (status?.startsWith("2")) return null
  return status === "407" ? WANTS_NAME : `it answered ${status ?? "something that is no HTTP"}`
}

// ---- SOCKS 5 ----------------------------------------------------------------------------------------------------

const VERSION = 5
const methods = { none: 0, password: 2 } as const
const addresses = { ipv4: 1, name: 3, ipv6: 4 } as const
const WANTS_NAME = "it wants a name and a password"
/** RFC 1928, 6. */
const replies = [
  "it does",
  "it failed",
  "it may not",
  "it cannot reach the hub's network",
  "it cannot reach the hub",
  "the hub refused it",
  "the hub did not answer it in time",
  "it does not know how",
  "it does not know that kind of address",
]

async function socks(socket: Socket, hub: Address, proxy: HubProxy, signal: AbortSignal): Promise<string | null> {
  const offered = proxy.user === "" ? [methods.none] : [methods.none, methods.password]
  socket.write(Buffer.of(VERSION, offered.length, ...offered))
  const [version, method] = await read(socket, signal, exactly(2))
  if (version !== VERSION) return "it answered something that is no SOCKS 5"
  if (method === methods.password && proxy.user !== "") {
    const [name, password] = [Buffer.from(proxy.user), Buffer.from(proxy.password)]
    if (name.length > 255 || password.length > 255) return "its name and password are longer than SOCKS 5 allows"
    socket.write(Buffer.concat([Buffer.of(1, name.length), name, Buffer.of(password.length), password]))
    const [, refused] = await read(socket, signal, exactly(2))
    if (refused !== 0) return "it does not take this name and password"
  } else if (method !== methods.none) return WANTS_NAME
  const target = await targetOf(hub, proxy)
  socket.write(Buffer.concat([Buffer.of(VERSION, 1, 0), target, Buffer.of(hub.port >> 8, hub.port & 0xff)]))
  const answer = await read(socket, signal, replyLength)
  if (answer[0] !== VERSION) return "it answered something that is no SOCKS 5"
  return answer[1] === 0 ? null : (replies[answer[1]!] ?? `it answered ${answer[1]}`)
}

/** The name is looked up there or here, as the volunteer chose. */
async function targetOf({ host }: Address, { isNameLookedUpThere }: HubProxy): Promise<Buffer> {
  if (isIP(host) === 0 && isNameLookedUpThere) {
    const name = Buffer.from(host, "latin1")
    return Buffer.concat([Buffer.of(addresses.name, name.length), name])
  }
  const address = isIP(host) === 0 ? await ownLookup(host) : host
  return isIPv6(address)
    ? Buffer.concat([Buffer.of(addresses.ipv6), bytesOfIpv6(address)])
    : Buffer.of(addresses.ipv4, ...address.split(".").map(Number))
}

async function ownLookup(host: string): Promise<string> {
  try {
    return (await lookup(host)).address
  } catch (cause) {
    throw new Error(`the hub's name ${host} cannot be looked up; is this computer online?`, { cause })
  }
}

function bytesOfIpv6(address: string): Buffer {
  // As a URL has it, an IPv4 tail is hexadecimal too.
  const plain = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const [head = "", tail] = plain.split("::")
  const groups = (text: string): number[] =>
    text === "" ? [] : text.split(":").map(group => Number.parseInt(group, 16))
  const [left, right] = [groups(head), tail === undefined ? [] : groups(tail)]
  const all = [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right]
  return Buffer.from(all.flatMap(group => [group >> 8, group & 0xff]))
}

function replyLength(bytes: Buffer): number | null {
  if (bytes.length < 5) return null
  const lengths: Readonly<Record<number, number>> = { [addresses.ipv4]: 4, [addresses.ipv6]: 16 }
  const length = 4 + (bytes[3] === addresses.name ? 1 + bytes[4]! : (lengths[bytes[3]!] ?? 4)) + 2
  return bytes.length < length ? null : length
}

// ---- both -------------------------------------------------------------------------------------------------------

function exactly(length: number): (bytes: Buffer) => number | null {
  return bytes => (bytes.length < length ? null : length)
}

/** The answer, once `lengthOf` knows how long it is; what follows it is left to be read. */
function read(socket: Socket, signal: AbortSignal, lengthOf: (bytes: Buffer) => number | null): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let bytes = Buffer.alloc(0)
    const done = (error: Error | null): void => {
      socket.off("readable", onReadable)
      socket.off("close", onClose)
      socket.off("end", onClose)
      socket.off("error", onError)
      signal.removeEventListener("abort", onAbort)
      if (error !== null) reject(error)
    }
    const onReadable = (): void => {
      const chunk = socket.read() as Buffer | null
      if (chunk === null) return
      bytes = Buffer.concat([bytes, chunk])
      const length = lengthOf(bytes)
      if (length === null) {
        if (bytes.length > PROXY_ANSWER_MAX_BYTES) done(new Error("the proxy's answer does not end"))
        return
      }
      done(null)
      if (length < bytes.length) socket.unshift(bytes.subarray(length))
      resolve(bytes.subarray(0, length))
    }
    const onClose = (): void => done(new Error("the proxy hung up"))
    const onError = (error: Error): void => done(new Error(`the proxy hung up: ${error.message}`))
    const onAbort = (): void => done(new Error("the proxy does not answer"))
    socket.on("readable", onReadable)
    socket.on("close", onClose)
    socket.on("end", onClose)
    socket.on("error", onError)
    signal.addEventListener("abort", onAbort)
  })
}
