import assert from "node:assert/strict"
import { test } from "node:test"
import { GlobError, matcher } from "./glob.ts"

const cases: [pattern: string, yes: string[], no: string[]][] = [
  ["*.png", ["a.png", "frame-01.png"], ["a.jpg", "out/a.png", ".hidden.png", "a.png.bak"]],
  ["out/*.png", ["out/a.png"], ["out/x/a.png", "a.png"]],
  ["ou*", ["out", "out/", "out/a", "out/.hidden", "out/x/y"], ["a", "x/out"]],
  ["ou*/", ["out/", "out/a", "out/x/y"], ["out", "a"]],
  ["*", ["a", "a/b", "a/.b"], [".a", ".a/b"]],
  ["**/*.png", ["a.png", "x/a.png", "x/y/a.png"], ["x/a.jpg", ".git/a.png"]],
  ["out/**", ["out/a", "out/x/y"], ["outer/a"]],
  ["a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["a/x", "b"]],
  ["frame-??.png", ["frame-01.png"], ["frame-1.png", "frame-001.png"]],
  ["[a-c]x[!0-9]", ["axz", "cxy"], ["dxz", "ax1"]],
  ["[]x]", ["]", "x"], ["y"]],
  ["{a,b}.{txt,c{1,2}}", ["a.txt", "b.c1", "a.c2"], ["c.txt", "a.c3"]],
  ["{single}", ["{single}"], ["single"]],
  ["results", ["results", "results/a", "results/x/y"], ["results2/a"]],
  ["results/", ["results/a", "results/x/y"], ["a"]],
  ["./out.txt", ["out.txt"], ["x/out.txt"]],
  ["\\*", ["*"], ["a"]],
  [".*", [".profile"], ["profile"]],
  ["*\u00e9*", ["caf\u00e9.txt", "cafe\u0301.txt"], ["cafe.txt"]],
]
for (const [pattern, yes, no] of cases) {
  test(`${pattern} matches ${yes.join(", ")} and not ${no.join(", ")}`, () => {
    const match = matcher([pattern])
    for (const path of yes) assert.equal(match(path), true, path)
    for (const path of no) assert.equal(match(path), false, path)
  })
}

test("any of several patterns is enough, and none matches nothing", () => {
  assert.equal(matcher(["*.a", "*.b"])("x.b"), true)
  assert.equal(matcher([])("x.b"), false)
})

test("patterns that cannot be meant are refused with a reason", () => {
  assert.throws(() => matcher([""]), GlobError)
  assert.throws(() => matcher(["/etc/*"]), /relative/)
  assert.throws(() => matcher(["../x"]), /cannot leave/)
  assert.throws(() => matcher(["[abc"]), /without/)
  assert.throws(() => matcher(["x".repeat(2000)]), /longer/)
  assert.throws(() => matcher(["{a,b}".repeat(20)]), /1024/)
})

test("a pattern made to explode a backtracking matcher is answered at once", () => {
  const match = matcher([`${"*a".repeat(200)}b`, `${"**/".repeat(100)}b`])
  const begin = performance.now()
  assert.equal(match("a".repeat(255)), false)
  assert.equal(match(Array(32).fill("a").join("/")), false)
  assert.ok(performance.now() - begin < 500)
})
