#!/usr/bin/env node
// Starts the launcher from wherever it is called. TypeScript is read through tsx, found from this file and told this
// project's tsconfig, so that the caller's own directory has no say. In a release one executable takes this file's place.
import { fileURLToPath } from "node:url"
import { register } from "tsx/esm/api"

register({ tsconfig: fileURLToPath(new URL("../../tsconfig.json", import.meta.url)) })
const { main } = await import("../main.ts")
// A socket or a timer that somebody forgot must not keep a launcher alive that has ended.
process.exit(await main(process.argv.slice(2)))
