// The version of this client, read from the package it stands in. A bundle puts its own number in this file's place.
import { readFileSync } from "node:fs"

export function clientVersion(): string {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8")
  const manifest: unknown = JSON.parse(text)
  if (typeof manifest === "object" && manifest !== null && "version" in manifest) return String(manifest.version)
  return "unknown"
}
