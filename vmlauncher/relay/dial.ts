// Connects to the hub, by its own address or through the proxy that the volunteer told the BOINC client about (proxy.ts). Gives
// a plain TCP connection: what travels on it is the agent's affair.
import { connect, type Socket } from "node:net"
import type { Address, HubProxy } from "../core/ports.ts"
import { DIAL_MS } from "../limits.ts"
import { isExempt, tunnel } from "./proxy.ts"

/** "https://hub.example.org" is port 443. */
export function addressOfHub(hub: string): Address {
  const { hostname, port, protocol } = new URL(hub)
  const host = hostname.replace(/^\[|\]$/g, "")
  return { host, port: port !== "" ? Number(port) : protocol === "https:" ? 443 : 80 }
}

/** Rejects with a sentence for people. */
export async function dialHub(hub: Address, told: HubProxy | null, signal: AbortSignal): Promise<Socket> {
  const proxy = told === null || isExempt(hub.host, told) ? null : told
  const to = proxy ?? hub
  const name = proxy === null ? `the hub (${hub.host}:${hub.port})` : `the proxy (${proxy.host}:${proxy.port})`
  const inTime = AbortSignal.any([signal, AbortSignal.timeout(DIAL_MS)])
  const advice =
    proxy === null ? "" : "; if it is not there any more, say so in the BOINC Manager: Options, Other options"
  const socket = await open(to, name, advice, inTime)
  if (proxy === null) return socket
  try {
    await tunnel(socket, hub, proxy, inTime)
    return socket
  } catch (error) {
    socket.destroy()
    throw error
  }
}

function open({ host, port }: Address, name: string, advice: string, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true, allowHalfOpen: true })
    const stop = (): void => {
      socket.destroy()
      reject(new Error(`${name} does not answer${advice}`))
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
      reject(new Error(`${name} cannot be reached: ${reasons[error.code ?? ""] ?? error.message}${advice}`))
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
