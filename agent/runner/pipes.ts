// Pipes for the output of commands. What Node calls a pipe to a child is a pair of sockets, and a socket cannot be opened by name: `echo x >
// /dev/stderr`, `tee /dev/stderr` and `-o /dev/stdout` fail on it. Node makes no pipes of the kernel, but mkfifo makes named ones, many at
// a time: a stock of them lies in a directory nobody else can enter, and each is used once and loses its name as it is opened.
import { spawn } from "node:child_process"
import { closeSync, constants, mkdirSync, openSync, rmSync, unlinkSync } from "node:fs"
import { Socket } from "node:net"
import { join } from "node:path"
import { Failure } from "../core/ports.ts"
import { PIPES_AT_ONCE } from "../limits.ts"
import { PATH } from "./environment.ts"

export interface OutputPipe {
  /** What is written comes out here, and ends when the last writer is gone. */
  readonly reader: Socket
  /** For the command; to be closed on this side once the command has begun, or could not be. */
  readonly writer: number
}

export class PipeStock {
  readonly #directory: string
  #stock: string[] = []
  #made = 0
  #making: Promise<void> | null = null

  /** The directory is the stock's alone: what lies in it is removed. */
  constructor(directory: string) {
    this.#directory = directory
    rmSync(directory, { recursive: true, force: true })
    mkdirSync(directory, { recursive: true, mode: 0o700 })
  }

  /** Rejects with Failure where there can be no named pipes. */
  async take(): Promise<OutputPipe> {
    while (this.#stock.length === 0) await this.#refill()
    const path = this.#stock.pop()!
    // A reader waits for no writer if it says so; then there is one, and a writer need not wait either.
    const read = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const writer = openSync(path, constants.O_WRONLY)
      unlinkSync(path)
      return { reader: new Socket({ fd: read, readable: true, writable: false }), writer }
    } catch (error) {
      closeSync(read)
      throw error
    }
  }

  #refill(): Promise<void> {
    this.#making ??= this.#make().finally(() => {
      this.#making = null
    })
    return this.#making
  }

  async #make(): Promise<void> {
    const paths = Array.from({ length: PIPES_AT_ONCE }, () => join(this.#directory, `${this.#made++}`))
    // The job that opens its output by name is another user where root runs the agent.
    const child = spawn("mkfifo", ["-m", "666", ...paths], { env: { PATH }, stdio: ["ignore", "ignore", "pipe"] })
    let said = ""
    child.stderr.on("data", chunk => (said += String(chunk)))
    const why = await new Promise<string | null>(resolve => {
      child.once("error", error => resolve(error.message))
      child.once("close", code =>
        resolve(code === 0 ? null : said.trim().split("\n")[0] || `mkfifo ended with ${code}`),
      )
    })
    if (why !== null) throw new Failure(`no pipe for the output of jobs can be made: ${why}`, { final: false })
    this.#stock.push(...paths)
  }
}
