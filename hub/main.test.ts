// The hub as the program that people start and stop: its own process, its real files.
import assert from "node:assert/strict"
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, describe, it } from "node:test"
import { fileURLToPath } from "node:url"

const program = fileURLToPath(new URL("bin/cah-hub.mjs", import.meta.url))
const directory = mkdtempSync(join(tmpdir(), "cah-hub-"))
const running = new Set<ChildProcess>()
after(() => {
  for (const child of running) child.kill("SIGKILL")
  rmSync(directory, { recursive: true })
})

class Run {
  readonly child: ChildProcess
  out = ""
  errors = ""
  readonly exit: Promise<[code: number | null, signal: string | null]>

  constructor(...args: string[]) {
    const environment = { ...process.env, CAH_CONFIG: undefined, CAH_PORT: undefined }
    this.child = spawn(process.execPath, [program, ...args], { cwd: directory, env: environment })
    running.add(this.child)
    this.child.stdout?.on("data", chunk => {
      this.out += chunk
    })
    this.child.stderr?.on("data", chunk => {
      this.errors += chunk
    })
    this.exit = once(this.child, "close").then(([code, signal]) => {
      running.delete(this.child)
      return [code, signal]
    })
  }

  /** Until it printed this. */
  async says(text: RegExp, where: "out" | "errors" = "out"): Promise<RegExpExecArray> {
    const stream = where === "out" ? this.child.stdout : this.child.stderr
    for (;;) {
      const found = text.exec(this[where])
      if (found !== null) return found
      const ended = this.exit.then(() => "ended")
      const more = once(stream!, "data").then(() => "more")
      if ((await Promise.race([ended, more])) === "ended") throw new Error(`ended first: ${this.out}${this.errors}`)
    }
  }
}

async function whoAmI(url: string, token: string): Promise<number> {
  const headers = { "content-type": "application/json", authorization: `Bearer ${token}` }
  const answer = await fetch(`${url}/cah.v1.ScientistService/WhoAmI`, { method: "POST", headers, body: "{}" })
  return answer.status
}

async function call(url: string, token: string, method: string, body: object): Promise<Response> {
  const headers = { "content-type": "application/json", authorization: `Bearer ${token}` }
  return fetch(`${url}/cah.v1.ScientistService/${method}`, { method: "POST", headers, body: JSON.stringify(body) })
}

/** All that lies under it, with the permissions of each. */
function modesUnder(folder: string): [path: string, mode: number][] {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).map(entry => {
    const path = join(entry.parentPath, entry.name)
    return [path, statSync(path).mode & 0o777]
  })
}

describe("cah-hub", () => {
  it("O12: refuses orders in words, and is not ready, once its data directory is gone", async () => {
    const data = join(directory, "removed")
    const run = new Run("--port", "0", "--data", data)
    const [, url = ""] = await run.says(/The hub is at (http:\S+),/)
    const token = readFileSync(join(data, "admin.token"), "utf8").trim()
    const order = (key: string) =>
      call(url, token, "Submit", { idempotencyKey: key, spec: { command: ["true"], array: 1 } })
    assert.equal((await order("before")).status, 200)
    rmSync(data, { recursive: true })
    const ready = await fetch(`${url}/readyz`)
    assert.equal(ready.status, 503)
    assert.match(await ready.text(), /database: .*hub\.db is not there any more: the data directory was removed/)
    const refused = await order("after")
    assert.equal(refused.status, 503)
    const { code, message } = (await refused.json()) as { code: string; message: string }
    assert.equal(code, "unavailable")
    assert.match(message, /trouble with its disk/)
    // Not before the links were dropped either: it stays so.
    assert.equal((await order("later")).status, 503)
    assert.equal((await fetch(`${url}/readyz`)).status, 503)
    assert.equal((await fetch(`${url}/healthz`)).status, 200)
    assert.equal(existsSync(join(data, "hub.db")), false, "and makes no new database in its place")
    run.child.kill("SIGKILL")
    await run.exit
  })

  it("S12: whatever it makes in a folder of others is its user's alone, and so is what an older hub left there", async () => {
    const data = join(directory, "open")
    mkdirSync(data, { mode: 0o755 })
    chmodSync(data, 0o755)
    writeFileSync(join(data, "hub.db"), "", { mode: 0o644 })
    mkdirSync(join(data, "blobs"), { mode: 0o755 })
    const run = new Run("--port", "0", "--data", data)
    await run.says(/--enroll cahjoin_\w+/)
    const modes = modesUnder(data)
    assert.ok(modes.some(([path]) => path.endsWith("hub.db-wal")))
    assert.ok(modes.some(([path]) => path.endsWith("hub.json")))
    for (const [path, mode] of modes) assert.equal(mode & 0o077, 0, `${path} has ${mode.toString(8)}`)
    run.child.kill("SIGTERM")
    assert.deepEqual(await run.exit, [0, null])
    assert.equal(statSync(data).mode & 0o777, 0o755, "a folder that is not its own is left as it is")
  })

  it("F13: prints commands that work in any directory, and none that npm would fetch", async () => {
    const run = new Run("--port", "0", "--data", join(directory, "typed"))
    await run.says(/--enroll cahjoin_\w+/)
    assert.doesNotMatch(run.out, /npx/)
    const typedOnes = [...run.out.matchAll(/^ {4}(.*) (?:login|--hub .* --enroll) .*$/gm)].map(
      ([, command = ""]) => command,
    )
    assert.equal(typedOnes.length, 2)
    for (const command of typedOnes) {
      const { status, stdout, stderr } = spawnSync("/bin/sh", ["-c", `${command} --version`], {
        cwd: "/",
        encoding: "utf8",
      })
      assert.deepEqual([status, stderr], [0, ""], command)
      assert.match(stdout, /^\d+\.\d+\.\d+/m)
    }
    run.child.kill("SIGTERM")
    assert.deepEqual(await run.exit, [0, null])
  })

  it("O6: ends in words and with a code when its certificate will not do", async () => {
    const [cert, key] = [join(directory, "bad.pem"), join(directory, "bad.key")]
    for (const file of [cert, key]) writeFileSync(file, "junk")
    const run = new Run("--port", "0", "--data", "bad", "--tls-cert", cert, "--tls-key", key)
    assert.deepEqual(await run.exit, [1, null])
    assert.match(
      run.errors,
      /^cah-hub: --tls-cert \S+bad\.pem holds no certificate in PEM: it must begin with[^\n]*\n$/,
    )
  })

  it("O6: goes on at SIGHUP, which reads anew what may change", async () => {
    const run = new Run("--port", "0", "--data", "hangup")
    const [, url = ""] = await run.says(/cah-agent\S* --hub (\S+) --enroll/)
    run.child.kill("SIGHUP")
    await run.says(/SIGHUP: what may change while the hub runs is read anew/, "errors")
    assert.equal((await fetch(`${url}/healthz`)).status, 200)
    run.child.kill("SIGTERM")
    assert.deepEqual(await run.exit, [0, null])
  })

  it("starts without a configuration, says how to go on, and stops clean at SIGTERM", async () => {
    const data = join(directory, "data")
    const run = new Run("--port", "0")
    const [, url = ""] = await run.says(/cah-agent\S* --hub (\S+) --enroll cahjoin_\w+/)
    assert.match(run.out, /The first admin token is in data\/admin\.token/)
    const told = JSON.parse(readFileSync(join(data, "hub.json"), "utf8"))
    assert.deepEqual([told.url, told.pid], [url, run.child.pid])
    assert.equal(statSync(join(data, "admin.token")).mode & 0o777, 0o600)
    assert.equal(statSync(data).mode & 0o777, 0o700)
    const token = readFileSync(join(data, "admin.token"), "utf8").trim()
    assert.equal(await whoAmI(url, token), 200)
    assert.ok(!(run.out + run.errors).includes(token), "the admin token is in the file only")

    const port = new URL(url).port
    const inUse = new Run("--port", port, "--data", "other")
    assert.deepEqual(await inUse.exit, [1, null])
    assert.match(inUse.errors, new RegExp(`^cah-hub: port ${port} on 127\\.0\\.0\\.1 is in use: [^\\n]*--port\\n$`))

    const twice = new Run("--port", "0")
    assert.deepEqual(await twice.exit, [1, null])
    assert.match(twice.errors, /^cah-hub: another hub \([^)]*\) is using data: [^\n]*\n$/)

    run.child.kill("SIGTERM")
    assert.deepEqual(await run.exit, [0, null])
    assert.ok(!existsSync(join(data, "hub.json")))
    assert.ok(!existsSync(join(data, "hub.db-wal")), "the write-ahead log went into the database")
  })

  it("knows its tokens again after a SIGKILL, and makes no second admin token", async () => {
    const args = ["--port", "0", "--data", "killed"]
    const first = new Run(...args)
    await first.says(/--enroll/)
    const token = readFileSync(join(directory, "killed", "admin.token"), "utf8").trim()
    first.child.kill("SIGKILL")
    await first.exit
    const second = new Run(...args)
    const [, url = ""] = await second.says(/The hub is at (\S+),/)
    assert.equal(await whoAmI(url, token), 200)
    assert.equal(readFileSync(join(directory, "killed", "admin.token"), "utf8").trim(), token)
    second.child.kill("SIGINT")
    assert.deepEqual(await second.exit, [0, null])
  })

  it("O2: says aloud that it made a new database, once, and where", async () => {
    const args = ["--port", "0", "--data", "anew"]
    const first = new Run(...args)
    await first.says(/--enroll/)
    assert.match(first.out, /A new database was made in \/\S*anew: this hub knows no node, user or campaign yet\./)
    assert.match(first.errors, /a new database was made/)
    first.child.kill("SIGTERM")
    await first.exit
    const second = new Run(...args, "--init")
    await second.says(/--enroll/)
    assert.doesNotMatch(second.out, /new database/)
    second.child.kill("SIGTERM")
    await second.exit
  })

  it("stops at once at a second signal", async () => {
    const run = new Run("--port", "0", "--data", "twice")
    const [, url = ""] = await run.says(/The hub is at (\S+),/)
    // A caller that has said one byte holds the drain for as long as the port is patient with it.
    const socket = connect(Number(new URL(url).port), "127.0.0.1")
    await once(socket, "connect")
    socket.on("error", () => {})
    socket.write("P")
    run.child.kill("SIGTERM")
    await run.says(/a second signal stops it at once/, "errors")
    run.child.kill("SIGTERM")
    assert.deepEqual(await run.exit, [143, null])
    socket.destroy()
  })

  it("answers wrong usage with one sentence and exit code 2, and help with 0", async () => {
    const wrong = new Run("--prot", "1")
    const help = new Run("--help")
    const version = new Run("--version")
    assert.deepEqual(await wrong.exit, [2, null])
    assert.equal(wrong.errors, "cah-hub: unknown option --prot: did you mean --port?\n")
    assert.deepEqual(await help.exit, [0, null])
    assert.match(help.out, /--tls-cert FILE/)
    assert.deepEqual(await version.exit, [0, null])
    assert.match(version.out, /^\d+\.\d+\.\d+\n$/)
  })

  it("O5: makes another admin token when it is stopped, and refuses a directory that is not a hub's", async () => {
    const args = ["--port", "0", "--data", "locked-out"]
    const file = join(directory, "locked-out", "admin.token")
    const first = new Run(...args)
    await first.says(/--enroll/)
    const running = new Run("admin-token", "--data", "locked-out")
    assert.deepEqual(await running.exit, [1, null])
    assert.match(running.errors, /^cah-hub: another hub \([^)]*\) is using locked-out: /)
    first.child.kill("SIGTERM")
    await first.exit
    rmSync(file)
    const made = new Run("admin-token", "--data", "locked-out")
    assert.deepEqual(await made.exit, [0, null])
    assert.match(made.out, /^An admin token is in locked-out\/admin\.token\. Older ones still hold/)
    const second = new Run(...args)
    const [, url = ""] = await second.says(/The hub is at (\S+),/)
    assert.equal(await whoAmI(url, readFileSync(file, "utf8").trim()), 200)
    second.child.kill("SIGTERM")
    await second.exit

    const nothing = new Run("admin-token", "--data", "nowhere")
    assert.deepEqual(await nothing.exit, [1, null])
    assert.equal(
      nothing.errors,
      "cah-hub: there is no hub's database in nowhere: name its data directory with --data\n",
    )
  })

  it("O5: says what a restore lacks", async () => {
    const without = new Run("restore")
    const empty = new Run("restore", ".", "--data", "elsewhere")
    assert.deepEqual(await without.exit, [2, null])
    assert.match(without.errors, /^cah-hub: restore from where\? cah-hub restore BACKUPS/)
    assert.deepEqual(await empty.exit, [1, null])
    assert.match(empty.errors, /^cah-hub: there is no backup in /)
  })
})
