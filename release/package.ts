// Makes what is handed out, into dist/: `npm run package` makes all, `npm run package -- vmlauncher` one. Each part is a file in release/package/.
// Needs no network beyond what a part says it needs.
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { ApplianceError } from "../appliance/errors.ts"
import { root } from "../scripts/files.ts"
import { packageAppliance } from "./package/appliance.ts"
import { packageDeb } from "./package/deb.ts"
import { PackageError } from "./package/errors.ts"
import { packageNpm } from "./package/npm.ts"
import { packageLauncher } from "./package/vmlauncher.ts"

/** Each makes its files in the directory, and says what it made. Flags are its own. */
const parts: Readonly<Record<string, (directory: string, flags: readonly string[]) => Promise<void>>> = {
  appliance: packageAppliance,
  deb: packageDeb,
  npm: packageNpm,
  vmlauncher: packageLauncher,
}

async function main([name, ...flags]: readonly string[]): Promise<number> {
  const directory = join(root, "dist")
  const wanted = name === undefined ? Object.entries(parts) : Object.entries(parts).filter(([part]) => part === name)
  if (wanted.length === 0) {
    console.error(`"${name}" is nothing that can be packaged; there are ${Object.keys(parts).join(", ")}`)
    return 2
  }
  mkdirSync(directory, { recursive: true })
  for (const [, make] of wanted) await make(directory, flags)
  return 0
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  const isUse = String((error as NodeJS.ErrnoException).code).startsWith("ERR_PARSE_ARGS")
  if (!isUse && !(error instanceof PackageError) && !(error instanceof ApplianceError)) throw error
  console.error(`package: ${(error as Error).message}`)
  process.exitCode = isUse ? 2 : 1
}
