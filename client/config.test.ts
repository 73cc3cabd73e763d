import assert from "node:assert/strict"
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { after, test } from "node:test"
import { checkPlainText, type Flags, hubUrl, resolveConfig } from "./config.ts"
import { checkToken, loadCredentials, noCredentials, readTokenFile, saveCredentials } from "./credentials.ts"
import { ClientError } from "./errors.ts"

const root = mkdtempSync(join(tmpdir(), "cah-config-"))
after(() => rmSync(root, { recursive: true, force: true }))
let number = 0

function place(files: { directory?: string; user?: string } = {}) {
  const home = join(root, String(number++))
  const cwd = join(home, "work")
  mkdirSync(join(home, ".config", "cah"), { recursive: true })
  mkdirSync(cwd, { recursive: true })
  if (files.directory !== undefined) writeFileSync(join(cwd, ".cah.toml"), files.directory)
  if (files.user !== undefined) writeFileSync(join(home, ".config", "cah", "config.toml"), files.user)
  const resolve = (flags: Flags = {}, environment: Record<string, string> = {}, current: string | null = null) =>
    resolveConfig(flags, { HOME: home, ...environment }, cwd, async () => ({ ...noCredentials, current }))
  return { home, cwd, resolve }
}

test("flags win over the environment, that over the directory's file, that over the user's, that over the last login", async () => {
  const files = { directory: 'hub = "http://d:1"', user: 'hub = "http://u:1"' }
  const { resolve, cwd, home } = place(files)
  const environment = { CAH_HUB: "http://e:1" }
  assert.equal((await resolve({ hub: "http://f:1" }, environment)).hub.origin, "--hub")
  assert.equal((await resolve({}, environment)).hub.origin, "CAH_HUB")
  assert.equal((await resolve()).hub.origin, join(cwd, ".cah.toml"))
  assert.equal((await place({ user: files.user }).resolve()).hub.value.host, "u:1")
  assert.equal((await place().resolve({}, {}, "http://l:1")).hub.origin, "the last login")
  assert.equal((await place().resolve()).hub.value.origin, "http://127.0.0.1:8080")
  assert.ok(home)
})

test("a hub may be named, and keeps what the file says of it when its URL is given instead", async () => {
  const { resolve } = place({ user: '[hubs.lab]\nurl = "https://lab.example:1"\nca-file = "/ca.pem"\n' })
  for (const hub of ["lab", "https://lab.example:1"]) {
    const config = await resolve({ hub })
    assert.equal(config.hub.value.origin, "https://lab.example:1")
    assert.equal(config.caFile.value, "/ca.pem")
  }
  await assert.rejects(resolve({ hub: "lba" }), /lba/)
})

test("a directory's file may choose a hub but not describe one, and unknown settings are refused by name", async () => {
  await assert.rejects(place({ directory: '[hubs.x]\nurl = "http://x:1"' }).resolve(), /may not describe hubs/)
  await assert.rejects(place({ directory: 'token-file = "/etc/passwd"' }).resolve(), /token-file is not a setting/)
  await assert.rejects(place({ directory: "hub = 3" }).resolve(), /must be a string/)
  await assert.rejects(place({ directory: "hub = " }).resolve(), /\.cah\.toml, line 1: this is not TOML/)
  await assert.rejects(place({ user: "[hubs.x]\ninsecure = true" }).resolve(), /has no url/)
})

test("a hub's URL is scheme, host and port", () => {
  assert.equal(hubUrl("http://[::1]:80", "x").origin, "http://[::1]")
  for (const text of [
    "",
    "hub",
    "hub:8080",
    "ftp://x",
    "http://",
    "http://a/b",
    "http://a/?q",
    "http://u:p@a",
    "http://a:99999",
  ]) {
    assert.throws(() => hubUrl(text, "--hub"), ClientError, text)
  }
  assert.throws(
    () => hubUrl("http://user:hunter2@a", "--hub"),
    error => !String(error).includes("hunter2"),
  )
})

test("plain text goes to this machine only, unless the user insists", async () => {
  const { resolve } = place()
  for (const hub of ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "https://far.example"]) {
    checkPlainText(await resolve({ hub }))
  }
  const far = await resolve({ hub: "http://far.example" })
  assert.throws(() => checkPlainText(far), /plain text/)
  checkPlainText(await resolve({ hub: "http://far.example", insecure: true }))
  checkPlainText(await resolve({ hub: "http://far.example" }, { CAH_INSECURE: "1" }))
  await assert.rejects(
    resolve({}, { CAH_INSECURE: "perhaps" }),
    /^ClientError: CAH_INSECURE: must be true or false, not "perhaps"/,
  )
})

test("credentials are kept in a file of mode 0600 and come back", async () => {
  const { home } = place()
  const path = join(home, "state", "cah", "credentials")
  assert.deepEqual(await loadCredentials(path), noCredentials)
  const credentials = { current: "http://a", tokens: { "http://a": "secret-a" } }
  await saveCredentials(path, credentials)
  assert.equal(statSync(path).mode & 0o777, 0o600)
  assert.equal(statSync(dirname(path)).mode & 0o777, 0o700)
  assert.deepEqual(await loadCredentials(path), credentials)
})

test("secrets that others can read are refused with the command that mends it", async () => {
  const { home } = place()
  const path = join(home, "token")
  writeFileSync(path, "secret-b\n")
  for (const mode of [0o644, 0o640, 0o602, 0o660]) {
    chmodSync(path, mode)
    const wide = (error: unknown) =>
      error instanceof ClientError && error.exitCode === 4 && error.hint === `Type: chmod 600 ${path}`
    await assert.rejects(readTokenFile(path, "--token-file"), wide)
    await assert.rejects(loadCredentials(path), wide)
  }
  chmodSync(path, 0o600)
  assert.equal(await readTokenFile(path, "--token-file"), "secret-b")
})

test("damaged secrets are never quoted", async () => {
  const { home } = place()
  const path = join(home, "credentials")
  for (const text of [
    "secret-c",
    '{"tokens":{"http://a":"secret-c"',
    '{"tokens":["secret-c"],"current":5}',
    '{"tokens":{"a":{"secret-c":1}}}',
  ]) {
    writeFileSync(path, text, { mode: 0o600 })
    await assert.rejects(
      loadCredentials(path),
      error => error instanceof ClientError && !JSON.stringify([error.message, error.hint]).includes("secret-c"),
    )
    assert.equal(readFileSync(path, "utf8"), text)
  }
  for (const text of ["", "  ", "two words", "tab\there", "ü", "x".repeat(5_000)]) {
    assert.throws(
      () => checkToken(text, "stdin"),
      error => !String(error).includes("words"),
      text.slice(0, 9),
    )
  }
})
