#!/usr/bin/env node
// Starts the scientist's client. The names oarsub, oarstat, … are links to this file, told apart by the name it was called by.
import { basename } from "node:path"
import { launch } from "../../release/launch.mjs"

/** Until the program is loaded and takes over. */
function early() {
  process.stderr.write("cah: Interrupted.\n     Nothing was done.\n")
  process.exit(130)
}
process.on("SIGINT", early)

const name = basename(process.argv[1] || "", ".mjs")
launch("cah", "client/main.ts", ({ main }) => main(name, () => process.off("SIGINT", early)))
