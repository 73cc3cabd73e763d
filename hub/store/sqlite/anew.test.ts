// The suites once more, on a database that is copied and started after each batch.
import { rmSync } from "node:fs"
import { keepingSuite } from "../keeping.suite.ts"
import { retriesSuite } from "../retries.suite.ts"
import { storeSuite, WALL_MS } from "../store.suite.ts"
import { volunteersSuite } from "../volunteers.suite.ts"
import { journals, openTried, scratch } from "./anew.ts"

const wallMs = () => WALL_MS

for (const journal of journals) {
  const tried = async () => {
    const options = { directory: scratch(), wallMs, journal }
    let store = openTried(options)
    return {
      store,
      async restart() {
        await store.close()
        store = openTried(options)
        return store
      },
      async dispose() {
        await store.close()
        rmSync(options.directory, { recursive: true })
      },
    }
  }
  const name = `SqliteStore, started anew after each batch, with a journal of ${journal.keptCharacters} characters,`
  storeSuite(name, tried)
  keepingSuite(name, tried)
  retriesSuite(name, tried)
  volunteersSuite(name, tried)
}
