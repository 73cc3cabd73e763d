import assert from "node:assert/strict"
import { Readable } from "node:stream"
import { test } from "node:test"
import { readParameterFile, readParameters } from "./parameters.ts"

const read = (...chunks: (string | Buffer)[]) => readParameters("p.txt", Readable.from(chunks))

test("blank lines and comments are skipped, the rest is kept as it is", async () => {
  assert.deepEqual(await read("# seeds\n1 2\n\n  \n  # more\n", '"a b" c\r\nlast'), ["1 2", '"a b" c', "last"])
})

test("a line may be cut anywhere between two reads", async () => {
  assert.deepEqual(await read(Buffer.from([0xc3]), Buffer.from([0xa9, 10])), ["é"])
})

test("errors name the line", async () => {
  await assert.rejects(read("a\n", Buffer.from([0xff, 10])), /p\.txt, line 2: is not UTF-8/)
  await assert.rejects(read("a\nb\n\0\n"), /line 3: holds a NUL/)
  await assert.rejects(read(`${"x".repeat(16 * 1024 + 1)}\n`), /line 1: longer than 16384 bytes/)
  assert.equal((await read("x".repeat(16 * 1024))).length, 1)
})

test("a file without a single job is refused", async () => {
  await assert.rejects(read(""), /holds no parameters/)
  await assert.rejects(read("# only\n\n"), /holds no parameters/)
  await assert.rejects(readParameterFile("/nowhere/at/all"), /cannot be read/)
  await assert.rejects(readParameterFile("/"), /not a file|cannot be read/)
})
