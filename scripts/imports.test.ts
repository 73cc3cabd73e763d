import assert from "node:assert/strict"
import { test } from "node:test"
import { circles, importsOf } from "./imports.ts"

test("every way of importing is found, types and what comes later included, and resolved", () => {
  const text = `#!/usr/bin/env node
import { a } from "./a.ts"
import type { B } from "../core/b.ts"
import "./side.ts"
import fs, { type Stats } from 'node:fs'
export * from "./all.ts"
export type { C } from "./c.ts"
const later = await import("./later.ts")
let inside: import("./inside.ts").Inside
// import { no } from "./comment.ts"
const text = 'import { no } from "./text.ts"'
import { again } from "./a.ts"
import { Client } from "@grpc/grpc-js"
`
  assert.deepEqual(
    importsOf("hub/link/x.ts", text)
      .map(({ to }) => to)
      .sort(),
    [
      "@grpc/grpc-js",
      "hub/core/b.ts",
      "hub/link/a.ts",
      "hub/link/all.ts",
      "hub/link/c.ts",
      "hub/link/inside.ts",
      "hub/link/later.ts",
      "hub/link/side.ts",
      "node:fs",
    ],
  )
})

test("a circle is found with all that are in it, and what only leads to it is not", () => {
  const edges = ["a b", "b c", "c a", "d a", "c e", "f g", "g f", "e h"]
  const imports = edges.map(edge => ({ from: edge.split(" ")[0]!, to: edge.split(" ")[1]! }))
  assert.deepEqual(circles(imports).sort(), [
    ["a", "b", "c"],
    ["f", "g"],
  ])
})
