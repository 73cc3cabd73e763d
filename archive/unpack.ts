// Unpacks an archive that a stranger made. One pass: each header is checked against every rule before a byte of it is written, and
// the first breach fails the whole archive with an error naming entry and rule, and leaves nothing behind. Only files and directories
// are ever made, in a fresh directory nobody else can write to, which gets its name when all is well.
//
// tar-stream parses; it makes no file. What it does leniently (unknown types, trailing data, directories with a body) is refused here.
import { randomBytes } from "node:crypto"
import { constants } from "node:fs"
import { chmod, lstat, mkdir, open, rename, rm } from "node:fs/promises"
import { dirname, join } from "node:path"
import tar from "tar-stream"
import { ArchiveError, checkPath, Places } from "./rules.ts"

export interface UnpackOptions {
  /** Sum of the sizes of all files at most. */
  readonly bytesMax: number
  readonly signal?: AbortSignal
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

/** Unpacks into `destination`, which must not exist while its parent must. Returns the files, in the archive's order. */
export async function unpack(
  source: AsyncIterable<Uint8Array>,
  destination: string,
  options: UnpackOptions,
): Promise<UnpackedFile[]> {
  const fresh = join(dirname(destination), `.unpacking-${randomBytes(8).toString("hex")}`)
  await mkdir(fresh, { mode: 0o700 })
  try {
    const files = await extract(source, fresh, options)
    await chmod(fresh, 0o755)
    await renameToNew(fresh, destination)
    return files
  } catch (error) {
    await rm(fresh, { recursive: true, force: true })
    throw error
  }
}

async function extract(
  source: AsyncIterable<Uint8Array>,
  root: string,
  options: UnpackOptions,
): Promise<UnpackedFile[]> {
  const parser = tar.extract()
  // An entry's stream that breaks off does not tell why; the parser, or the source, does.
  let failure: unknown
  parser.on("error", error => {
    failure ??= error
  })
  const closed = new Promise<void>(resolve => parser.once("close", resolve))
  const fed = feed(source, parser)
  const files: UnpackedFile[] = []
  const places = new Places()
  const made = new Set<string>()
  let bytesLeft = options.bytesMax
  try {
    for await (const entry of parser) {
      options.signal?.throwIfAborted()
      const checked = check(entry.header)
      if (checked === null) {
        entry.resume()
        continue
      }
      const { path, kind, sizeBytes } = checked
      places.take(path, kind)
      bytesLeft -= sizeBytes
      if (bytesLeft < 0) throw new ArchiveError("bytes", path, `unpacks to more than ${options.bytesMax} bytes in all`)
      await makeDirectories(root, kind === "directory" ? path : path.slice(0, Math.max(0, path.lastIndexOf("/"))), made)
      if (kind === "directory") entry.resume()
      else {
        await writeFile(
          join(root, path),
          entry as AsyncIterable<Uint8Array>,
          sizeBytes,
          entry.header.mode & 0o100 ? 0o755 : 0o644,
          options.signal,
        )
        files.push({ path, sizeBytes })
      }
    }
    await fed
    options.signal?.throwIfAborted()
    return files
  } catch (error) {
    parser.destroy(null)
    await Promise.all([fed, closed])
    throw translate(error instanceof ArchiveError ? error : (failure ?? error))
  }
}

/** Feeds the parser no faster than it digests. Ends early, without error, when the parser was destroyed. */
async function feed(source: AsyncIterable<Uint8Array>, parser: tar.Extract): Promise<void> {
  try {
    for await (const chunk of source) {
      if (parser.destroyed) return
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
      `${typeWords[type ?? ""] ?? "of an unknown type"}; only files and directories are unpacked`,
    )
  }
  if (Object.keys(header.pax ?? {}).some(key => key.startsWith("GNU.sparse"))) {
    throw new ArchiveError("type", header.name, "a sparse file; only plain files and directories are unpacked")
  }
  const sizeBytes = header.size
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0 || Object.is(sizeBytes, -0))
    throw new ArchiveError("malformed", header.name, "its size is not a number")
  // The parser would wait for ever for the end of such a body.
  if (type === "directory" && sizeBytes !== 0)
    throw new ArchiveError("malformed", header.name, "a directory with a content")
  const path = header.name.replace(/^(\.\/)+/, "").replace(/\/$/, "")
  if (type === "directory" && (path === "" || path === ".") && header.name.startsWith(".")) return null
  if (type === "file" && header.name.endsWith("/"))
    throw new ArchiveError("malformed", header.name, "a file named like a directory")
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

async function makeDirectories(root: string, path: string, made: Set<string>): Promise<void> {
  if (path === "" || made.has(path)) return
  const slash = path.lastIndexOf("/")
  if (slash !== -1) await makeDirectories(root, path.slice(0, slash), made)
  // Not recursive and not forgiving: all that exists in here was made by us, one name at a time.
  await mkdir(join(root, path), { mode: 0o755 })
  made.add(path)
}

async function writeFile(
  file: string,
  content: AsyncIterable<Uint8Array>,
  sizeBytes: number,
  mode: number,
  signal?: AbortSignal,
): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0)
  const handle = await open(file, flags, 0o600)
  try {
    let written = 0
    for await (const chunk of content) {
      signal?.throwIfAborted()
      for (let at = 0; at < chunk.length; ) at += (await handle.write(chunk, at)).bytesWritten
      written += chunk.length
    }
    if (written !== sizeBytes) throw new ArchiveError("malformed", "", "ends in the middle of a file")
    await handle.chmod(mode)
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
  if (error instanceof Error && parserWords.test(error.message)) {
    return new ArchiveError("malformed", "", `not a tar archive, or a damaged one (${error.message})`, error)
  }
  return error
}

const parserWords = /^(Invalid tar header|Invalid header|Header exceeds max size|Unexpected end of data)/
