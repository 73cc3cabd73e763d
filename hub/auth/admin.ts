// The first way in: while nobody could administrate the hub, a start makes a token and puts it in a file that only the
// hub's user can read. Whoever can write the data directory owns the hub anyway.
import { open, rename } from "node:fs/promises"
import { join } from "node:path"
import { syncDirectory } from "../../common/disk.ts"
import type { Tokens } from "./tokens.ts"

/** The file's path and the secret in it if they were made, null if there was an admin token already. */
export async function ensureAdminToken(
  tokens: Tokens,
  directory: string,
): Promise<{ path: string; secret: string } | null> {
  return tokens.hasAdmin() ? null : writeAdminToken(tokens, directory)
}

/** Another one, beside those that there are. */
export async function writeAdminToken(tokens: Tokens, directory: string): Promise<{ path: string; secret: string }> {
  const { row, secret } = tokens.prepare("admin", ["admin"], null)
  const path = adminTokenPath(directory)
  // The file first. If we die before the row is kept, the next start finds no admin and writes another file; the
  // other way round nobody would ever have the token that is kept.
  const temporary = `${path}.new`
  const file = await open(temporary, "w", 0o600)
  try {
    await file.chmod(0o600)
    await file.writeFile(`${secret}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
  await syncDirectory(directory)
  await tokens.keep(row)
  return { path, secret }
}

export function adminTokenPath(directory: string): string {
  return join(directory, "admin.token")
}
