// Uploads from volunteers' computers: one small file per launch, the launcher's log. The body streams to disk; an upload that was cut is
// taken up where it stopped, and one that comes twice changes nothing. Nobody uploads without leave that this hub gave.
import { createHash } from "node:crypto"
import { copyFile, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises"
import { join } from "node:path"
import { Turns } from "../../../common/turns.ts"
import type { HubKey } from "../../auth/key.ts"
import { CahError } from "../../core/errors.ts"
import type { Log, StoreReader } from "../../core/ports.ts"
import type { LaunchId } from "../../core/volunteers.ts"
import { LAUNCH_LOG_BYTES_MAX, LAUNCH_LOG_KEPT_MS, UPLOAD_HEADER_BYTES_MAX } from "../../limits.ts"
import type { Request } from "../../port.ts"
import { launchIdOf, logName } from "./launch.ts"
import { type Element, element, nested, readXml } from "./xml.ts"

export interface UploadParts {
  readonly store: Pick<StoreReader, "volunteers">
  readonly key: HubKey
  readonly log: Log
  readonly directory: string
  readonly wallMs: () => number
  /** Whether the disk has room. */
  readonly hasRoom: () => Promise<boolean>
}

/** BOINC's: stored; try again later; never again. */
const STORED = 0
const LATER = 1
const NEVER = -1

const DATA = Buffer.from("<data>\n")

class Refused extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

interface Asked {
  readonly name: string
  readonly sizeBytes: number
  readonly offset: number
  readonly md5: string
}

export class Uploads {
  readonly #parts: UploadParts
  readonly #turns = new Turns()

  constructor(parts: UploadParts) {
    this.#parts = parts
  }

  /** The answer's body. Rejects only when the peer went away: what it sent is kept. */
  async handle(request: Request): Promise<string> {
    const pieces = (request as AsyncIterable<Buffer>)[Symbol.asyncIterator]()
    try {
      const { header, rest } = await readHeader(pieces)
      const root = readXml(header, "data_server_request")
      if (root.has("get_file_size")) return sizeReply(await this.#sizeOf(this.#allowedName(root.text("get_file_size"))))
      const asked = this.#asked(root)
      // Two bodies for one file at once: the second waits, and finds it complete.
      await this.#turns.take(asked.name, () => this.#store(asked, rest, pieces))
      return reply(STORED)
    } catch (thrown) {
      if (thrown instanceof Refused) return reply(thrown.status, thrown.message)
      if (thrown instanceof CahError && thrown.code === "invalid_argument") return reply(NEVER, thrown.message)
      throw thrown
    }
  }

  /** Removes what is older than it is kept for. */
  async sweep(): Promise<void> {
    const names = await readdir(this.#parts.directory).catch(() => [])
    for (const name of names) {
      const path = join(this.#parts.directory, name)
      const { mtimeMs } = await stat(path)
      if (this.#parts.wallMs() - mtimeMs > LAUNCH_LOG_KEPT_MS) await rm(path, { force: true })
    }
  }

  /** All that computers of a forgotten volunteer sent. */
  async forget(launches: readonly { id: LaunchId; madeAt: number }[]): Promise<void> {
    for (const launch of launches) {
      const name = logName(launch)
      const path = this.#path(name)
      await this.#turns.take(name, async () => {
        for (const each of [path, `${path}.part`]) await rm(each, { force: true })
      })
    }
  }

  #path(name: string): string {
    return join(this.#parts.directory, name)
  }

  /** Of a launch of ours, for a volunteer who was not forgotten. */
  #allowedName(name: string): string {
    const { volunteers } = this.#parts.store
    const id = name.endsWith("_log") ? launchIdOf(name.slice(0, -"_log".length)) : null
    const launch = id === null ? null : volunteers.launch(id as LaunchId)
    if (launch === null || logName(launch) !== name) throw new Refused(NEVER, "this hub expects no file of that name")
    const host = volunteers.host(launch.host)
    const owner = host === null ? null : volunteers.volunteer(host.volunteer)
    if (owner === null || owner.forgottenAt !== null)
      throw new Refused(NEVER, "the account of this computer was deleted")
    return name
  }

  #asked(root: Element): Asked {
    const upload = root.one("file_upload")
    const info = upload.one("file_info")
    const name = this.#allowedName(info.text("name"))
    const maxBytes = info.count("max_nbytes")
    if (!this.#parts.key.isUploadLeave(name, maxBytes, info.text("xml_signature"))) {
      throw new Refused(NEVER, "this hub gave no leave for this upload")
    }
    const asked = {
      name,
      sizeBytes: upload.count("nbytes"),
      offset: upload.count("offset"),
      md5: upload.text("md5_cksum"),
    }
    if (asked.sizeBytes > Math.min(maxBytes, LAUNCH_LOG_BYTES_MAX)) {
      throw new Refused(NEVER, `the file has ${asked.sizeBytes} bytes; at most ${maxBytes} are taken`)
    }
    if (asked.offset > asked.sizeBytes || !/^[0-9a-f]{32}$/.test(asked.md5))
      throw new Refused(NEVER, "this is no upload")
    return asked
  }

  /** Bytes that are here. Of one that is under way, though another came whole before: from there the client goes on. */
  async #sizeOf(name: string): Promise<number> {
    return (await sizeOf(`${this.#path(name)}.part`)) ?? (await sizeOf(this.#path(name))) ?? 0
  }

  async #store(asked: Asked, first: Buffer, more: AsyncIterator<Buffer>): Promise<void> {
    // It may have waited for its turn while its volunteer was forgotten.
    this.#allowedName(asked.name)
    const path = this.#path(asked.name)
    if ((await sizeOf(path)) !== null && (await md5Of(path)) === asked.md5) return
    if (!(await this.#parts.hasRoom())) throw new Refused(LATER, "the hub's disk is full just now")
    await mkdir(this.#parts.directory, { recursive: true, mode: 0o700 })
    const part = `${path}.part`
    const here = (await sizeOf(part)) ?? (await begunWith(path, part))
    if (asked.offset > here) throw new Refused(LATER, `${here} bytes are here: go on from there`)
    await append(part, asked, first, more)
    if ((await md5Of(part)) !== asked.md5) {
      // Also the one that came whole: its size is what the client would be told to go on from.
      for (const each of [part, path]) await rm(each, { force: true })
      throw new Refused(LATER, "the file did not arrive as it was sent: send it again from the beginning")
    }
    await rename(part, path)
    this.#parts.log.debug({ file: asked.name, bytes: asked.sizeBytes }, "a file of a launch arrived")
  }
}

/** A log that came whole and has grown since: the client was told its size, and sends what is new. The sum at the end says whether it is so. */
async function begunWith(path: string, part: string): Promise<number> {
  const whole = await sizeOf(path)
  if (whole === null) return 0
  await copyFile(path, part)
  return whole
}

/** Writes from the offset on. Whatever came is on disk when the peer goes away in between. */
async function append(path: string, asked: Asked, first: Buffer, more: AsyncIterator<Buffer>): Promise<void> {
  const file = await open(path, asked.offset === 0 ? "w" : "r+", 0o600)
  try {
    await file.truncate(asked.offset)
    let at = asked.offset
    for (let piece: Buffer | null = first; piece !== null; piece = await next(more)) {
      if (at + piece.length > asked.sizeBytes)
        throw new Refused(NEVER, `more came than the ${asked.sizeBytes} bytes it was said to have`)
      await file.write(piece, 0, piece.length, at)
      at += piece.length
    }
    if (at < asked.sizeBytes) throw new Refused(LATER, `${at} of ${asked.sizeBytes} bytes came: go on from there`)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Up to the data, which begins right after its tag and has no end but that of the body. */
async function readHeader(pieces: AsyncIterator<Buffer>): Promise<{ header: string; rest: Buffer }> {
  const held = Buffer.alloc(UPLOAD_HEADER_BYTES_MAX + DATA.length)
  let length = 0
  for (let piece = await next(pieces); piece !== null; piece = await next(pieces)) {
    const taken = piece.copy(held, length)
    // A tag that came in two pieces begins before this one; all that is before was searched.
    const at = held.subarray(0, length + taken).indexOf(DATA, Math.max(0, length - DATA.length + 1))
    if (at >= 0) {
      const rest = piece.subarray(at + DATA.length - length)
      return { header: held.toString("utf8", 0, at), rest }
    }
    length += taken
    if (length === held.length) throw new Refused(NEVER, "this is no upload: it has no data where it should")
  }
  return { header: held.toString("utf8", 0, length), rest: Buffer.alloc(0) }
}

async function next(pieces: AsyncIterator<Buffer>): Promise<Buffer | null> {
  const piece = await pieces.next()
  return piece.done ? null : piece.value
}

async function sizeOf(path: string): Promise<number | null> {
  return stat(path).then(
    ({ size }) => size,
    () => null,
  )
}

async function md5Of(path: string): Promise<string> {
  return createHash("md5")
    .update(await readFile(path))
    .digest("hex")
}

function sizeReply(bytes: number): string {
  return nested("data_server_reply", element("status", STORED), element("file_size", bytes))
}

function reply(status: number, message: string | null = null): string {
  return nested("data_server_reply", element("status", status), element("message", message))
}
