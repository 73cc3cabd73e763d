// The version of this client, as its package says. Not read at run time: a bundle carries it.
import manifest from "../package.json" with { type: "json" }

export function clientVersion(): string {
  return manifest.version
}
