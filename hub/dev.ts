// `npm run dev`: the hub from its sources, started anew by tsx when one of them changes. Never from dist/, as bin/cah-hub.mjs would.
import { main } from "./main.ts"

await main()
