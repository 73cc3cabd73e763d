// How a person here types our programs, so that what the hub prints works in any directory. Never by npx: where it does not find a program it
// asks npm for a package of that name, which would be a stranger's.
import { existsSync, realpathSync } from "node:fs"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"

const files = {
  cah: fileURLToPath(new URL("../client/bin/cah.mjs", import.meta.url)),
  "cah-agent": fileURLToPath(new URL("../agent/bin/cah-agent.mjs", import.meta.url)),
} as const

/** Its name where it is installed, or where nothing better is known; in a checkout that is not, node with its file. */
export function typed(program: keyof typeof files, searchPath: string): string {
  const file = files[program]
  const installed = searchPath
    .split(delimiter)
    .some(directory => isUsual(directory) && leadsTo(join(directory, program), file))
  return installed || !existsSync(file) ? program : `node ${quoted(file)}`
}

/** Not one that npx or npm have put there for the time of one command. */
function isUsual(directory: string): boolean {
  return directory !== "" && !directory.includes("node_modules")
}

function leadsTo(path: string, file: string): boolean {
  return existsSync(path) && realpathSync(path) === realpathSync(file)
}

export function quoted(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}
