#!/usr/bin/env node
// Starts the agent. A socket or a timer that was left open must not keep a stopped agent alive.
import { launch } from "../../release/launch.mjs"

launch("cah-agent", "agent/main.ts", ({ main }) => main().then(code => process.exit(code)))
