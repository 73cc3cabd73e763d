// A release: the files that volunteers' computers get, described and signed by `npm run boinc -- sign` on another machine. Read
// once at the start, and every byte compared with what was signed, so that a damaged or half-copied release never
// reaches anybody. The hub can hand out what is in it and nothing else: it has no key to sign with.
import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { readFile, stat } from "node:fs/promises"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"
import { z } from "zod"
import { CahError } from "../../core/errors.ts"
import { isMd5Signed } from "./signature.ts"

export const RELEASE_FILE = "release.json"
/** Where the files lie, beside release.json. */
export const RELEASE_FOLDER = "files"

/** A name is for ever: clients keep files by it. No path, nothing that a URL or their XML would need to escape. */
const fileName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/, "must be a plain file name")
const hex = (length: number) => z.string().regex(new RegExp(`^[0-9a-f]{${length}}$`), `must be ${length} hex digits`)

const fileSchema = z.strictObject({
  name: fileName,
  sizeBytes: z.int().min(0),
  md5: hex(32),
  sha256: hex(64),
  executable: z.boolean(),
  signature: z.string(),
})

const appVersionSchema = z.strictObject({
  platform: z.string().regex(/^[A-Za-z0-9_.-]{1,60}$/, "must be a platform of BOINC"),
  planClass: z.string().regex(/^[a-z0-9_]{1,30}$/, "must be a word"),
  files: z
    .array(
      z.strictObject({
        name: fileName,
        /** What the program opens; null for the program itself. */
        openName: fileName.nullable(),
      }),
    )
    .min(1),
})

const releaseSchema = z.strictObject({
  format: z.literal(1),
  /** BOINC's name of the application, and what its users read. */
  name: z.string().regex(/^[a-z0-9_]{1,40}$/, "must be a word"),
  title: z.string().min(1).max(100),
  version: z.string().max(40),
  /** 100 is shown as 1.00. A client never takes other files under a number it knows. */
  versionNumber: z.int().min(1).max(1_000_000),
  /** What a computer must be able to give. */
  minMemoryBytes: z.int().min(0),
  minDiskBytes: z.int().min(0),
  codeSignKey: z.string(),
  files: z.array(fileSchema).min(1),
  /** The first of those that a client can use is the one it gets. */
  appVersions: z.array(appVersionSchema).min(1),
})

export type ReleaseJson = z.infer<typeof releaseSchema>
export type ReleaseFile = ReleaseJson["files"][number]

export interface AppVersion {
  readonly platform: string
  readonly planClass: string
  readonly files: readonly { readonly file: ReleaseFile; readonly openName: string | null }[]
}

export interface Release extends Omit<ReleaseJson, "files" | "appVersions"> {
  readonly appVersions: readonly AppVersion[]
  readonly files: ReadonlyMap<string, ReleaseFile>
  /** The file's place on disk. */
  pathOf(file: ReleaseFile): string
}

/** CahError failed_precondition, with what to do, when anything of it is not as it was signed. */
export async function openRelease(directory: string): Promise<Release> {
  const { files: listed, appVersions, ...about } = await readReleaseJson(directory)
  const files = new Map(listed.map(file => [file.name, file]))
  if (files.size < listed.length) throw bad(directory, "names a file twice")
  const pathOf = (file: ReleaseFile) => join(directory, RELEASE_FOLDER, file.name)
  for (const file of listed) {
    if (!isMd5Signed(about.codeSignKey, file.md5, file.signature)) {
      throw bad(directory, `has no valid signature of its own key for ${file.name}`)
    }
    await compare(directory, pathOf(file), file)
  }
  return { ...about, files, pathOf, appVersions: appVersions.map(version => resolve(directory, version, files)) }
}

async function readReleaseJson(directory: string): Promise<ReleaseJson> {
  const path = join(directory, RELEASE_FILE)
  const text = await readFile(path, "utf8").catch(cause => {
    const message = `${path} cannot be read: ${(cause as Error).message}. --release names a directory made by \`npm run boinc -- sign\``
    throw new CahError("failed_precondition", message, { cause })
  })
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw bad(directory, `is not JSON (${(cause as Error).message})`, cause)
  }
  const parsed = releaseSchema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw bad(directory, `is not as expected: ${issue?.path.join(".")}: ${issue?.message}`)
}

function resolve(
  directory: string,
  { platform, planClass, files: named }: ReleaseJson["appVersions"][number],
  files: ReadonlyMap<string, ReleaseFile>,
): AppVersion {
  const found = named.map(({ name, openName }) => {
    const file = files.get(name)
    if (file === undefined) throw bad(directory, `names ${name} for ${platform}, which is not among its files`)
    return { file, openName }
  })
  const programs = found.filter(({ openName }) => openName === null)
  if (programs.length !== 1 || !programs[0]!.file.executable) {
    throw bad(directory, `must name one executable program for ${platform} (${planClass}): the file without openName`)
  }
  return { platform, planClass, files: found }
}

async function compare(directory: string, path: string, file: ReleaseFile): Promise<void> {
  const size = await stat(path).then(
    found => found.size,
    () => null,
  )
  if (size === null) throw bad(directory, `names ${file.name}, but ${path} is not there`)
  if (size !== file.sizeBytes)
    throw bad(directory, `says that ${file.name} has ${file.sizeBytes} bytes; it has ${size}`)
  const { md5, sha256 } = await digestsOf(path)
  if (md5 !== file.md5 || sha256 !== file.sha256)
    throw bad(directory, `was signed for another ${file.name} than lies there`)
}

export async function digestsOf(path: string): Promise<{ md5: string; sha256: string }> {
  const [md5, sha256] = [createHash("md5"), createHash("sha256")]
  await pipeline(createReadStream(path), async (pieces: AsyncIterable<Buffer>) => {
    for await (const piece of pieces) {
      md5.update(piece)
      sha256.update(piece)
    }
  })
  return { md5: md5.digest("hex"), sha256: sha256.digest("hex") }
}

function bad(directory: string, what: string, cause?: unknown): CahError {
  const message = `${join(directory, RELEASE_FILE)} ${what}. Copy the release anew, or sign it again: \`npm run boinc -- sign\``
  return new CahError("failed_precondition", message, cause === undefined ? {} : { cause })
}
