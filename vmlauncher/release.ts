// What is inside the one executable file: the release key, and the version. In a checkout there is neither a key nor an executable.
import { getAsset, isSea } from "node:sea"
import { fileURLToPath } from "node:url"
import manifest from "../package.json" with { type: "json" }

export const { version } = manifest
export const RELEASE_KEY_ASSET = "release-key.pem"

/** PEM; null where none was put in. */
export function insideKey(): string | null {
  if (!isSea()) return null
  try {
    return getAsset(RELEASE_KEY_ASSET, "utf8")
  } catch {
    // Packaged without a key, for development.
    return null
  }
}

/** Starts this program again, whatever it was started from. */
export function selfCommand(): string[] {
  if (isSea()) return [process.execPath]
  // From here and from dist/ alike.
  return [process.execPath, fileURLToPath(new URL("../vmlauncher/bin/vmlauncher.mjs", import.meta.url))]
}
