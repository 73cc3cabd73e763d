// Waits for one call on a socket file: a hypervisor that calls us finds out at once when we are gone, and we need not ask whether it is up yet.
import { createServer, type Socket } from "node:net"

export interface Caller {
  /** The first that calls. Rejects when closed before. */
  readonly socket: Promise<Socket>
  close(): void
}

/** Waits for one call on a socket file. */
export async function expectCall(path: string): Promise<Caller> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen(path, resolve)
  })
  const socket = new Promise<Socket>((resolve, reject) => {
    server.once("connection", caller => {
      server.close()
      resolve(caller)
    })
    server.once("close", () => reject(new Error("nobody called")))
  })
  // Somebody may close before anybody waits.
  socket.catch(() => {})
  return { socket, close: () => server.close() }
}
