// Lists a tree and streams it as a deterministic tar: sorted by the bytes of the paths, no times, no owners, two modes. Equal files
// give equal bytes, so a stagein is stored once and results can be compared by digest. Packing fails rather than
// shipping half a truth: a file that changes meanwhile, cannot be read, or would not unpack is an error that names it.
//
// The agent packs directories that a job wrote: no link is followed out of the tree, no special file is opened. There are no links in an
// archive: each is packed as a copy of the file or folder that it leads to.
import { createHash } from "node:crypto"
import { constants } from "node:fs"
import { access, type FileHandle, lstat, open, readdir, realpath, unlink } from "node:fs/promises"
import { join, resolve } from "node:path"
import tar from "tar-stream"
import { type Digest, digestOf } from "../proto/wire/digest.ts"
import { isWithin, resolveWithin } from "./links.ts"
import { ArchiveError, CLASHES, checkPath, fold, Places, printable } from "./rules.ts"

export interface TreeEntry {
  /** As it stands in the archive: relative, "/" between names, spelled as it was found. */
  readonly path: string
  readonly kind: "file" | "directory"
  readonly sizeBytes: number
  readonly mtimeNs: bigint
  readonly executable: boolean
  /** Where it lies, links resolved. */
  readonly source: string
  /** The symbolic link that it is, or lies below: without it, the entry would not be here. */
  readonly link: string | null
  /** Device and inode: what is opened later must be what was looked at. */
  readonly identity: string
}

export interface ListOptions {
  /** Whether to take an entry. Not called for what lies in a directory that was not taken. */
  readonly filter?: (path: string, kind: "file" | "directory") => boolean
  /** Told of each entry that cannot be packed, which is then left out. Without it such an entry fails the listing. */
  readonly skip?: (problem: ArchiveError) => void
  /** What the tree's root was called by those who made its links, besides its path: a job's was /work. */
  readonly knownAs?: readonly string[]
  /** Links to files and folders: copied where they lie in the tree (the usual), or wherever they lie, or left out. */
  readonly links?: "within" | "anywhere" | "none"
  readonly signal?: AbortSignal
}

export interface PackOptions {
  /** Bytes of the finished archive at most. */
  readonly sizeMaxBytes?: number
  readonly signal?: AbortSignal
}

export interface PackedArchive {
  readonly digest: Digest
  readonly sizeBytes: number
}

const CHUNK_BYTES = 64 * 1024

/** All files and directories below `root`, sorted. A symbolic link counts as the file or folder that it leads to. */
export async function listTree(root: string, options: ListOptions = {}): Promise<TreeEntry[]> {
  const base = await realpath(root).catch((cause: unknown) => {
    throw new ArchiveError("unreadable", root, reason(cause), cause)
  })
  const tree: Tree = {
    base,
    names: [base, resolve(root), ...(options.knownAs ?? [])],
    links: options.links ?? "within",
  }
  const entries: TreeEntry[] = []
  const places = new Places()
  const attempt = async <T>(work: () => Promise<T>): Promise<T | null> => {
    try {
      return await work()
    } catch (error) {
      // The bound on entries is about the whole tree, so leaving one out cannot help.
      if (options.skip === undefined || !(error instanceof ArchiveError) || error.rule === "entries") throw error
      options.skip(error)
      return null
    }
  }
  /** `above`: identities of the folders that it lies in. */
  const walk = async (directory: TreeEntry, prefix: string, above: readonly string[]): Promise<void> => {
    const found = await readdir(directory.source, { withFileTypes: true }).catch((cause: unknown) => {
      throw new ArchiveError("unreadable", prefix === "" ? root : prefix.slice(0, -1), reason(cause), cause)
    })
    // Sorted so that of two names that clash it is always the same one that is refused.
    const names = found.sort((a, b) => byBytes(a.name, b.name))
    const spellings = new Spellings(names)
    for (const dirent of names) {
      options.signal?.throwIfAborted()
      const entry = await attempt(async () => {
        const path = prefix + dirent.name
        try {
          // First, since a name that is not UTF-8 cannot even be looked for.
          checkPath(path)
          const entry = await inspect(tree, join(directory.source, dirent.name), path, directory.link)
          if (!(options.filter?.(path, entry.kind) ?? true)) return null
          if (entry.kind === "directory" && entry.link !== null && above.includes(entry.identity)) {
            throw new ArchiveError("link", path, "a symbolic link to a folder that it lies in")
          }
          await readable(entry)
          places.take(path, entry.kind)
          return entry
        } catch (error) {
          if (!(error instanceof ArchiveError)) throw error
          // A broken link that nobody wants is no reason to refuse the tree.
          if (options.filter?.(path, dirent.isDirectory() ? "directory" : "file") === false) return null
          throw error.rule === "case folding" ? spellings.named(error, dirent.name) : error
        }
      })
      if (entry === null) continue
      entries.push(entry)
      if (entry.kind === "directory") await attempt(() => walk(entry, `${entry.path}/`, [...above, entry.identity]))
    }
  }
  const top = await inspect(tree, base, "", null)
  await walk(top, "", [top.identity])
  return entries.sort((a, b) => byBytes(a.path, b.path))
}

/** A single file as the tree of one entry. */
export async function listFile(file: string, path: string): Promise<TreeEntry[]> {
  checkPath(path)
  const source = await realpath(file)
  const entry = await inspect({ base: source, names: [], links: "within" }, source, path, null)
  await readable(entry)
  return [entry]
}

interface Tree {
  readonly base: string
  readonly names: readonly string[]
  readonly links: "within" | "anywhere" | "none"
}

/** Finds the other one of two names in a folder that clash. */
class Spellings {
  readonly #names: readonly { readonly name: string }[]
  #first: Map<string, string> | null = null

  constructor(names: readonly { readonly name: string }[]) {
    this.#names = names
  }

  named(error: ArchiveError, name: string): ArchiveError {
    // Once for a folder, however many of its names clash.
    this.#first ??= new Map(this.#names.toReversed().map(one => [fold(one.name), one.name]))
    const other = this.#first.get(fold(name))
    if (other === undefined || other === name) return error
    return new ArchiveError(error.rule, error.entry, `${CLASHES} ${printable(other)}`)
  }
}

/** The bytes of the archive. Entries are packed in the order of their paths, whatever order they come in. */
export async function* pack(entries: readonly TreeEntry[], options: PackOptions = {}): AsyncGenerator<Uint8Array> {
  const archive = tar.pack()
  let sizeBytes = 0
  const produced = produce(archive, entries, options.signal)
  // Waited for below; until then a failure shows as the archive's own.
  produced.catch(() => {})
  try {
    for await (const chunk of archive as AsyncIterable<Uint8Array>) {
      sizeBytes += chunk.length
      if (options.sizeMaxBytes !== undefined && sizeBytes > options.sizeMaxBytes) {
        throw new ArchiveError("bytes", "", `more than ${options.sizeMaxBytes} bytes`)
      }
      yield chunk
    }
  } finally {
    archive.destroy(null)
    await produced.catch(() => {})
  }
  await produced
}

/** Writes the archive to a new file and makes it durable. The file is gone again if anything fails. */
export async function packToFile(
  entries: readonly TreeEntry[],
  file: string,
  options: PackOptions = {},
): Promise<PackedArchive> {
  const handle = await open(file, "wx", 0o600)
  try {
    const hash = createHash("sha256")
    let sizeBytes = 0
    for await (const chunk of pack(entries, options)) {
      hash.update(chunk)
      await writeAll(handle, chunk)
      sizeBytes += chunk.length
    }
    await handle.sync()
    return { digest: digestOf(hash.digest()), sizeBytes }
  } catch (error) {
    await unlink(file).catch(() => {})
    throw error
  } finally {
    await handle.close()
  }
}

/** Digest and size without keeping the bytes: a client that streams packs twice, and a change in between is noticed by the hub. */
export async function measure(entries: readonly TreeEntry[], options: PackOptions = {}): Promise<PackedArchive> {
  const hash = createHash("sha256")
  let sizeBytes = 0
  for await (const chunk of pack(entries, options)) {
    hash.update(chunk)
    sizeBytes += chunk.length
  }
  return { digest: digestOf(hash.digest()), sizeBytes }
}

async function inspect(tree: Tree, location: string, path: string, link: string | null): Promise<TreeEntry> {
  try {
    let source = location
    let stats = await lstat(source, { bigint: true })
    const isLink = stats.isSymbolicLink()
    if (isLink) {
      source = await follow(tree, location, path)
      stats = await lstat(source, { bigint: true })
    }
    if (!stats.isFile() && !stats.isDirectory()) {
      const what = stats.isSocket() ? "a socket" : stats.isFIFO() ? "a named pipe" : "a device"
      throw new ArchiveError("type", path, `${what}; only files and folders can be packed`)
    }
    return {
      path,
      kind: stats.isFile() ? "file" : "directory",
      sizeBytes: stats.isFile() ? Number(stats.size) : 0,
      mtimeNs: stats.mtimeNs,
      executable: (stats.mode & 0o100n) !== 0n,
      source,
      link: link ?? (isLink ? path : null),
      identity: `${stats.dev}:${stats.ino}`,
    }
  } catch (error) {
    if (error instanceof ArchiveError) throw error
    throw new ArchiveError("unreadable", path, reason(error), error)
  }
}

/** Where a link leads, without links. */
async function follow(tree: Tree, location: string, path: string): Promise<string> {
  if (tree.links === "none") throw new ArchiveError("link", path, "a symbolic link, not followed")
  const within = await resolveWithin(tree.base, tree.names, location, path)
  if (within !== null) return within
  const source = await realpath(location).catch((cause: unknown) => {
    throw new ArchiveError("link", path, `a symbolic link that ${nowhere(cause)}`, cause)
  })
  if (tree.links === "anywhere" || source === tree.base || isWithin(tree.base, source)) return source
  throw new ArchiveError("link", path, "a symbolic link out of the tree")
}

function nowhere(cause: unknown): string {
  return (cause as NodeJS.ErrnoException).code === "ELOOP" ? "leads in a circle" : `leads nowhere (${reason(cause)})`
}

async function readable(entry: TreeEntry): Promise<void> {
  const mode = entry.kind === "file" ? constants.R_OK : constants.R_OK | constants.X_OK
  await access(entry.source, mode).catch((cause: unknown) => {
    throw new ArchiveError("unreadable", entry.path, reason(cause), cause)
  })
}

async function produce(archive: tar.Pack, entries: readonly TreeEntry[], signal?: AbortSignal): Promise<void> {
  try {
    for (const entry of [...entries].sort((a, b) => byBytes(a.path, b.path))) {
      signal?.throwIfAborted()
      const header = { name: entry.path, mtime: new Date(0), uid: 0, gid: 0 }
      if (entry.kind === "directory") {
        archive.entry({ ...header, name: `${entry.path}/`, type: "directory", mode: 0o755 })
      } else {
        const mode = entry.executable ? 0o755 : 0o644
        const sink = archive.entry({ ...header, type: "file", mode, size: entry.sizeBytes })
        // Its failure is the archive's, which is where it is listened to.
        sink.on("error", () => {})
        await copyFile(entry, sink, signal)
      }
    }
    archive.finalize()
  } catch (error) {
    archive.destroy(error instanceof Error ? error : new Error(String(error)))
    throw error
  }
}

async function copyFile(entry: TreeEntry, sink: ReturnType<tar.Pack["entry"]>, signal?: AbortSignal): Promise<void> {
  const changed = (): ArchiveError =>
    new ArchiveError("changed", entry.path, "changed while it was packed; pack again when nothing writes to it")
  // O_NONBLOCK: a file that was swapped for a named pipe must not hang us.
  const flags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)
  const handle = await open(entry.source, flags).catch((cause: unknown) => {
    throw new ArchiveError("unreadable", entry.path, reason(cause), cause)
  })
  try {
    await expectSame(entry, handle, changed)
    let left = entry.sizeBytes
    while (left > 0) {
      signal?.throwIfAborted()
      // A fresh buffer each time: the archive keeps what it is given until somebody reads it.
      const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, left))
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, entry.sizeBytes - left)
      if (bytesRead === 0) throw changed()
      left -= bytesRead
      if (!sink.write(buffer.subarray(0, bytesRead))) await drained(sink)
    }
    await expectSame(entry, handle, changed)
    if (sink.destroyed) throw new Error("packing was given up")
    sink.end(null)
  } finally {
    await handle.close()
  }
}

/** Until there is room again. A sink that was closed has none: the archive was given up. */
function drained(sink: ReturnType<tar.Pack["entry"]>): Promise<void> {
  return new Promise((resolve, reject) => {
    const onDrain = (): void => {
      sink.removeListener("close", onClose)
      resolve()
    }
    const onClose = (): void => {
      sink.removeListener("drain", onDrain)
      reject(new Error("packing was given up"))
    }
    sink.once("drain", onDrain)
    sink.once("close", onClose)
    if (sink.destroyed) onClose()
  })
}

async function expectSame(entry: TreeEntry, handle: FileHandle, changed: () => ArchiveError): Promise<void> {
  const stats = await handle.stat({ bigint: true })
  const same =
    stats.isFile() &&
    Number(stats.size) === entry.sizeBytes &&
    stats.mtimeNs === entry.mtimeNs &&
    `${stats.dev}:${stats.ino}` === entry.identity
  if (!same) throw changed()
}

async function writeAll(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length; ) at += (await handle.write(chunk, at)).bytesWritten
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

const reasons: Record<string, string> = {
  EACCES: "may not be read",
  EPERM: "may not be read",
  ENOENT: "is not there",
  ENOTDIR: "is not a directory",
  ELOOP: "leads in a circle",
  EIO: "could not be read from the disk",
}

function reason(cause: unknown): string {
  const code = (cause as NodeJS.ErrnoException).code ?? ""
  return reasons[code] ?? `could not be read (${code || String(cause)})`
}
