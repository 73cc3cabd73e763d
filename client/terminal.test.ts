import assert from "node:assert/strict"
import { test } from "node:test"
import type { Context } from "./context.ts"
import { ClientError } from "./errors.ts"
import { askSecret, askYesNo } from "./terminal.ts"

/** Somebody who types these chunks. */
function person(chunks: readonly string[]) {
  const modes: boolean[] = []
  let shown = ""
  const stdin = {
    isTTY: true,
    setRawMode: (mode: boolean) => modes.push(mode),
    async *[Symbol.asyncIterator]() {
      for (const chunk of chunks) yield Buffer.from(chunk)
    },
  }
  const write = (text: string) => {
    shown += text
    return true
  }
  return { context: { stdin, output: { stderr: { write } } } as unknown as Context, modes, shown: () => shown }
}

test("a secret is read to the end of its line, with corrections, and never shown", async () => {
  const { context, modes, shown } = person(["se", "x\u007fcret", "\rignored"])
  assert.equal(await askSecret(context, "Token: "), "secret")
  assert.equal(shown(), "Token: \n")
  assert.deepEqual(modes, [true, false])
})

test("Ctrl-C at the prompt is an interrupt, and the terminal is left as it was", async () => {
  const { context, modes } = person(["sec\u0003"])
  await assert.rejects(askSecret(context, "Token: "), error => error instanceof ClientError && error.exitCode === 130)
  assert.deepEqual(modes, [true, false])
})

test("only a clear yes is a yes", async () => {
  for (const [typed, expected] of [
    ["y\n", true],
    ["YES\n", true],
    ["\n", false],
    ["n\n", false],
    ["yesterday\n", false],
    ["", false],
  ] as const) {
    assert.equal(await askYesNo(person([typed]).context, "All?"), expected, typed)
  }
})
