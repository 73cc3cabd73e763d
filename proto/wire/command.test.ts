import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { test } from "node:test"
import { COMMAND_BYTES_MAX, CommandSize, STRING_BYTES_MAX, VARIABLES_MAX, WORDS_MAX } from "./command.ts"

const said = (change: Partial<ConstructorParameters<typeof CommandSize>[0]>) => ({
  command: ["true"],
  env: {},
  parameterNames: [],
  ...change,
})
const trouble = (change: Parameters<typeof said>[0], line: string | null = null) =>
  new CommandSize(said(change)).trouble(line)
const words = (count: number) => Array.from({ length: count }, () => "a")
const variables = (count: number) => Object.fromEntries(words(count).map((_, i) => [`V${i}`, ""]))

test("F7: each bound is reached exactly, and one more is refused in words", () => {
  assert.equal(trouble({ command: words(WORDS_MAX) }), null)
  assert.match(
    trouble({ command: words(WORDS_MAX + 1) }) ?? "",
    /has 4097 words: 4096 at most; put a long list into a file/,
  )
  assert.equal(trouble({ env: variables(VARIABLES_MAX) }), null)
  assert.match(trouble({ env: variables(VARIABLES_MAX + 1) }) ?? "", /1025 environment variables are too many/)
  assert.match(trouble({ env: variables(VARIABLES_MAX), parameterNames: ["x"] }) ?? "", /1025 environment variables/)
  assert.equal(trouble({ command: ["a", "b".repeat(STRING_BYTES_MAX - 1)] }), null)
  assert.match(
    trouble({ command: ["a", "b".repeat(STRING_BYTES_MAX)] }) ?? "",
    /one argument or variable has 131073 bytes/,
  )
  const long = Array.from({ length: 20 }, () => "b".repeat(60_000))
  assert.match(trouble({ command: long }) ?? "", new RegExp(`${COMMAND_BYTES_MAX} at most`))
})

test("F7: words of a job's parameters count where they are appended, and not where the shell or names take them", () => {
  const line = "1 ".repeat(WORDS_MAX)
  assert.match(trouble({ command: ["prog", "x"] }, line) ?? "", /4098 words/)
  assert.equal(trouble({ command: ["prog"] }, line), null)
  assert.equal(trouble({ command: ["prog", "x"], parameterNames: ["p"] }, `["${line}"]`), null)
})

test("F7: Linux runs what is just within the bounds", t => {
  if (process.platform !== "linux") return t.skip("this is about Linux")
  const env = Object.fromEntries(Array.from({ length: VARIABLES_MAX }, (_, i) => [`V${i}`, "x".repeat(400)]))
  const args = Array.from({ length: WORDS_MAX - 1 }, () => "y".repeat(120))
  assert.equal(trouble({ command: ["/bin/true", ...args], env }), null)
  const { error, status } = spawnSync("/bin/true", args, { env: { ...env, CAH_PARAMETERS: "z".repeat(16_384) } })
  assert.deepEqual([error, status], [undefined, 0])
})
