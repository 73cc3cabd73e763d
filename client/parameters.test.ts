import assert from "node:assert/strict"
import { test } from "node:test"
import { joinParameters, parseParameters } from "./parameters.ts"

const parse = (text: string | Buffer) => parseParameters("p.txt", Buffer.from(text))

test("blank lines and comments are skipped, the rest is kept as it is", () => {
  assert.deepEqual(parse('# seeds\n1 2\n\n  \n  # more\n"a b" c\r\nlast'), ["1 2", '"a b" c', "last"])
})

test("errors name the line, and where they can the column", () => {
  const bad: readonly (readonly [text: string | Buffer, error: RegExp])[] = [
    [Buffer.from([97, 10, 0xff, 10]), /p\.txt, line 2: is not UTF-8/],
    ["a\nb\n\0\n", /line 3: holds a NUL/],
    [`${"x".repeat(16 * 1024 + 1)}\n`, /line 1: longer than 16384 bytes/],
    ["1\n2\n# it's\nit's\n", /line 4, column 3: this ' is never closed/],
    ['a "b\n', /line 1, column 3: this " is never closed/],
    ["a\\", /line 1, column 2: a backslash/],
    ["", /holds no parameters/],
    ["# only\n\n", /holds no parameters/],
  ]
  for (const [text, error] of bad) assert.throws(() => parse(text), error)
  assert.equal(parse("x".repeat(16 * 1024)).length, 1)
})

test("quotes reach a program as one argument, and nothing in them is expanded", () => {
  assert.deepEqual(joinParameters(["./p", "-x"], ["1 2", "3 $4"]), { command: ["./p", "-x"], lines: ["1 2", "3 $4"] })
  assert.deepEqual(joinParameters(["./p it", "-x"], ['"a b" $c', "d"]), {
    command: ["'./p it' -x"],
    lines: ["'a b' '$c'", "d"],
  })
  assert.deepEqual(joinParameters(["./p | sort"], ["'a b' $HOME"]), {
    command: ["./p | sort"],
    lines: ["'a b' $HOME"],
  })
})
