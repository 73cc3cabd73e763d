// Whether a database is still where it was opened. Removed, moved away or unmounted, its file goes on taking writes as long as it is
// open, and all that was acknowledged would be gone with the process: so each transaction looks first.
import { statSync } from "node:fs"
import { CahError } from "../../core/errors.ts"

/** Which file it is, as the kernel tells files apart; null: there is none. */
export function placeOf(file: string): string | null {
  const stat = statSync(file, { bigint: true, throwIfNoEntry: false })
  return stat === undefined ? null : `${stat.dev}.${stat.ino}`
}

/** CahError unavailable when there is no such file, or another one than that; `place` null: whichever. */
export function demandThere(file: string, place: string | null): void {
  const found = placeOf(file)
  if (found !== null && (place === null || found === place)) return
  const what = found === null ? "is not there any more" : "is not the file any more that the hub opened"
  const message = `${file} ${what}: the data directory was removed, replaced or unmounted; bring it back, and the hub goes on`
  throw new CahError("unavailable", message)
}
