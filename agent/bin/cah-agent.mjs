#!/usr/bin/env node
// Starts the agent from wherever it is called. TypeScript is read through tsx, found from this file and told this
// project's tsconfig, so that the caller's own directory has no say. A release bundle takes this file's place.
import { fileURLToPath } from "node:url"
import { register } from "tsx/esm/api"

register({ tsconfig: fileURLToPath(new URL("../../tsconfig.json", import.meta.url)) })
const { main } = await import("../main.ts")
// A socket or a timer that somebody forgot must not keep a stopped agent alive.
process.exit(await main())
