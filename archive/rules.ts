// What an entry of an archive may look like, and the error that names the entry and the rule it breaks. Both sides use
// the same rules: what pack.ts lets pass, unpack.ts accepts. Archives come from strangers in both directions, so whatever is not
// expressly allowed here is refused; nothing is ever repaired, renamed or left out in silence.

/** Entries of one archive. A million tiny files would exhaust a volunteer's inodes before any byte bound is felt. */
export const ENTRIES_MAX = 100_000
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
  | "normalization"
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

  constructor(rule: Rule, entry: string, what: string, cause?: unknown) {
    const subject = entry === "" ? "archive" : printable(entry)
    super(`${subject}: ${what}`, cause === undefined ? undefined : { cause })
    this.rule = rule
    this.entry = entry
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
  if (path.normalize("NFC") !== path) refuse("normalization", "its name is not in Unicode normal form C")
  if (Buffer.byteLength(path) > PATH_MAX_BYTES) refuse("path length", `its path is longer than ${PATH_MAX_BYTES} bytes`)
  const names = path.split("/")
  if (names.length > DEPTH_MAX) refuse("depth", `lies more than ${DEPTH_MAX} levels deep`)
  for (const name of names) {
    if (name === "" || name === "." || name === "..") refuse("traversal", `"${name}" as a part of its path`)
    if (Buffer.byteLength(name) > NAME_MAX_BYTES) refuse("name length", `a name longer than ${NAME_MAX_BYTES} bytes`)
  }
}

/** Remembers the entries of one archive and refuses a second one that would land in the same place on any file system. */
export class Places {
  /** Folded path to how it was spelled and what it is. */
  readonly #taken = new Map<string, { path: string; kind: "file" | "directory" | "implied" }>()
  #entries = 0

  /** Takes the place of an entry whose path has passed checkPath(). */
  take(path: string, kind: "file" | "directory"): void {
    this.#entries++
    if (this.#entries > ENTRIES_MAX) throw new ArchiveError("entries", "", `more than ${ENTRIES_MAX} entries`)
    for (let slash = path.indexOf("/"); slash !== -1; slash = path.indexOf("/", slash + 1)) {
      const parent = path.slice(0, slash)
      const there = this.#taken.get(fold(parent))
      if (there === undefined) this.#taken.set(fold(parent), { path: parent, kind: "implied" })
      else if (there.path !== parent) throw clash(path, parent, there.path)
      else if (there.kind === "file") {
        throw new ArchiveError("duplicate", path, `lies below ${printable(parent)}, which is a file`)
      }
    }
    const there = this.#taken.get(fold(path))
    if (there !== undefined && there.path !== path) throw clash(path, path, there.path)
    // A directory may be named after its first file; everything else may come once.
    if (there !== undefined && !(there.kind === "implied" && kind === "directory")) {
      throw new ArchiveError("duplicate", path, "comes twice")
    }
    this.#taken.set(fold(path), { path, kind })
  }
}

function clash(entry: string, path: string, other: string): ArchiveError {
  return new ArchiveError("case folding", entry, `${printable(path)} and ${printable(other)} differ only in case`)
}

/** As close to Unicode's full case folding as the language comes: "ß" and "SS" fold alike, as on macOS. */
function fold(path: string): string {
  return path.toUpperCase().toLowerCase().normalize("NFC")
}
