// A directory or a file of the scientist's, packed into a temporary archive that can be sent, and sent again after a cut.
// A directory's content becomes the job's working directory; a single file is put into it under its own name.
// What cannot be packed whole and unchanged is an error that names it: no half of an input is ever sent.
import { mkdtemp, readFile, rm, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { GlobError } from "../archive/glob.ts"
import { IGNORE_FILE, IGNORE_MAX_BYTES, ignoreRules } from "../archive/ignore.ts"
import { listFile, listTree, measure, type PackOptions, packToFile, type TreeEntry } from "../archive/pack.ts"
import { inGroups } from "../archive/problems.ts"
import { ArchiveError, checkPath, type Rule } from "../archive/rules.ts"
import { ClientError } from "./errors.ts"
import { PROBLEM_DETAILS_MAX, PROBLEMS_MAX_CHARACTERS, STAGEIN_BYTES_MAX } from "./limits.ts"
import { CORNER } from "./place.ts"

export interface PackedStagein {
  readonly digest: string
  readonly sizeBytes: number
  /** The archive. Gone after dispose(). */
  readonly file: string
  readonly entries: number
  dispose(): Promise<void>
}

export interface StageinOptions {
  /** Links that lead out of the directory come as what they lead to, as those within it do. */
  readonly dereference?: boolean
  readonly signal?: AbortSignal | undefined
}

export async function packStagein(path: string, options: StageinOptions = {}): Promise<PackedStagein> {
  let directory: string | null = null
  try {
    const entries = await list(path, options)
    // Not in the tree that is being packed, even if the user stands in it.
    directory = await mkdtemp(join(tmpdir(), "cah-stagein-"))
    const file = join(directory, "stagein.tar")
    const packed = await packToFile(entries, file, packing(options))
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
    options.signal?.throwIfAborted()
    throw inWords(path, thrown)
  }
}

/** Digest, size and number of entries of what packStagein would pack, without keeping it. */
export async function measureStagein(
  path: string,
  options: StageinOptions = {},
): Promise<{ digest: string; sizeBytes: number; entries: number }> {
  try {
    const entries = await list(path, options)
    const { digest, sizeBytes } = await measure(entries, packing(options))
    return { digest, sizeBytes, entries: entries.length }
  } catch (thrown) {
    options.signal?.throwIfAborted()
    throw inWords(path, thrown)
  }
}

function packing({ signal }: StageinOptions): PackOptions {
  return { sizeMaxBytes: STAGEIN_BYTES_MAX, ...(signal === undefined ? {} : { signal }) }
}

/** Checked for size before the temporary disk is filled with what the hub would not take. */
async function list(path: string, options: StageinOptions): Promise<TreeEntry[]> {
  const entries = await everything(path, options)
  const bytes = entries.reduce((sum, entry) => sum + entry.sizeBytes, 0)
  if (bytes > STAGEIN_BYTES_MAX) throw new ArchiveError("bytes", path, `more than ${STAGEIN_BYTES_MAX} bytes in all`)
  return entries
}

async function everything(path: string, { dereference, signal }: StageinOptions): Promise<TreeEntry[]> {
  // So it reaches us where its bytes are no UTF-8, and nothing is found under it.
  if (path.includes("\ufffd")) checkPath(basename(path))
  const status = await stat(path)
  if (!status.isDirectory()) {
    if (!status.isFile()) throw new ArchiveError("type", path, "neither a file nor a directory")
    return listFile(path, basename(path))
  }
  const problems: ArchiveError[] = []
  const entries = await listTree(path, {
    filter: await ignored(path),
    links: dereference === true ? "anywhere" : "within",
    skip: problem => problems.push(problem),
    ...(signal === undefined ? {} : { signal }),
  })
  if (problems.length > 0) throw refused(path, problems)
  if (entries.length > 0) return entries
  throw new ClientError("bad_stagein", `Stagein ${path} is an empty directory.`, {
    hint: "Name the directory that holds the job's input, or leave --stagein out.",
  })
}

/** What the directory's .cahignore leaves, as a filter. The books of an earlier `cah get` are no input, and never the same twice. */
async function ignored(path: string): Promise<(path: string, kind: "file" | "directory") => boolean> {
  const rules = await ignoreFile(path)
  return (entry, kind) => !(entry === CORNER && kind === "directory") && rules(entry, kind)
}

async function ignoreFile(path: string): Promise<(path: string, kind: "file" | "directory") => boolean> {
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

const rename = "Rename it, or leave it out by a line in .cahignore."
const hints: Partial<Record<Rule, string>> = {
  changed: "Submit when nothing writes to it any more. Nothing was submitted.",
  unreadable: "Make it readable (chmod -R u+rX), or leave it out by a line in .cahignore.",
  link: "Follow links out of the directory: --dereference. Or leave them out by a line in .cahignore.",
  type: "Leave it out by a line in .cahignore.",
  encoding: "Rename it (convmv -f latin1 -t utf8 does many at once), or leave it out by a line in .cahignore.",
  control: rename,
  backslash: rename,
  drive: rename,
  "case folding": rename,
  "name length": rename,
  "path length": rename,
  depth: rename,
}

/** All that cannot go, at once. */
function refused(path: string, problems: readonly ArchiveError[]): ClientError {
  const [only] = problems
  if (problems.length === 1 && only !== undefined) return inWords(path, only)
  const advice = new Set(problems.map(({ rule }) => hints[rule] ?? ""))
  const hint = [...inGroups(problems, PROBLEMS_MAX_CHARACTERS), ...advice].filter(line => line !== "").join("\n")
  return new ClientError("bad_stagein", `Stagein ${path}: ${problems.length} of its entries cannot be sent.`, {
    hint,
    details: problems.slice(0, PROBLEM_DETAILS_MAX).map(({ entry, rule, what }) => ({ entry, rule, what })),
  })
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
