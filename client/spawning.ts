// How the tests of the command line run it: the real bin/cah.mjs in a process of its own, in a home and a directory of its own,
// or the same tree inside this process where neither is needed. For tests only; everything is gone when they end.
import { type ChildProcess, spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Readable } from "node:stream"
import { fileURLToPath } from "node:url"
import tar from "tar-stream"
import { type FakeHub, TOKEN } from "./fakehub.ts"
import { run } from "./main.ts"

export const program = fileURLToPath(new URL("bin/cah.mjs", import.meta.url))
const root = mkdtempSync(join(tmpdir(), "cah-main-"))
// What a test has ended may still be clearing up after itself.
process.on("exit", () => rmSync(root, { recursive: true, force: true, maxRetries: 10 }))
let number = 0

export interface Place {
  readonly home: string
  readonly cwd: string
}

export function place(hub?: FakeHub): Place {
  const home = join(root, String(number++))
  const cwd = join(home, "some where")
  mkdirSync(cwd, { recursive: true })
  if (hub !== undefined) {
    const state = join(home, ".local", "state", "cah")
    mkdirSync(state, { recursive: true })
    writeFileSync(join(state, "credentials"), JSON.stringify({ current: hub.url, tokens: { [hub.url]: TOKEN } }), {
      mode: 0o600,
    })
  }
  return { home, cwd }
}

export interface Done {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly child: ChildProcess
  readonly done: Promise<Done>
  /** Resolves when stderr has shown the text. */
  said(text: string): Promise<void>
}

export function start(
  { home, cwd }: Place,
  args: readonly string[],
  environment: Record<string, string> = {},
  input = "",
): Running {
  const child = spawn(process.execPath, [program, ...args], {
    cwd,
    env: { PATH: process.env.PATH ?? "", HOME: home, ...environment },
    stdio: ["pipe", "pipe", "pipe"],
  })
  let [stdout, stderr] = ["", ""]
  const listeners = new Set<() => void>()
  child.stdout.on("data", chunk => {
    stdout += chunk
  })
  child.stderr.on("data", chunk => {
    stderr += chunk
    for (const listener of listeners) listener()
  })
  child.stdin.on("error", () => {})
  child.stdin.end(input)
  const done = new Promise<Done>(resolve => child.on("close", code => resolve({ code, stdout, stderr })))
  const said = (text: string) =>
    new Promise<void>(resolve => {
      const look = () => {
        if (stderr.includes(text)) resolve()
      }
      listeners.add(look)
      look()
    })
  return { child, done, said }
}

export function cah(
  where: Place,
  args: readonly string[],
  environment: Record<string, string> = {},
  input = "",
): Promise<Done> {
  return start(where, args, environment, input).done
}

/** The same without a process of its own: for what needs neither the directory nor the process. Thirty times quicker. */
export async function inside(
  { home, cwd }: Place,
  args: readonly string[],
  environment: Record<string, string> = {},
  as: { name?: string; input?: string } = {},
): Promise<Done> {
  const sink = () => {
    const chunks: string[] = []
    const write = (chunk: string | Uint8Array) => chunks.push(Buffer.from(chunk).toString()) > 0
    return { chunks, stream: { write, once: () => {}, destroyed: false } }
  }
  const [out, err] = [sink(), sink()]
  const code = await run({
    name: as.name ?? "cah",
    argv: args,
    environment: { HOME: home, ...environment },
    cwd,
    stdin: Readable.from(as.input === undefined ? [] : [as.input]),
    stdout: out.stream,
    stderr: err.stream,
    signal: new AbortController().signal,
  })
  return { code, stdout: out.chunks.join(""), stderr: err.chunks.join("") }
}

export async function archive(entries: readonly [Partial<tar.Header> & { name: string }, string?][]): Promise<Buffer> {
  const packer = tar.pack()
  for (const [header, content] of entries) packer.entry(header as tar.Header, content ?? "")
  packer.finalize()
  const chunks: Buffer[] = []
  for await (const chunk of packer) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}
