// What a job leaves behind, as one archive in the spool: what its scientist's patterns choose, or what is new or changed. Packed
// after a failure too. The job is dead by now and its tree is a stranger's: no link is followed out of it, nothing
// special is opened, and what cannot be packed is named, never left out in silence: a file as trouble, which fails the job, and what
// holds no data of its own (a socket, a broken link) as a warning.
import { lstat, rename } from "node:fs/promises"
import { dirname, join } from "node:path"
import { listTree, packToFile, type TreeEntry } from "../../archive/pack.ts"
import { inGroups } from "../../archive/problems.ts"
import { ArchiveError, printable } from "../../archive/rules.ts"
import { escaped, Selection } from "../../archive/selection.ts"
import { UNPACKED_MTIME_MS, type Unpacked } from "../../archive/unpack.ts"
import { hexOf } from "../../proto/wire/digest.ts"
import type { BlobRef } from "../core/model.ts"
import { PACK_TRIES_MAX, PATTERNS_NAMED_MAX, PROBLEMS_MAX_CHARACTERS, STAGEOUT_BYTES_MAX } from "../limits.ts"

export interface OutputsRequest {
  readonly work: string
  /** What the job may have called it. */
  readonly knownAs: string
  readonly spool: string
  /** What was there before the command ran. */
  readonly staged: Unpacked
  /** None: what changed. */
  readonly patterns: readonly string[]
  /** A pattern that matches nothing is trouble. */
  readonly required: boolean
  readonly sizeMaxBytes?: number
  readonly signal: AbortSignal
}

export interface Outputs {
  /** Null: nothing to return. */
  readonly stageout: BlobRef | null
  /** What could not be returned; else empty. */
  readonly trouble: string
  /** What the scientist should know although nothing of theirs is lost: one a line; else empty. */
  readonly warnings: string
}

export async function packOutputs(request: OutputsRequest): Promise<Outputs> {
  try {
    if (!(await lstat(request.work)).isDirectory()) {
      return troubled("the outputs could not be packed: the working directory was replaced by something else")
    }
    const selection = new Selection(request.patterns)
    try {
      return await packChosen(request, selection, "within")
    } catch (error) {
      if (!(error instanceof ArchiveError && (error.rule === "bytes" || error.rule === "entries"))) throw error
      const { warnings, ...rest } = await packChosen(request, selection, "none")
      const why = `links were not followed: with what they lead to, the outputs are ${error.what}`
      return { ...rest, warnings: lines([why, warnings]) }
    }
  } catch (error) {
    if (request.signal.aborted) throw error
    return troubled(`the outputs could not be packed: ${reasonFor(error)}`)
  }
}

function troubled(trouble: string): Outputs {
  return { stageout: null, trouble, warnings: "" }
}

async function packChosen(request: OutputsRequest, selection: Selection, links: "within" | "none"): Promise<Outputs> {
  const problems: ArchiveError[] = []
  const isNew = changedSince(request.staged)
  const takes = (path: string, entry?: TreeEntry): boolean => selection.takes(path, () => isNew(path, entry))
  // Only what would come back can be missed.
  const skip = (problem: ArchiveError): void => {
    if (takes(problem.entry)) problems.push(problem)
  }
  const { knownAs, signal, work } = request
  const tree = await listTree(work, { skip, links, knownAs: [knownAs], signal })
  const full = new Set(tree.map(({ path }) => dirname(path)))
  const chosen = tree.filter(entry =>
    entry.kind === "file" ? takes(entry.path, entry) : !full.has(entry.path) && takes(`${entry.path}/`, entry),
  )
  const { stageout, packed } = await packStable(chosen, request, problems)
  const came = packed.map(({ path, kind }) => (kind === "file" ? path : `${path}/`))
  const missing = missingIn(selection, tree, came)
  if (request.required && request.patterns.length === 0 && stageout === null) missing.push("nothing came back")
  const soft = problems.filter(isHarmless)
  const hard = problems.filter(problem => !isHarmless(problem))
  return {
    stageout,
    trouble: [...(request.required ? missing : []), listed("not returned", hard)]
      .filter(part => part !== "")
      .join("; "),
    warnings: lines([...(request.required ? [] : missing), listed("left out", soft)]),
  }
}

/** A sentence for each pattern that did not do what it looks like. */
function missingIn(selection: Selection, tree: readonly TreeEntry[], came: readonly string[]): string[] {
  const mistaken = selection.mistaken(new Set(tree.map(({ path }) => path)))
  const all = selection.unmatched(came)
  const unmatched = all.slice(0, PATTERNS_NAMED_MAX).map(pattern => `${shown(pattern)} matched nothing`)
  if (all.length > unmatched.length) unmatched.push(`${all.length - unmatched.length} more patterns matched nothing`)
  const others = mistaken.map(
    pattern => `${shown(pattern)} is a pattern and not the file of that name: write ${shown(escaped(pattern))}`,
  )
  return [...unmatched, ...others]
}

/** As it was typed, unless it holds what would not be seen. */
function shown(pattern: string): string {
  const quoted = printable(pattern)
  return quoted.replaceAll("\\\\", "\\") === `"${pattern}"` ? pattern : quoted
}

/** Leaves out what changes meanwhile: a job without walls may have left a writer that nobody could find. */
async function packStable(
  chosen: readonly TreeEntry[],
  request: OutputsRequest,
  problems: ArchiveError[],
): Promise<{ stageout: BlobRef | null; packed: readonly TreeEntry[] }> {
  const sizeMaxBytes = request.sizeMaxBytes ?? STAGEOUT_BYTES_MAX
  const sizeBytes = chosen.reduce((sum, entry) => sum + entry.sizeBytes, 0)
  // Before the disk is filled with what would not be sent.
  if (sizeBytes > sizeMaxBytes) throw new ArchiveError("bytes", "", `more than ${sizeMaxBytes} bytes`)
  const temporary = join(request.spool, "stageout.tmp")
  let packed = chosen
  for (let tries = 1; packed.length > 0; tries++) {
    try {
      const stageout = await packToFile(packed, temporary, { sizeMaxBytes, signal: request.signal })
      await rename(temporary, join(request.spool, hexOf(stageout.digest)))
      return { stageout, packed }
    } catch (error) {
      const about = error instanceof ArchiveError && (error.rule === "changed" || error.rule === "unreadable")
      if (!about || tries === PACK_TRIES_MAX) throw error
      problems.push(error)
      packed = packed.filter(entry => entry.path !== error.entry)
    }
  }
  return { stageout: null, packed }
}

/** Whether a path, of which the entry is not known where it cannot be packed, is not as it was staged. */
function changedSince(staged: Unpacked): (path: string, entry?: TreeEntry) => boolean {
  const sizes = new Map(staged.files.map(file => [file.path, file.sizeBytes]))
  const folders = new Set(staged.folders)
  for (const { path } of staged.files) {
    for (let above = dirname(path); above !== "." && !folders.has(above); above = dirname(above)) folders.add(above)
  }
  return (path, entry) => {
    if (entry?.kind === "directory") return !folders.has(entry.path)
    const size = sizes.get(path)
    if (size === undefined || entry === undefined) return true
    return size !== entry.sizeBytes || entry.mtimeNs !== BigInt(UNPACKED_MTIME_MS) * 1_000_000n
  }
}

/** No content of the job's own is lost with it: what a link leads to is packed where it lies, or lay outside. */
function isHarmless({ rule }: ArchiveError): boolean {
  return rule === "link" || rule === "type"
}

function reasonFor(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException
  if (code === "ENOSPC" || code === "EDQUOT") return "the disk of the node is full"
  if (error instanceof ArchiveError && (error.rule === "bytes" || error.rule === "entries")) {
    return `they are ${error.what}`
  }
  return error instanceof Error ? error.message : String(error)
}

function listed(what: string, problems: readonly ArchiveError[]): string {
  return problems.length === 0 ? "" : `${what}: ${inGroups(problems, PROBLEMS_MAX_CHARACTERS).join("; ")}`
}

function lines(texts: readonly string[]): string {
  return texts.filter(text => text !== "").join("\n")
}
