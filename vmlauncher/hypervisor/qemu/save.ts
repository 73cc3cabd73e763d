// A machine's memory on disk, and back. QEMU sends it over a socket file, and we write it: so a full disk is an error of ours, with words, and QEMU
// need not start a program for it. A save counts once it is whole, on disk and marked: with what it must fit (the machine's arguments, QEMU's
// version, the image) and with the state of the scratch disk, from which it must not be parted. Each save is used once.

import {
  createWriteStream,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from "node:fs"
import { join } from "node:path"
import { finished, pipeline } from "node:stream/promises"
import { setTimeout as wait } from "node:timers/promises"
import { syncDirectoryNow } from "../../../common/disk.ts"
import { Failure } from "../../core/ports.ts"
import { sizeInWords } from "../../core/text.ts"
import { LATER_SECONDS, SAVE_SPARE_BYTES } from "../../limits.ts"
import { socketPath } from "../../place.ts"
import { expectCall } from "../caller.ts"
import { files } from "./arguments.ts"
import type { Qmp } from "./qmp.ts"

const LOOK_EVERY_MS = 20
/** As fast as the disk takes it: QEMU's own limit is for networks. */
const BANDWIDTH_BYTES = 2 ** 40

interface Note {
  readonly fingerprint: string
  readonly scratch: string
  readonly sizeBytes: number
  /** The guest's. */
  readonly memoryBytes: number
  /** Wall time ms. */
  readonly savedAtMs: number
}

export interface SaveJob {
  readonly directory: string
  readonly memoryBytes: number
  readonly scratch: string
  readonly fingerprint: string
  readonly qmp: Qmp
  /** Ends the machine; its disk is whole then. */
  end(): Promise<void>
}

/** The machine must be paused. If this rejects it still is, and there is no save. */
export async function writeSave(job: SaveJob): Promise<void> {
  const { directory, qmp } = job
  const part = join(directory, files.savePart)
  try {
    needRoom(job)
    await receive(job, part)
  } catch (error) {
    await qmp.execute("migrate_cancel").catch(() => {})
    rmSync(part, { force: true })
    const why = (error as NodeJS.ErrnoException).code === "ENOSPC" ? "the disk is full" : (error as Error).message
    throw new Failure(why, { laterSeconds: LATER_SECONDS, cause: error })
  }
  await job.end()
  const note: Note = {
    fingerprint: job.fingerprint,
    scratch: stampOf(job.scratch),
    sizeBytes: statSync(part).size,
    memoryBytes: job.memoryBytes,
    savedAtMs: Date.now(),
  }
  writeFileSync(join(directory, files.saveNote), JSON.stringify(note))
  renameSync(part, join(directory, files.save))
  syncDirectoryNow(directory)
}

/** Of memory that the guest never touched nothing is written, but who knows how much that is. */
function needRoom({ directory, memoryBytes }: SaveJob): void {
  const { bavail, bsize } = statfsSync(directory)
  const needBytes = memoryBytes + SAVE_SPARE_BYTES
  if (bavail * bsize >= needBytes) return
  throw new Error(`${sizeInWords(needBytes)} of disk are needed for that, and ${sizeInWords(bavail * bsize)} are free`)
}

async function receive({ directory, qmp }: SaveJob, part: string): Promise<void> {
  const path = socketPath(directory, files.saveSocket)
  rmSync(path, { force: true })
  const caller = await expectCall(path)
  try {
    const written = createWriteStream(part, { mode: 0o600, flush: true })
    const stored = caller.socket.then(socket => pipeline(socket, written))
    stored.catch(() => {})
    await qmp.execute("migrate-set-parameters", { "max-bandwidth": BANDWIDTH_BYTES })
    // Relative to where QEMU runs.
    await qmp.execute("migrate", { uri: `unix:${files.saveSocket}` })
    await Promise.race([sent(qmp), stored.then(() => new Promise<never>(() => {}))])
    await stored
    await finished(written)
  } finally {
    caller.close()
    rmSync(path, { force: true })
  }
}

async function sent(qmp: Qmp): Promise<void> {
  for (;;) {
    const migration = (await qmp.execute("query-migrate")) as { status?: string; "error-desc"?: string }
    if (migration.status === "completed") return
    if (migration.status === "failed" || migration.status === "cancelled") {
      throw new Error(`QEMU could not write its memory: ${migration["error-desc"] ?? migration.status}`)
    }
    await wait(LOOK_EVERY_MS)
  }
}

/** How long the guest has not lived by now, at most `maxMs`. */
export function savedForMs(directory: string, maxMs: number): number {
  const ms = Date.now() - (readNote(directory)?.savedAtMs ?? 0)
  // A clock that was set back tells nothing.
  return ms >= 0 && ms < maxMs ? ms : maxMs
}

export function savedMemoryBytes(directory: string): number | null {
  const bytes = readNote(directory)?.memoryBytes
  return Number.isSafeInteger(bytes) && existsSync(join(directory, files.save)) ? bytes! : null
}

function readNote(directory: string): Note | null {
  try {
    return JSON.parse(readFileSync(join(directory, files.saveNote), "utf8")) as Note
  } catch {
    // None, or cut short by a power cut.
    return null
  }
}

/** Null: none; else why not, or "" if it fits. */
export function whySaveDoesNotFit(directory: string, scratch: string, fingerprint: string): string | null {
  const size = statSync(join(directory, files.save), { throwIfNoEntry: false })?.size
  if (size === undefined) return null
  const note = readNote(directory)
  if (note === null) return "what it must fit is not known"
  if (note.sizeBytes !== size) return "it is not whole"
  if (note.fingerprint !== fingerprint) return "the image, the limits or QEMU have changed since"
  if (note.scratch !== stampOf(scratch)) return "its disk has changed since"
  return ""
}

export function removeSave(directory: string): void {
  for (const name of [files.save, files.savePart, files.saveNote]) rmSync(join(directory, name), { force: true })
}

function stampOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false })
  return stat === undefined ? "none" : `${stat.ino} ${stat.size} ${stat.mtimeMs}`
}
