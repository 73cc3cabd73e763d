// Contexts: hubs by a name, as [hubs.NAME] sections of the user's config.toml. Added and removed as text, so that comments and order of the
// file stay the user's; what comes out is parsed again before it is written. Knows no verb and prints nothing.
import { readFile, rename, rm, writeFile } from "node:fs/promises"
import { dirname } from "node:path"
import { parse, stringify } from "smol-toml"
import { ClientError, usage } from "./errors.ts"
import { makeFolder } from "./folders.ts"

export interface ContextSettings {
  readonly url: string
  readonly "ca-file"?: string
  readonly "token-file"?: string
  readonly insecure?: boolean
}

export function checkContextName(name: string): string {
  if (/^[A-Za-z][\w-]{0,63}$/.test(name)) return name
  throw usage(
    `"${name}" is not a name for a context.`,
    "Letters, digits, _ and -, a letter first, at most 64: cah context add lab URL",
  )
}

export async function addContext(path: string, name: string, settings: ContextSettings): Promise<void> {
  const before = await textOf(path)
  const text = before === "" || before.endsWith("\n") ? before : `${before}\n`
  await write(path, `${text}${text === "" ? "" : "\n"}[hubs.${name}]\n${stringify(settings)}`, hubs => {
    return Object.hasOwn(hubs, name)
  })
}

/** The section from its header up to the next one. */
export async function removeContext(path: string, name: string): Promise<void> {
  const lines = (await textOf(path)).split("\n")
  const begins = lines.findIndex(line => new RegExp(`^\\s*\\[\\s*hubs\\s*\\.\\s*(["']?)${name}\\1\\s*\\]`).test(line))
  if (begins === -1) throw byHand(path, name)
  const length = lines.slice(begins + 1).findIndex(line => /^\s*\[/.test(line))
  const ends = length === -1 ? lines.length : begins + 1 + length
  const left = [...lines.slice(0, begins), ...lines.slice(ends)].join("\n").replace(/\n{3,}/g, "\n\n")
  await write(path, length === -1 ? `${left.trimEnd()}\n` : left, hubs => !Object.hasOwn(hubs, name))
}

async function textOf(path: string): Promise<string> {
  return readFile(path, "utf8").catch(thrown => {
    if (thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT") return ""
    throw ClientError.from(thrown)
  })
}

/** Beside and renamed, so that a crash leaves the old file or the new one. */
async function write(path: string, text: string, isRight: (hubs: Record<string, unknown>) => boolean): Promise<void> {
  if (!isRight(hubsOf(path, text))) throw byHand(path, "it")
  await makeFolder(dirname(path), 0o700)
  const beside = `${path}.${process.pid}`
  try {
    await writeFile(beside, text, { flag: "wx" })
    await rename(beside, path)
  } catch (thrown) {
    await rm(beside, { force: true })
    throw ClientError.from(thrown)
  }
}

function hubsOf(path: string, text: string): Record<string, unknown> {
  try {
    return (parse(text) as { hubs?: Record<string, unknown> }).hubs ?? {}
  } catch {
    // It was read when we began: `hubs = {…}` takes no section after it.
    throw byHand(path, "its hubs")
  }
}

function byHand(path: string, name: string): ClientError {
  return new ClientError("local", `${path} describes ${name} in a form that is not changed by program.`, {
    hint: `Edit it yourself: ${path}`,
  })
}
