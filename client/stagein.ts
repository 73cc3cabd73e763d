// A directory or a file of the scientist's, packed into a temporary archive that can be sent, and sent again after a cut.
// A directory's content becomes the job's working directory; a single file is put into it under its own name.
// What cannot be packed whole and unchanged is an error that names it: no half of an input is ever sent.
import { mkdtemp, readFile, rm, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { GlobError } from "../archive/glob.ts"
import { IGNORE_FILE, IGNORE_MAX_BYTES, ignoreRules } from "../archive/ignore.ts"
import { listFile, listTree, measure, packToFile, type TreeEntry } from "../archive/pack.ts"
import { ArchiveError } from "../archive/rules.ts"
import { ClientError } from "./errors.ts"
import { STAGEIN_MAX_BYTES } from "./limits.ts"

export interface PackedStagein {
  readonly digest: string
  readonly sizeBytes: number
  /** The archive. Gone after dispose(). */
  readonly file: string
  readonly entries: number
  dispose(): Promise<void>
}

export async function packStagein(path: string, signal?: AbortSignal): Promise<PackedStagein> {
  const options = signal === undefined ? {} : { signal }
  let directory: string | null = null
  try {
    const entries = await list(path, options)
    // Not in the tree that is being packed, even if the user stands in it.
    directory = await mkdtemp(join(tmpdir(), "cah-stagein-"))
    const file = join(directory, "stagein.tar")
    const packed = await packToFile(entries, file, { ...options, sizeMaxBytes: STAGEIN_MAX_BYTES })
    const gone = directory
    return {
      digest: packed.digest,
      sizeBytes: packed.sizeBytes,
      file,
      entries: entries.length,
      dispose: () => rm(gone, { recursive: true, force: true }),
    }
  } catch (thrown) {
    if (directory !== null) await rm(directory, { recursive: true, force: true })
    signal?.throwIfAborted()
    throw inWords(path, thrown)
  }
}

/** Digest, size and number of entries of what packStagein would pack, without keeping it. */
export async function measureStagein(
  path: string,
  signal?: AbortSignal,
): Promise<{ digest: string; sizeBytes: number; entries: number }> {
  const options = signal === undefined ? {} : { signal }
  try {
    const entries = await list(path, options)
    const { digest, sizeBytes } = await measure(entries, { ...options, sizeMaxBytes: STAGEIN_MAX_BYTES })
    return { digest, sizeBytes, entries: entries.length }
  } catch (thrown) {
    signal?.throwIfAborted()
    throw inWords(path, thrown)
  }
}

/** Checked for size before the temporary disk is filled with what the hub would not take. */
async function list(path: string, options: { signal?: AbortSignal }): Promise<TreeEntry[]> {
  const entries = await everything(path, options)
  const bytes = entries.reduce((sum, entry) => sum + entry.sizeBytes, 0)
  if (bytes > STAGEIN_MAX_BYTES) throw new ArchiveError("bytes", path, `more than ${STAGEIN_MAX_BYTES} bytes in all`)
  return entries
}

async function everything(path: string, options: { signal?: AbortSignal }): Promise<TreeEntry[]> {
  const status = await stat(path)
  if (status.isDirectory()) {
    const entries = await listTree(path, { ...options, filter: await ignored(path) })
    if (entries.length === 0) {
      throw new ClientError("bad_stagein", `Stagein ${path} is an empty directory.`, {
        hint: "Name the directory that holds the job's input, or leave --stagein out.",
      })
    }
    return entries
  }
  if (!status.isFile()) throw new ArchiveError("type", path, "neither a file nor a directory")
  return listFile(path, basename(path))
}

/** What the directory's .cahignore leaves, as a filter. */
async function ignored(path: string): Promise<(path: string, kind: "file" | "directory") => boolean> {
  const file = join(path, IGNORE_FILE)
  const status = await stat(file).catch(() => null)
  if (status === null) return () => true
  if (!status.isFile() || status.size > IGNORE_MAX_BYTES) {
    throw new ClientError("bad_stagein", `${file} is not a file of at most ${IGNORE_MAX_BYTES} bytes.`)
  }
  try {
    return ignoreRules(await readFile(file, "utf8"))
  } catch (thrown) {
    if (thrown instanceof GlobError)
      throw new ClientError("bad_stagein", `${file}, ${thrown.message}.`, { cause: thrown })
    throw thrown
  }
}

const hints: Partial<Record<string, string>> = {
  changed: "Submit when nothing writes to it any more. Nothing was submitted.",
  unreadable: "Make it readable (chmod -R u+rX), or move it out of the stagein.",
  link: "Copy the file it leads to in its place, or move it out of the stagein.",
}

function inWords(path: string, thrown: unknown): ClientError {
  if (thrown instanceof ClientError) return thrown
  if (thrown instanceof ArchiveError) {
    return new ClientError("bad_stagein", `Stagein ${path}: ${thrown.message}`, {
      cause: thrown,
      hint: hints[thrown.rule] ?? "",
    })
  }
  const code = thrown instanceof Error && "code" in thrown ? thrown.code : ""
  if (code === "ENOENT" || code === "ENOTDIR") {
    return new ClientError("bad_stagein", `Stagein ${path}: there is no such file or directory.`, { cause: thrown })
  }
  if (code === "EACCES" || code === "EPERM") {
    return new ClientError("bad_stagein", `Stagein ${path} may not be read.`, {
      cause: thrown,
      hint: hints.unreadable ?? "",
    })
  }
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new ClientError("local", `Stagein ${path}: no room for its archive in ${tmpdir()}.`, {
      cause: thrown,
      hint: "Make room there, or point TMPDIR to a larger disk.",
    })
  }
  return ClientError.from(thrown)
}
