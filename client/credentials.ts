// Tokens: one per hub, in one file of mode 0600, and token files that the user names. A file that others can read is
// refused with the command that mends it. Nothing here prints, and no error holds more of a secret than its length.
import { randomBytes } from "node:crypto"
import { open, readFile, rename, rm, stat } from "node:fs/promises"
import { dirname } from "node:path"
import { ClientError, usage } from "./errors.ts"
import { makeFolder } from "./folders.ts"
import { CONFIG_MAX_BYTES, TOKEN_MAX_BYTES } from "./limits.ts"

export interface Credentials {
  /** The hub of the last login, by its origin. */
  readonly current: string | null
  readonly tokens: Readonly<Record<string, string>>
}

export const noCredentials: Credentials = { current: null, tokens: {} }

/** No file is no credentials; a damaged or readable one is an error. */
export async function loadCredentials(path: string): Promise<Credentials> {
  const text = await readSecret(path, CONFIG_MAX_BYTES).catch(thrown => {
    if (isMissing(thrown)) return null
    throw thrown
  })
  if (text === null) return noCredentials
  const damaged = () =>
    new ClientError("local", `${path} is damaged.`, { hint: `Remove it (rm ${path}) and log in again: cah login` })
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // The parser's own message would quote the file, and the file is secrets.
    throw damaged()
  }
  if (typeof value !== "object" || value === null || !("tokens" in value)) throw damaged()
  const { tokens } = value
  const current = "current" in value ? value.current : null
  if (typeof tokens !== "object" || tokens === null || (current !== null && typeof current !== "string"))
    throw damaged()
  const entries = Object.entries(tokens)
  if (!entries.every((entry): entry is [string, string] => typeof entry[1] === "string")) throw damaged()
  return { current, tokens: Object.fromEntries(entries) }
}

/** Written beside and renamed, so that a crash leaves the old file or the new one. */
export async function saveCredentials(path: string, credentials: Credentials): Promise<void> {
  await makeFolder(dirname(path), 0o700)
  const beside = `${path}.${randomBytes(6).toString("hex")}`
  const file = await open(beside, "wx", 0o600)
  try {
    await file.writeFile(`${JSON.stringify(credentials, null, 2)}\n`)
    await file.sync()
    await file.close()
    await rename(beside, path)
  } catch (thrown) {
    await file.close().catch(() => {})
    await rm(beside, { force: true })
    throw thrown
  }
}

export async function readTokenFile(path: string, origin: string): Promise<string> {
  return checkToken(await readSecretFile(path, origin, TOKEN_MAX_BYTES), path)
}

/** A token as it was typed or read, without the newline around it. */
export function checkToken(text: string, origin: string): string {
  const token = text.trim()
  if (token === "") throw usage(`${origin} holds no token.`)
  if (token.length > TOKEN_MAX_BYTES || !/^[\x21-\x7e]+$/.test(token)) {
    throw usage(`${origin} does not hold a token: ${token.length} characters, some of which no token has.`)
  }
  return token
}

/** A secret of the user's, in a file that nobody else can read. `origin` is what named it. */
export async function readSecretFile(path: string, origin: string, maxBytes: number): Promise<string> {
  return readSecret(path, maxBytes).catch(thrown => {
    if (isMissing(thrown)) throw usage(`${origin}: there is no file ${path}.`)
    throw thrown
  })
}

async function readSecret(path: string, maxBytes: number): Promise<string> {
  const status = await stat(path)
  if (!status.isFile()) throw usage(`${path} is not a file.`)
  const others = status.mode & 0o077
  if (process.platform !== "win32" && others !== 0) {
    throw new ClientError(
      "permission_denied",
      `${path} can be read or written by others (mode ${octal(status.mode)}).`,
      {
        hint: `Type: chmod 600 ${path}`,
      },
    )
  }
  if (status.size > maxBytes) throw usage(`${path} is larger than ${maxBytes} bytes: that is no secret.`)
  return readFile(path, "utf8")
}

export function octal(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, "0")
}

function isMissing(thrown: unknown): boolean {
  return thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT"
}
