// What is done for one attempt on this node: stage, run, pack, give back, clear away. Puts cache, archive, runner and workplace together, so
// that the engine needs to know none of them. Everything that the world can do to it comes out as a Failure with words for people.

import { createReadStream } from "node:fs"
import { chown, mkdir, stat } from "node:fs/promises"
import { join } from "node:path"
import { ArchiveError } from "../archive/rules.ts"
import { type Room, type Unpacked, unpack } from "../archive/unpack.ts"
import { folderOf } from "../proto/wire/folder.ts"
import { noLog } from "../proto/wire/log.ts"
import type { Cache } from "./cache/cache.ts"
import type { Packed } from "./core/events.ts"
import type { AttemptName, BlobRef, RunSpec } from "./core/model.ts"
import { Failure, type GatherPage, type Link, type OutputName } from "./core/ports.ts"
import type { RunningCommand, Work, Workshop } from "./engine.ts"
import { UNPACKED_ENTRIES_MAX, UNPACKED_MAX_BYTES } from "./limits.ts"
import { OutputLog } from "./runner/log.ts"
import { packOutputs } from "./runner/outputs.ts"
import type { Runner } from "./runner/runner.ts"
import { inside } from "./runner/sandbox.ts"
import type { Workplace } from "./workplace.ts"

export interface Tools {
  readonly cache: Cache
  readonly runner: Runner
  readonly place: Workplace
}

export function workshop(tools: Tools): Workshop {
  return { open: name => new AttemptWork(tools, name) }
}

const nothingKept = { log: noLog, trouble: "" } as const

class AttemptWork implements Work {
  readonly #tools: Tools
  readonly #name: AttemptName
  #staged: Unpacked = { files: [], folders: [] }
  #outputs: Record<OutputName, OutputLog> | null = null

  constructor(tools: Tools, name: AttemptName) {
    this.#tools = tools
    this.#name = name
  }

  async stage(spec: RunSpec, link: Link, signal: AbortSignal): Promise<void> {
    const { place } = this.#tools
    const name = this.#name
    try {
      this.#staged = { files: [], folders: [] }
      await place.prepare(name)
      const bytes = Math.min(spec.needs.diskBytes || UNPACKED_MAX_BYTES, UNPACKED_MAX_BYTES)
      const room = { bytes, entries: UNPACKED_ENTRIES_MAX }
      if (spec.stagein === null) await this.#makeEmpty(place.work(name))
      else await this.#unpack(spec.stagein, place.work(name), "", room, link, signal)
      if (spec.gather) await this.#gather(room, link, signal)
    } catch (error) {
      throw asFailure(error)
    }
  }

  async #makeEmpty(directory: string): Promise<void> {
    const { owner } = this.#tools.runner
    await mkdir(directory, { mode: 0o755 })
    if (owner !== null) await chown(directory, owner.uid, owner.gid)
  }

  /** A blob of the hub's, through the cache, into a directory that is not there yet. */
  async #unpack(
    blob: BlobRef,
    directory: string,
    prefix: string,
    room: Room,
    link: Link,
    signal: AbortSignal,
  ): Promise<void> {
    const name = this.#name
    const { cache, runner } = this.#tools
    const held = await cache.hold(blob, (offset, until) => link.fetchBlob(name, blob, offset, until), signal)
    try {
      const { files, folders } = await unpack(held.read(), directory, {
        room,
        signal,
        ...(runner.owner === null ? {} : { owner: runner.owner }),
      })
      for (const file of files) this.#staged.files.push({ ...file, path: `${prefix}${file.path}` })
      for (const folder of folders) this.#staged.folders.push(`${prefix}${folder}`)
    } finally {
      held.release()
    }
  }

  /** What another campaign gave back: each job's files in a directory named by its index, all of one width. */
  async #gather(room: Room, link: Link, signal: AbortSignal): Promise<void> {
    const work = this.#tools.place.work(this.#name)
    for (let from: number | null = 0; from !== null; ) {
      const page: GatherPage = await link.listGather(this.#name, from, signal)
      for (const { index, blob } of page.entries) {
        const directory = folderOf(index, page.arraySize)
        await this.#unpack(blob, join(work, directory), `${directory}/`, room, link, signal)
      }
      from = page.nextIndex
    }
  }

  run(spec: RunSpec): RunningCommand {
    const { place, runner } = this.#tools
    const directory = place.directory(this.#name)
    const outputs = {
      stdout: new OutputLog(join(directory, "stdout")),
      stderr: new OutputLog(join(directory, "stderr")),
    }
    this.#outputs = outputs
    return runner.start({
      name: this.#name,
      spec,
      directory,
      work: place.work(this.#name),
      onOutput: (output, bytes) => outputs[output].write(bytes),
    })
  }

  async pack(spec: RunSpec, signal: AbortSignal): Promise<Packed> {
    const { place } = this.#tools
    const spool = place.spool(this.#name)
    const outputs = this.#outputs
    // Followers have their end now; whoever comes later finds it in the result.
    this.#outputs = null
    const [stdout, stderr] = await Promise.all([
      outputs?.stdout.finish(spool) ?? nothingKept,
      outputs?.stderr.finish(spool) ?? nothingKept,
    ])
    const work = place.work(this.#name)
    const packed = await packOutputs({
      ...{ work, spool, signal, staged: this.#staged, knownAs: inside.work },
      ...{ patterns: spec.stageout, required: spec.requireStageout },
    })
    // A job that filled the disk would else keep its own result from the journal for ever.
    await place.removeWork(this.#name)
    const message = [packed.trouble, stdout.trouble, stderr.trouble].filter(part => part !== "").join("; ")
    const { stageout, warnings } = packed
    return { stageout, warnings, stdout: stdout.log, stderr: stderr.log, message }
  }

  async give(blob: BlobRef, link: Link, signal: AbortSignal): Promise<void> {
    const file = this.#tools.place.spooled(this.#name, blob.digest)
    try {
      const there = await stat(file).catch(() => null)
      if (there?.size !== blob.sizeBytes) {
        throw new Failure(`${blob.digest} is no longer on this node's disk`, { final: true })
      }
      await link.upload(this.#name, blob, offset => createReadStream(file, { start: offset }), signal)
    } catch (error) {
      throw asFailure(error)
    }
  }

  follow(output: OutputName, offset: number): AsyncIterable<Uint8Array> | null {
    return this.#outputs?.[output].follow(offset) ?? null
  }

  clear(): Promise<void> {
    return this.#tools.place.remove(this.#name)
  }
}

function asFailure(error: unknown): Failure {
  if (error instanceof Failure) return error
  // The same bytes would be refused everywhere.
  if (error instanceof ArchiveError) return new Failure(error.message, { final: true, cause: error })
  const { code } = error as NodeJS.ErrnoException
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new Failure("the disk of this node is full", { final: false, cause: error })
  }
  return new Failure(error instanceof Error ? error.message : String(error), { final: false, cause: error })
}
