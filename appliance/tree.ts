// The one pass over the tar that mmdebstrap makes: leaves out what the recipe excludes and what tells of the building machine, adds what is
// ours, sets aside the packages that become kernel and initrd, and takes down what is in the image. A stream in, a stream out: the
// tree never lies on the disk, so nobody need be root to keep its owners.
import { createHash } from "node:crypto"
import { type EventEmitter, once } from "node:events"
import { type Readable, Transform, type Writable } from "node:stream"
import { pipeline } from "node:stream/promises"
import tar, { type Header, type Pack } from "tar-stream"
import { DOWNLOADS } from "./debian.ts"
import { ApplianceError } from "./errors.ts"
import { LISTING_MAX_BYTES } from "./limits.ts"

export interface Tree {
  readonly files: readonly TreeFile[]
  readonly packages: readonly DebianPackage[]
  /** By the name of the package's file. */
  readonly downloads: ReadonlyMap<string, Buffer>
  /** Of the refined tar: two trees with the same are the same in every byte, mode, owner and moment. */
  readonly sha256: string
}

export interface TreeFile {
  /** Absolute. */
  readonly path: string
  readonly sizeBytes: number
  /** The package that it came with; empty if none. */
  readonly package: string
}

export interface DebianPackage {
  readonly name: string
  readonly version: string
}

export interface Added {
  readonly path: string
  readonly mode: number
  readonly text: string
}

/** Of this machine or of this moment, or made anew at each boot. */
const alwaysOut = [
  ...["/dev/*", "/proc/*", "/sys/*", "/run/*", "/tmp/*", "/boot/*"],
  ...["/var/log/*", "/var/cache/apt/*", "/var/cache/debconf/*-old", "/var/cache/ldconfig/*", "/var/lib/apt/lists/*"],
  ...["/var/lib/dpkg/*-old", "/var/lib/dpkg/lock*", "/etc/*-", "/etc/.pwd.lock"],
  ...["/etc/apt/sources.list", "/etc/apt/apt.conf.d/99mmdebstrap", "/etc/resolv.conf", "/etc/hostname"],
]

/** Copies the tar from `source` to `sink`, refined. */
export async function refineTree(
  source: Readable,
  sink: Writable,
  options: { readonly exclude: readonly string[]; readonly add: readonly Added[]; readonly epoch: number },
): Promise<Tree> {
  const isOut = matcher([...alwaysOut, ...options.exclude])
  const added = new Set(options.add.map(one => one.path))
  const mtime = new Date(options.epoch * 1_000)
  const files: TreeFile[] = []
  const listings = new Map<string, string>()
  const downloads = new Map<string, Buffer>()
  const gone = new Set<string>()
  const extract = tar.extract()
  const pack = tar.pack()
  const hash = createHash("sha256")
  const hashed = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk)
      done(null, chunk)
    },
  })
  const flowing = Promise.all([pipeline(source, extract), pipeline(pack, hashed, sink)])
  flowing.catch(() => {})
  try {
    for await (const entry of extract) {
      const { header } = entry
      const path = `/${header.name.replace(/^\.?\/*/, "").replace(/\/$/, "")}`
      if (path.startsWith(DOWNLOADS)) {
        if (header.type === "file") downloads.set(path.slice(DOWNLOADS.length + 1), await contentOf(entry, header))
        else entry.resume()
        continue
      }
      const read = isListing(path) ? await contentOf(entry, header) : null
      if (read !== null) listings.set(path, read.toString())
      // "./" itself: the file system has a root of its own.
      if (path === "/" || isOut(path) || added.has(path)) {
        gone.add(path)
        entry.resume()
        continue
      }
      if (header.type === "link" && gone.has(`/${(header.linkname ?? "").replace(/^\.?\//, "")}`)) {
        throw new ApplianceError(
          `exclude leaves ${header.linkname} out, which ${path} is another name of; exclude both`,
        )
      }
      const kept = { ...header, uname: "", gname: "", mtime: new Date(Math.min(+(header.mtime ?? mtime), +mtime)) }
      await copy(pack, kept, read === null ? entry : [read])
      if (header.type === "file") files.push({ path, sizeBytes: header.size ?? 0, package: "" })
    }
    for (const { path, mode, text } of options.add) {
      const bytes = Buffer.from(text)
      await copy(pack, { name: `.${path}`, mode, mtime, type: "file", size: bytes.length }, [bytes])
      files.push({ path, sizeBytes: bytes.length, package: "" })
    }
    pack.finalize()
    await flowing
  } catch (error) {
    // The first failure of a pipeline is the reason; what the loop saw is its shadow.
    pack.destroy()
    extract.destroy()
    throw error instanceof ApplianceError
      ? error
      : await flowing.then(
          () => error,
          why => why,
        )
  }
  const owners = ownersOf(listings)
  return {
    files: files.map(file => ({ ...file, package: owners.get(canonical(file.path)) ?? "" })),
    packages: installedOf(listings.get("/var/lib/dpkg/status") ?? ""),
    downloads,
    sha256: hash.digest("hex"),
  }
}

/** What a tar's entry holds, piece by piece; the library does not say that they are bytes. */
type Content = AsyncIterable<unknown> | Iterable<Uint8Array>

/** Entries are told of nothing but their name, size, mode, owner and moment; and of what they link to. */
type Kept = Pick<Header, "name" | "mode" | "mtime" | "type"> & Partial<Header>

async function copy(pack: Pack, header: Kept, content: Content): Promise<void> {
  const written = new Promise<void>((resolve, reject) => {
    const done = (error?: Error | null): void => (error ? reject(error) : resolve())
    const sink = pack.entry(header, done)
    if (header.type === "file") void pour(content, sink).catch(reject)
  })
  // What is no file has no content, but the stream of it must be read to come to the next.
  if (header.type !== "file") for await (const _ of content);
  await written
}

async function pour(content: Content, sink: ReturnType<Pack["entry"]>): Promise<void> {
  for await (const chunk of content) if (!sink.write(chunk)) await once(sink as unknown as EventEmitter, "drain")
  sink.end(undefined)
}

async function contentOf(entry: AsyncIterable<unknown>, { name, size }: Header): Promise<Buffer> {
  if (size > LISTING_MAX_BYTES) throw new ApplianceError(`${name} has ${size} bytes, more than ${LISTING_MAX_BYTES}`)
  const chunks: Uint8Array[] = []
  for await (const chunk of entry) chunks.push(chunk as Uint8Array)
  return Buffer.concat(chunks)
}

// ---- what dpkg knows --------------------------------------------------------------------------------------------

function isListing(path: string): boolean {
  return path === "/var/lib/dpkg/status" || /^\/var\/lib\/dpkg\/info\/[^/]+\.list$/.test(path)
}

/** By path, the package. */
function ownersOf(listings: ReadonlyMap<string, string>): Map<string, string> {
  const owners = new Map<string, string>()
  for (const [path, text] of listings) {
    const name = /([^/:]+)(?::[a-z0-9]+)?\.list$/.exec(path)?.[1]
    if (name !== undefined) for (const line of text.split("\n")) owners.set(canonical(line), name)
  }
  return owners
}

/** Packages still name /lib and /bin, which are links into /usr. */
function canonical(path: string): string {
  return /^\/(bin|sbin|lib|lib64)\//.test(path) ? `/usr${path}` : path
}

export function installedOf(status: string): DebianPackage[] {
  const packages = status.split("\n\n").flatMap(stanza => {
    const field = (name: string): string => new RegExp(`^${name}: (.*)$`, "m").exec(stanza)?.[1] ?? ""
    return field("Status").endsWith(" installed") ? [{ name: field("Package"), version: field("Version") }] : []
  })
  return packages.sort(byName)
}

export function byName(one: DebianPackage, other: DebianPackage): number {
  return one.name < other.name ? -1 : one.name > other.name ? 1 : 0
}

// ---- patterns ---------------------------------------------------------------------------------------------------

/** Whether a path fits one of the patterns, and none of those that begin with "!": * is any text, slashes too. */
export function matcher(patterns: readonly string[]): (path: string) => boolean {
  const isOut = anyOf(patterns.filter(pattern => !pattern.startsWith("!")))
  const isKept = anyOf(patterns.flatMap(pattern => (pattern.startsWith("!") ? [pattern.slice(1)] : [])))
  return path => isOut(path) && !isKept(path)
}

function anyOf(patterns: readonly string[]): (path: string) => boolean {
  if (patterns.length === 0) return () => false
  const parts = patterns.map(pattern => pattern.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*"))
  const any = new RegExp(`^(?:${parts.join("|")})$`)
  return path => any.test(path)
}
