#!/usr/bin/env node
// Starts the hub.
import { launch } from "../../release/launch.mjs"

launch("cah-hub", "hub/main.ts", ({ main }) => main())
