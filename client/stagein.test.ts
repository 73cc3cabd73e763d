import assert from "node:assert/strict"
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, test } from "node:test"
import type { ClientError } from "./errors.ts"
import { measureStagein } from "./stagein.ts"

const home = mkdtempSync(join(tmpdir(), "cah-stagein-test-"))
after(() => rmSync(home, { recursive: true }))

let count = 0
function tree(...files: string[]): string {
  const root = join(home, `tree${count++}`)
  mkdirSync(root)
  for (const file of files) {
    mkdirSync(join(root, file, ".."), { recursive: true })
    writeFileSync(join(root, file), "x")
  }
  return root
}

async function refusal(path: string): Promise<ClientError> {
  const error = await measureStagein(path).then(
    () => null,
    (thrown: ClientError) => thrown,
  )
  assert.equal(error?.code, "bad_stagein")
  return error as ClientError
}

test("M7: inputs that are links elsewhere are all listed at once, with the flag that follows them", async () => {
  const [elsewhere, root] = [tree("genome.fa", "index/0"), tree("run.sh", "tab\there")]
  symlinkSync(join(elsewhere, "genome.fa"), join(root, "genome.fa"))
  symlinkSync(join(elsewhere, "index"), join(root, "index"))
  symlinkSync("run.sh", join(root, "again.sh"))
  const { message, hint, details } = await refusal(root)
  assert.equal(message, `Stagein ${root}: 3 of its entries cannot be sent.`)
  const [links, names, ...advice] = hint.split("\n")
  assert.equal(links, '"genome.fa", "index": a symbolic link out of the tree')
  assert.equal(names, '"tab\\there": control characters in its name')
  assert.match(advice.join("\n"), /^Follow links out of the directory: --dereference\. .*\.cahignore\.\nRename it, /)
  assert.deepEqual(
    (details as { entry: string }[]).map(({ entry }) => entry),
    ["genome.fa", "index", "tab\there"],
  )
  rmSync(join(root, "tab\there"))
  assert.equal((await measureStagein(root, { dereference: true })).entries, 5)
})

test("F9: a name that is not UTF-8 is called that, in a stagein and as one", async () => {
  const root = tree("fine")
  writeFileSync(Buffer.concat([Buffer.from(`${root}/caf`), Buffer.from([0xe9])]), "")
  const inside = await refusal(root)
  assert.match(inside.message, /: "caf\ufffd": its name is not UTF-8$/)
  assert.match(inside.hint, /^Rename it \(convmv /)
  assert.match((await refusal(join(root, "caf\ufffd"))).message, /its name is not UTF-8$/)
})

test("F8: a left-over socket is named as what it is, and can be left out", async () => {
  const root = tree("fine")
  const server = createServer().listen(join(root, "socket"))
  await new Promise(resolve => server.once("listening", resolve))
  const { message, hint } = await refusal(root)
  writeFileSync(join(root, ".cahignore"), "socket\n")
  const without = await measureStagein(root)
  server.close()
  assert.match(message, /"socket": a socket; only files and folders can be packed$/)
  assert.match(hint, /\.cahignore/)
  assert.equal(without.entries, 1)
})

test("F16: the books of an earlier get are no input", async () => {
  const [plain, fetched] = [tree("a"), tree("a", ".cah/fetched")]
  assert.deepEqual(await measureStagein(fetched), await measureStagein(plain))
})
