// Loads a peer's client library from bench/peers/node_modules, which is there only when somebody asked for it: types are what the
// caller says, since the project is checked without them.
import { createRequire } from "node:module"

const require = createRequire(import.meta.url)

export function library<T>(name: string): T {
  return require(name) as T
}
