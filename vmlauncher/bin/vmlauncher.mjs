#!/usr/bin/env node
// Starts the launcher. A socket or a timer that was left open must not keep a launcher alive that has ended.
import { launch } from "../../release/launch.mjs"

launch("vmlauncher", "vmlauncher/main.ts", ({ main }) => main(process.argv.slice(2)).then(code => process.exit(code)))
