// What a job leaves behind, as one archive in the spool: the files that its scientist's patterns name, or those that are new or changed. Packed
// after a failure too. The job is dead by now and its tree is a stranger's: no link is followed out of it, nothing
// special is opened, and what cannot be packed is named, never left out in silence.
import { lstat, rename } from "node:fs/promises"
import { join } from "node:path"
import { matcher } from "../../archive/glob.ts"
import { listTree, packToFile, type TreeEntry } from "../../archive/pack.ts"
import { ArchiveError } from "../../archive/rules.ts"
import { UNPACKED_MTIME_MS, type UnpackedFile } from "../../archive/unpack.ts"
import { hexOf } from "../../proto/wire/digest.ts"
import type { BlobRef } from "../core/model.ts"
import { PACK_TRIES_MAX, PROBLEMS_NAMED_MAX, STAGEOUT_MAX_BYTES } from "../limits.ts"

export interface OutputsRequest {
  readonly work: string
  readonly spool: string
  /** What was there before the command ran. */
  readonly staged: readonly UnpackedFile[]
  /** None: what changed. */
  readonly patterns: readonly string[]
  readonly sizeMaxBytes?: number
  readonly signal: AbortSignal
}

export interface Outputs {
  /** Null: nothing to return. */
  readonly stageout: BlobRef | null
  /** What could not be returned; else empty. */
  readonly trouble: string
}

export async function packOutputs(request: OutputsRequest): Promise<Outputs> {
  const problems: ArchiveError[] = []
  try {
    const wanted = wantedBy(request)
    // With patterns, only what they name can be missed.
    const skip = (problem: ArchiveError): void => {
      if (request.patterns.length === 0 || wanted(problem.entry)) problems.push(problem)
    }
    const isDirectory = (await lstat(request.work)).isDirectory()
    if (!isDirectory)
      return { stageout: null, trouble: describe([], "the working directory was replaced by something else") }
    const tree = await listTree(request.work, { skip, signal: request.signal })
    const entries = tree.filter(entry => entry.kind === "file" && wanted(entry.path, entry))
    if (entries.length === 0) return { stageout: null, trouble: describe(problems) }
    const stageout = await packStable(entries, request, problems)
    return { stageout, trouble: describe(problems) }
  } catch (error) {
    if (request.signal.aborted) throw error
    return { stageout: null, trouble: describe(problems, reasonFor(error)) }
  }
}

/** Leaves out what changes meanwhile: a job without walls may have left a writer that nobody could find. */
async function packStable(
  entries: readonly TreeEntry[],
  request: OutputsRequest,
  problems: ArchiveError[],
): Promise<BlobRef | null> {
  const sizeMaxBytes = request.sizeMaxBytes ?? STAGEOUT_MAX_BYTES
  const temporary = join(request.spool, "stageout.tmp")
  let rest = entries
  for (let tries = 1; rest.length > 0; tries++) {
    try {
      const blob = await packToFile(rest, temporary, { sizeMaxBytes, signal: request.signal })
      await rename(temporary, join(request.spool, hexOf(blob.digest)))
      return blob
    } catch (error) {
      const about = error instanceof ArchiveError && (error.rule === "changed" || error.rule === "unreadable")
      if (!about || tries === PACK_TRIES_MAX) throw error
      problems.push(error)
      rest = rest.filter(entry => entry.path !== error.entry)
    }
  }
  return null
}

type Wanted = (path: string, entry?: TreeEntry) => boolean

function wantedBy({ patterns, staged }: OutputsRequest): Wanted {
  if (patterns.length > 0) return matcher(patterns)
  const before = new Map(staged.map(file => [file.path, file.sizeBytes]))
  return (path, entry) => {
    const size = before.get(path)
    if (size === undefined || entry === undefined) return true
    return size !== entry.sizeBytes || entry.mtimeNs !== BigInt(UNPACKED_MTIME_MS) * 1_000_000n
  }
}

function reasonFor(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException
  if (code === "ENOSPC" || code === "EDQUOT") return "the disk of the node is full"
  if (error instanceof ArchiveError && error.rule === "bytes")
    return `they are ${error.message.replace(/^archive: /, "")}`
  return error instanceof Error ? error.message : String(error)
}

function describe(problems: readonly ArchiveError[], failure?: string): string {
  if (failure !== undefined) return `the outputs could not be packed: ${failure}`
  if (problems.length === 0) return ""
  const named = problems.slice(0, PROBLEMS_NAMED_MAX).map(problem => problem.message)
  const more = problems.length - named.length
  return `not returned: ${named.join("; ")}${more > 0 ? `; and ${more} more` : ""}`
}
