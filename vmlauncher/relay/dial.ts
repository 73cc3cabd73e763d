// Connects to the hub, by its own address or through the HTTP proxy that the volunteer told the BOINC client about (CONNECT, RFC 9110 9.3.6). Gives
// a plain TCP connection: what travels on it is the agent's affair.
import { connect, type Socket } from "node:net"
import { DIAL_MS, PROXY_ANSWER_MAX_BYTES } from "../limits.ts"

export interface Address {
  readonly host: string
  readonly port: number
}

export interface HttpProxy extends Address {
  readonly user: string
  readonly password: string
}

/** "https://hub.example.org" is port 443. */
export function addressOfHub(hub: string): Address {
  const { hostname, port, protocol } = new URL(hub)
  const host = hostname.replace(/^\[|\]$/g, "")
  return { host, port: port !== "" ? Number(port) : protocol === "https:" ? 443 : 80 }
}

/** Rejects with a sentence for people. */
export async function dialHub(hub: Address, proxy: HttpProxy | null, signal: AbortSignal): Promise<Socket> {
  const to = proxy ?? hub
  const name = proxy === null ? `the hub (${hub.host}:${hub.port})` : `the proxy (${proxy.host}:${proxy.port})`
  const inTime = AbortSignal.any([signal, AbortSignal.timeout(DIAL_MS)])
  const socket = await open(to, name, inTime)
  if (proxy === null) return socket
  try {
    await tunnel(socket, hub, proxy, inTime)
    return socket
  } catch (error) {
    socket.destroy()
    throw error
  }
}

function open({ host, port }: Address, name: string, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true, allowHalfOpen: true })
    const stop = (): void => {
      socket.destroy()
      reject(new Error(`${name} does not answer`))
    }
    signal.addEventListener("abort", stop)
    if (signal.aborted) stop()
    socket.once("connect", () => {
      signal.removeEventListener("abort", stop)
      socket.removeAllListeners("error")
      resolve(socket)
    })
    socket.once("error", (error: NodeJS.ErrnoException) => {
      signal.removeEventListener("abort", stop)
      reject(new Error(`${name} cannot be reached: ${reasons[error.code ?? ""] ?? error.message}`))
    })
  })
}

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nobody listens there",
  ENOTFOUND: "its name is not known",
  EAI_AGAIN: "names cannot be looked up; is this computer online?",
  ENETUNREACH: "this computer is not online",
  EHOSTUNREACH: "there is no way there",
  ETIMEDOUT: "no answer",
}

async function tunnel(socket: Socket, hub: Address, proxy: HttpProxy, signal: AbortSignal): Promise<void> {
  const target = `${hub.host.includes(":") ? `[${hub.host}]` : hub.host}:${hub.port}`
  const basic = Buffer.from(`${proxy.user}:${proxy.password}`).toString("base64")
  const credentials = proxy.user === "" ? "" : `Proxy-Authorization: Basic ${basic}\r\n`
  socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${credentials}\r\n`)
  const head = await readHead(socket, signal)
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1]
  if (status?.startsWith("2")) return
  const why =
    status === "407" ? "it wants a name and a password" : `it answered ${status ?? "something that is no HTTP"}`
  throw new Error(`the proxy (${proxy.host}:${proxy.port}) does not connect to the hub: ${why}`)
}

/** Up to the blank line; what follows it is left to be read. */
function readHead(socket: Socket, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    let read = Buffer.alloc(0)
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
      read = Buffer.concat([read, chunk])
      const end = read.indexOf("\r\n\r\n")
      if (end === -1) {
        if (read.length > PROXY_ANSWER_MAX_BYTES) done(new Error("the proxy's answer does not end"))
        return
      }
      done(null)
      if (end + 4 < read.length) socket.unshift(read.subarray(end + 4))
      resolve(read.toString("latin1", 0, end))
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
