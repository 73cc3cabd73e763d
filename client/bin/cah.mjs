#!/usr/bin/env node
// Starts the scientist's client from wherever it is called. TypeScript is read through tsx, found from this file and
// told this project's tsconfig, so that the caller's own directory has no say. A release bundle takes this file's place.
// The names oarsub, oarstat, … are links to it, told apart by the name it was called by.
import { basename } from "node:path"
import { fileURLToPath } from "node:url"

/** Until the program is loaded and takes over. */
function early() {
  process.stderr.write("cah: Interrupted.\n     Nothing was done.\n")
  process.exit(130)
}
process.on("SIGINT", early)

try {
  process.cwd()
} catch {
  process.stderr.write("cah: The folder that you are in is gone.\n     Go to one that is there: cd\n")
  process.exit(1)
}

const { register } = await import("tsx/esm/api")
register({ tsconfig: fileURLToPath(new URL("../../tsconfig.json", import.meta.url)) })
const { main } = await import("../main.ts")
await main(basename(process.argv[1] ?? "", ".mjs"), () => process.off("SIGINT", early))
