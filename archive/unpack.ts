// Unpacks an archive that a stranger made. One pass: each header is checked against every rule before a byte of it is written, and
// the first breach fails the whole archive with an error naming entry and rule, and leaves nothing behind. Only files and directories
// are ever made, in a fresh directory nobody else can write to, which gets its name when all is well.
//
// tar-stream parses; it makes no file. What it does leniently (unknown types, trailing data, directories with a body) is refused here.
import { randomBytes } from "node:crypto"
import { constants } from "node:fs"
import { chmod, chown, lstat, mkdir, open, rename, rm } from "node:fs/promises"
import { dirname, join } from "node:path"
import tar from "tar-stream"
import { ArchiveError, checkPath, ENTRIES_MAX, FOLDER_BYTES, Places } from "./rules.ts"

/** What may still be unpacked, perhaps from several archives. Counted down, what failed included. */
export interface Room {
  /** Contents of files, and FOLDER_BYTES for each folder. */
  bytes: number
  /** Files and folders. */
  entries: number
}

export function roomFor(bytes: number): Room {
  return { bytes, entries: ENTRIES_MAX }
}

export interface UnpackOptions {
  readonly room: Room
  /** Who all of it is to belong to; only root can say so. */
  readonly owner?: { readonly uid: number; readonly gid: number }
  readonly signal?: AbortSignal
}

/** In the archive's order. */
export interface Unpacked {
  readonly files: UnpackedFile[]
  /** Those that the archive names, empty ones among them; not those that only a file's path implies. */
  readonly folders: string[]
}

export interface UnpackedFile {
  readonly path: string
  readonly sizeBytes: number
}

/**
 * Modification time of every unpacked file, ms: 2 January 1980. The archive has none, and a fixed one shows what was written to since, even in the
 * same tick of the clock. Not 1970, because zip knows nothing before 1980.
 */
export const UNPACKED_MTIME_MS = Date.UTC(1980, 0, 2)

/** Unpacks into `destination`, which must not exist while its parent must. */
export async function unpack(
  source: AsyncIterable<Uint8Array>,
  destination: string,
  options: UnpackOptions,
): Promise<Unpacked> {
  const fresh = join(dirname(destination), `.unpacking-${randomBytes(8).toString("hex")}`)
  await mkdir(fresh, { mode: 0o700 })
  try {
    const unpacked = await extract(source, fresh, options)
    await chmod(fresh, 0o755)
    if (options.owner !== undefined) await chown(fresh, options.owner.uid, options.owner.gid)
    await renameToNew(fresh, destination)
    return unpacked
  } catch (error) {
    await rm(fresh, { recursive: true, force: true })
    throw error
  }
}

async function extract(source: AsyncIterable<Uint8Array>, root: string, options: UnpackOptions): Promise<Unpacked> {
  const parser = tar.extract()
  // An entry's stream that breaks off does not tell why; the parser, or the source, does.
  let failure: unknown
  parser.on("error", error => {
    failure ??= error
  })
  const closed = new Promise<void>(resolve => parser.once("close", resolve))
  const tail = new Tail()
  const fed = feed(source, parser, tail)
  const { room, owner } = options
  const unpacked: Unpacked = { files: [], folders: [] }
  const places = new Places(Math.min(ENTRIES_MAX, room.entries))
  const spend = (bytes: number, path: string): void => {
    room.bytes -= bytes
    if (room.bytes < 0) throw new ArchiveError("bytes", path, `unpacks to more than ${bytesMax} bytes in all`)
  }
  const bytesMax = room.bytes
  try {
    for await (const entry of parser) {
      options.signal?.throwIfAborted()
      tail.entryEnds(entry.offset + BLOCK_BYTES + entry.header.size)
      const checked = check(entry.header)
      if (checked === null) {
        entry.resume()
        continue
      }
      const { path, kind, sizeBytes } = checked
      const before = places.entries
      const implied = places.take(path, kind)
      room.entries -= places.entries - before
      // A folder that was implied first was made, and paid for, then.
      const folders = kind === "directory" && places.entries - before > implied.length ? [...implied, path] : implied
      spend(sizeBytes + folders.length * FOLDER_BYTES, path)
      for (const folder of folders) await makeFolder(join(root, folder), owner)
      if (kind === "directory") {
        entry.resume()
        unpacked.folders.push(path)
        continue
      }
      const mode = entry.header.mode & 0o100 ? 0o755 : 0o644
      await writeFile(join(root, path), entry as AsyncIterable<Uint8Array>, { path, sizeBytes, mode, ...options })
      unpacked.files.push({ path, sizeBytes })
    }
    await fed
    options.signal?.throwIfAborted()
    tail.expectEnd()
    return unpacked
  } catch (error) {
    parser.destroy(null)
    await Promise.all([fed, closed])
    throw translate(error instanceof ArchiveError ? error : (failure ?? error))
  }
}

const BLOCK_BYTES = 512
/** Two blocks of nothing say that an archive is whole. */
const END_BYTES = 2 * BLOCK_BYTES

/**
 * Knows whether an archive came to its end: after the last entry come two blocks of zeros, and nothing else. The parser takes what was cut
 * between two entries for whole.
 */
class Tail {
  #bytes = 0
  #lastOther = 0
  #entriesEnd = 0

  add(chunk: Uint8Array): void {
    let end = chunk.length
    while (end > 0 && chunk[end - 1] === 0) end--
    if (end > 0) this.#lastOther = this.#bytes + end
    this.#bytes += chunk.length
  }

  entryEnds(at: number): void {
    this.#entriesEnd = Math.ceil(at / BLOCK_BYTES) * BLOCK_BYTES
  }

  expectEnd(): void {
    if (this.#lastOther > this.#entriesEnd) throw new ArchiveError("malformed", "", "goes on after its last entry")
    if (this.#bytes >= this.#entriesEnd + END_BYTES) return
    throw new ArchiveError("malformed", "", "truncated: the end mark after its last entry is missing")
  }
}

/** Feeds the parser no faster than it digests. Ends early, without error, when the parser was destroyed. */
async function feed(source: AsyncIterable<Uint8Array>, parser: tar.Extract, tail: Tail): Promise<void> {
  try {
    for await (const chunk of source) {
      if (parser.destroyed) return
      tail.add(chunk)
      if (!parser.write(chunk)) await drained(parser)
    }
    if (!parser.destroyed) parser.end(null)
  } catch (error) {
    parser.destroy(error instanceof Error ? error : new Error(String(error)))
  }
}

function drained(parser: tar.Extract): Promise<void> {
  return new Promise(resolve => {
    const done = (): void => {
      parser.removeListener("drain", done)
      parser.removeListener("close", done)
      resolve()
    }
    parser.on("drain", done)
    parser.on("close", done)
  })
}

interface Checked {
  readonly path: string
  readonly kind: "file" | "directory"
  readonly sizeBytes: number
}

/** Null for the root itself, "./", which tar programs write and nobody needs. */
function check(header: tar.Header): Checked | null {
  // Null, whatever the library's types say, for a type it does not know.
  const type: tar.Header["type"] | null = header.type
  if (type !== "file" && type !== "directory") {
    throw new ArchiveError(
      "type",
      header.name,
      `${typeWords[type ?? ""] ?? "of an unknown type"}; only files and folders are unpacked`,
    )
  }
  if (Object.keys(header.pax ?? {}).some(key => key.startsWith("GNU.sparse"))) {
    throw new ArchiveError("type", header.name, "a sparse file; only plain files and folders are unpacked")
  }
  const sizeBytes = header.size
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0 || Object.is(sizeBytes, -0))
    throw new ArchiveError("malformed", header.name, "its size is not a number")
  // The parser would wait for ever for the end of such a body.
  if (type === "directory" && sizeBytes !== 0)
    throw new ArchiveError("malformed", header.name, "a folder with a content")
  const path = header.name.replace(/^(\.\/)+/, "").replace(/\/$/, "")
  if (type === "directory" && (path === "" || path === ".") && header.name.startsWith(".")) return null
  if (type === "file" && header.name.endsWith("/"))
    throw new ArchiveError("malformed", header.name, "a file named like a folder")
  checkPath(path)
  return { path, kind: type, sizeBytes }
}

const typeWords: Record<string, string> = {
  link: "a hard link",
  symlink: "a symbolic link",
  "character-device": "a device",
  "block-device": "a device",
  fifo: "a named pipe",
  "contiguous-file": "a contiguous file",
}

async function makeFolder(path: string, owner: UnpackOptions["owner"]): Promise<void> {
  // Not recursive and not forgiving: all that exists in here was made by us, one name at a time.
  await mkdir(path, { mode: 0o755 })
  if (owner !== undefined) await chown(path, owner.uid, owner.gid)
}

interface Content extends UnpackOptions {
  readonly path: string
  readonly sizeBytes: number
  readonly mode: number
}

async function writeFile(file: string, content: AsyncIterable<Uint8Array>, wanted: Content): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0)
  const handle = await open(file, flags, 0o600)
  try {
    let written = 0
    for await (const chunk of content) {
      wanted.signal?.throwIfAborted()
      for (let at = 0; at < chunk.length; ) at += (await handle.write(chunk, at)).bytesWritten
      written += chunk.length
    }
    if (written !== wanted.sizeBytes) throw new ArchiveError("malformed", wanted.path, "is cut off in the middle")
    if (wanted.owner !== undefined) await handle.chown(wanted.owner.uid, wanted.owner.gid)
    await handle.chmod(wanted.mode)
    await handle.utimes(UNPACKED_MTIME_MS / 1_000, UNPACKED_MTIME_MS / 1_000)
  } finally {
    await handle.close()
  }
}

/** rename(2) replaces an empty directory in silence; what stands there is not ours to replace. */
async function renameToNew(from: string, to: string): Promise<void> {
  const taken = await lstat(to).catch(() => null)
  if (taken !== null) throw new ArchiveError("duplicate", to, "is there already; unpack to a new place")
  await rename(from, to)
}

/** The parser's own complaints, and a full disk, in words for people; anything else as it is. */
function translate(error: unknown): unknown {
  if (error instanceof ArchiveError) return error
  const { code } = error as NodeJS.ErrnoException
  if (code === "ENOSPC" || code === "EDQUOT") return error
  // Nothing was there before us, and no two entries are spelled alike: this disk takes two of them for one.
  if (code === "EEXIST") return new ArchiveError("case folding", "", "two of its names are one on this disk", error)
  if (error instanceof Error && parserWords.test(error.message)) {
    return new ArchiveError("malformed", "", `not a tar archive, or a damaged one (${error.message})`, error)
  }
  return error
}

const parserWords = /^(Invalid tar header|Invalid header|Header exceeds max size|Unexpected end of data)/
