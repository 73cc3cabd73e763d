// What an entry of an archive may look like, and the error that names the entry and the rule it breaks. Both sides use
// the same rules: what pack.ts lets pass, unpack.ts accepts. Archives come from strangers in both directions, so whatever is not
// expressly allowed here is refused; nothing is ever repaired, renamed or left out in silence.
import { hash } from "node:crypto"

/**
 * Files and folders of one archive, those included that only the path of another implies. A million tiny files would exhaust a volunteer's
 * inodes before any byte bound is felt.
 */
export const ENTRIES_MAX = 100_000
/** Bytes of all paths of one archive: a hundred thousand of 335 each. Lists of them are kept in memory on both sides. */
export const PATHS_MAX_BYTES = 32 * 1024 * 1024
/** Bytes of disk that a folder takes, whatever is in it: one block of ext4, xfs and APFS. */
export const FOLDER_BYTES = 4_096
/** Directories above an entry, plus one. Deeper trees are mistakes or attacks on recursive tools. */
export const DEPTH_MAX = 32
/** Bytes of one name: what ext4, xfs, NTFS and APFS all take. */
export const NAME_MAX_BYTES = 255
/** Bytes of a whole path: leaves room for the directory it is unpacked into below Linux's 4096 and macOS's 1024. */
export const PATH_MAX_BYTES = 1_024

export type Rule =
  | "type"
  | "empty"
  | "encoding"
  | "control"
  | "backslash"
  | "absolute"
  | "drive"
  | "traversal"
  | "depth"
  | "name length"
  | "path length"
  | "duplicate"
  | "case folding"
  | "entries"
  | "bytes"
  | "malformed"
  | "changed"
  | "unreadable"
  | "link"

export class ArchiveError extends Error {
  override readonly name = "ArchiveError"
  readonly rule: Rule
  /** The path in the archive or the tree, as it was found. Empty if the archive as a whole is meant. */
  readonly entry: string
  /** What is wrong with it, without its name: equal for entries that share a fault. */
  readonly what: string

  constructor(rule: Rule, entry: string, what: string, cause?: unknown) {
    const subject = entry === "" ? "archive" : printable(entry)
    super(`${subject}: ${what}`, cause === undefined ? undefined : { cause })
    this.rule = rule
    this.entry = entry
    this.what = what
  }
}

/** A path fit to be shown: hostile names must not move a reader's cursor or fill the screen. */
export function printable(path: string): string {
  const shown = JSON.stringify(path.length > 200 ? `${path.slice(0, 200)}…` : path)
  return shown.replace(
    /[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g,
    c => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  )
}

/** Throws unless the path may stand in an archive. `path` is relative, with forward slashes and no trailing one. */
export function checkPath(path: string): void {
  const refuse = (rule: Rule, what: string): never => {
    throw new ArchiveError(rule, path, what)
  }
  if (path === "") refuse("empty", "an entry without a name")
  // The decoder puts U+FFFD where bytes were not UTF-8. Refusing it also keeps two such names from becoming one.
  if (path.includes("\ufffd")) refuse("encoding", "its name is not UTF-8")
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
  if (/[\u0000-\u001f\u007f-\u009f]/.test(path)) refuse("control", "control characters in its name")
  if (path.includes("\\")) refuse("backslash", "a backslash in its name would be a separator on Windows")
  if (path.startsWith("/")) refuse("absolute", "an absolute path")
  if (/^[A-Za-z]:/.test(path)) refuse("drive", "begins like a drive letter")
  if (Buffer.byteLength(path) > PATH_MAX_BYTES) refuse("path length", `its path is longer than ${PATH_MAX_BYTES} bytes`)
  const names = path.split("/")
  if (names.length > DEPTH_MAX) refuse("depth", `lies more than ${DEPTH_MAX} levels deep`)
  for (const name of names) {
    if (name === "" || name === "." || name === "..") refuse("traversal", `"${name}" as a part of its path`)
    if (Buffer.byteLength(name) > NAME_MAX_BYTES) refuse("name length", `a name longer than ${NAME_MAX_BYTES} bytes`)
  }
}

const kinds = { file: 0, directory: 1, implied: 2 } as const
type Kind = keyof typeof kinds

/**
 * Remembers the entries of one archive and refuses a second one that would land in the same place on any file system: names that differ
 * only in case, or in whether an accent is a character of its own. Keeps digests, not paths: an archive's author chooses how long those are.
 */
export class Places {
  /** Digest of the folded path, to what lies there: 48 bits that tell its spelling, and two for its kind. */
  readonly #taken = new Map<string, number>()
  readonly #entriesMax: number
  #pathsBytes = 0
  /** The folder of the entry before, which most entries lie in too. */
  #lastParent = ""

  constructor(entriesMax = ENTRIES_MAX) {
    this.#entriesMax = entriesMax
  }

  /** Files and folders so far. */
  get entries(): number {
    return this.#taken.size
  }

  /**
   * Takes the place of an entry whose path has passed checkPath(). Returns the folders above it that no entry has named or implied
   * before, the outermost first.
   */
  take(path: string, kind: "file" | "directory"): string[] {
    this.#pathsBytes += Buffer.byteLength(path)
    if (this.#pathsBytes > PATHS_MAX_BYTES) {
      throw new ArchiveError("entries", "", `the paths in it are more than ${PATHS_MAX_BYTES} bytes together`)
    }
    const fresh = this.#takeAbove(path)
    const place = placeOf(path)
    const there = this.#taken.get(place)
    if (there !== undefined && !isSpelled(there, path)) throw clash(path, path)
    // A directory may be named after its first file; everything else may come once.
    if (there !== undefined && !(there % 4 === kinds.implied && kind === "directory")) {
      throw new ArchiveError("duplicate", path, "comes twice")
    }
    this.#put(place, path, kind)
    return fresh
  }

  /** From the innermost outwards, up to one that is known: what lies above that is known too. */
  #takeAbove(path: string): string[] {
    const fresh: string[] = []
    const innermost = path.slice(0, Math.max(0, path.lastIndexOf("/")))
    if (innermost === this.#lastParent) return fresh
    for (let slash = innermost.length; slash > 0; slash = path.lastIndexOf("/", slash - 1)) {
      const parent = path.slice(0, slash)
      const there = this.#taken.get(placeOf(parent))
      if (there === undefined) {
        fresh.unshift(parent)
        continue
      }
      if (!isSpelled(there, parent)) throw clash(path, parent)
      if (there % 4 === kinds.file) {
        throw new ArchiveError("duplicate", path, `lies below ${printable(parent)}, which is a file`)
      }
      break
    }
    for (const parent of fresh) this.#put(placeOf(parent), parent, "implied")
    this.#lastParent = innermost
    return fresh
  }

  #put(place: string, path: string, kind: Kind): void {
    this.#taken.set(place, spelling(path) * 4 + kinds[kind])
    if (this.#taken.size > this.#entriesMax) {
      throw new ArchiveError("entries", "", `more than ${this.#entriesMax} files and folders`)
    }
  }
}

function clash(entry: string, path: string): ArchiveError {
  const other = path === entry ? "another entry" : `another folder than ${printable(path)}`
  return new ArchiveError("case folding", entry, `${CLASHES} ${other}`)
}

/** Begins what is said of two names that some file systems take for one. */
export const CLASHES = "differs only in case, or in how an accent is written, from"

/** 16 bytes, one character each: 2^64 tries to find two paths that share it. */
function placeOf(path: string): string {
  return hash("sha256", fold(path), "buffer").toString("latin1", 0, 16)
}

function spelling(path: string): number {
  return hash("sha256", path, "buffer").readUIntBE(0, 6)
}

function isSpelled(there: number, path: string): boolean {
  return Math.floor(there / 4) === spelling(path)
}

/** As close to Unicode's full case folding as the language comes: "ß" and "SS" fold alike, as on macOS. */
export function fold(path: string): string {
  return path.toUpperCase().toLowerCase().normalize("NFC")
}
