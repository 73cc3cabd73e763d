// Longer stories over the command line: waiting through a hub's death, fetching from strangers, logging in.
import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { describe, test } from "node:test"
import { Outcome } from "../proto/gen/cah/v1/job_pb.ts"
import { CUT, FakeHub, TOKEN } from "./fakehub.ts"
import { archive, cah, inside, place, start } from "./spawning.ts"

describe("waiting", { concurrency: 2 }, () => {
  test("outlives a hub that is killed and comes back, and says so once", async () => {
    const hub = await FakeHub.start()
    const id = hub.add({}, 2)
    const running = start(place(hub), ["wait", "last"])
    await hub.called("watchCampaign")
    hub.stop()
    await running.said("Trying again")
    hub.end(id, 0, {})
    await hub.resume()
    await running.said("is back")
    hub.end(id, 1, {})
    const done = await running.done
    assert.deepEqual([done.code, done.stderr.match(/Trying again/g)?.length], [0, 1])
    assert.match(done.stdout, /2 jobs, all finished/)
    hub.stop()
  })

  test("for some jobs notices those that ended while the watch was cut", async () => {
    const hub = await FakeHub.start()
    const id = hub.add({}, 5)
    const running = start(place(hub), ["wait", `${id}.0-1,${id}.3`])
    await hub.called("watchCampaign")
    hub.stop()
    for (const index of [0, 3]) hub.end(id, index, {})
    await running.said("Trying again")
    await hub.resume()
    await running.said("is back")
    hub.end(id, 1, { outcome: Outcome.LOST })
    const done = await running.done
    assert.deepEqual([done.code, done.stdout], [1, `Of campaign ${id}: 3 jobs, 2 finished, 1 did not.\n`])
    hub.stop()
  })

  test("ends at Ctrl-C with 130, telling that the work goes on", async () => {
    const hub = await FakeHub.start()
    hub.add({}, 2)
    const running = start(place(hub), ["wait", "1"])
    await hub.called("watchCampaign")
    running.child.kill("SIGINT")
    const done = await running.done
    assert.deepEqual(
      [done.code, done.stdout, done.stderr],
      [130, "", "cah: Interrupted.\n     The work goes on; cancel it with: cah del 1\n"],
    )
    hub.stop()
  })

  test("streams the campaign's states with -o ndjson", async () => {
    const hub = await FakeHub.start({ endOf: () => ({}) })
    hub.add({}, 2)
    const { stdout } = await cah(place(hub), ["wait", "1", "-o", "ndjson"])
    assert.equal(JSON.parse(stdout.trim().split("\n").at(-1) ?? "").campaign.counts.finished, 2)
    hub.stop()
  })

  test("S21: doctor shows the quota and warns before it is spent", async () => {
    const hub = await FakeHub.start()
    const said = await cah(place(hub), ["doctor"], { CAH_TOKEN: TOKEN })
    assert.match(
      said.stdout,
      /warn +quota +950 of 1000 jobs under way, 0 B of 1\.0 GB uploaded, 0 of 200 watches; 50 submits a second\n +→ Wait until/,
    )
    hub.stop()
  })

  test("O6: doctor says of a certificate that has expired that it has, and not that a CA is missing", async () => {
    const where = place()
    const at = (name: string): string => join(where.home, name)
    const openssl = (...args: string[]) => execFileSync("openssl", args, { stdio: "ignore", cwd: where.home })
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", at("key.pem")]
    openssl("req", "-new", ...curve, "-subj", "/CN=hub", "-out", at("request.pem"))
    const lines = ["[ca]", "default_ca=a", "[a]", "database=index", "serial=serial", "default_md=sha256"]
    const rest = ["new_certs_dir=.", "policy=p", "x509_extensions=e", "[p]", "commonName=supplied", "[e]"]
    writeFileSync(at("ca.conf"), [...lines, ...rest, "subjectAltName=IP:127.0.0.1", ""].join("\n"))
    writeFileSync(at("index"), "")
    writeFileSync(at("serial"), "01\n")
    const dates = ["-startdate", "20240101000000Z", "-enddate", "20240201000000Z"]
    const from = ["-config", "ca.conf", "-keyfile", "key.pem", "-in", "request.pem"]
    openssl("ca", "-batch", "-selfsign", "-notext", ...from, ...dates, "-out", "cert.pem")
    const hub = await FakeHub.start({ tls: { key: readFileSync(at("key.pem")), cert: readFileSync(at("cert.pem")) } })
    const said = await cah(where, ["doctor", "--hub", hub.url, "--ca-file", at("cert.pem")], { CAH_TOKEN: TOKEN })
    assert.match(said.stdout, /does not answer: certificate has expired\s+→ Tell the operator to renew it/)
    assert.doesNotMatch(said.stdout, /CA of your own/)
    hub.stop()
  })
})

describe("fetching", { concurrency: 2 }, () => {
  test("ends at Ctrl-C with 130, and goes on where it was when it is typed again", async () => {
    const stageout = await archive([[{ name: "a.txt" }, "theirs".repeat(50_000)]])
    const hub = await FakeHub.start({ endOf: () => ({ stageout }) })
    hub.add({}, 1)
    const where = place(hub)
    hub.cutDownloadsAt = Array<number>(20).fill(100)
    const running = start(where, ["get", "1", "-d", "out"])
    await running.said("Trying again")
    running.child.kill("SIGINT")
    const done = await running.done
    assert.deepEqual([done.code, done.stdout], [130, ""])
    assert.match(done.stderr, /cah: Interrupted\.\n {5}What came so far is kept; go on with the same command\.\n$/)
    hub.cutDownloadsAt = []
    assert.equal((await cah(where, ["get", "1", "-d", "out"])).code, 0)
    assert.equal(readFileSync(join(where.cwd, "out", "a.txt"), "utf8").length, 300_000)
    hub.stop()
  })

  test("skips what is complete, fetches what is missing, and never overwrites unasked", async () => {
    const stageout = await archive([[{ name: "a.txt" }, "theirs"]])
    const hub = await FakeHub.start({ endOf: () => ({ stageout, stdout: "said" }) })
    hub.add({}, 3)
    const where = place(hub)
    const get = async (...args: string[]) => cah(where, ["get", "1", "-d", "r", "-o", "json", ...args])
    assert.deepEqual(JSON.parse((await get()).stdout), {
      campaign: "1",
      directory: "r",
      fetched: 3,
      present: 0,
      empty: 0,
      notEnded: 0,
      failed: 0,
      bytes: 3 * "theirs".length,
    })
    rmSync(join(where.cwd, "r", "1"), { recursive: true })
    assert.deepEqual(
      ((r: { fetched: number; present: number }) => [r.fetched, r.present])(JSON.parse((await get()).stdout)),
      [1, 2],
    )
    assert.equal(JSON.parse((await get("--logs")).stdout).fetched, 3)
    assert.equal(readFileSync(join(where.cwd, "r", "2", "stdout"), "utf8"), "said")
    assert.deepEqual(readdirSync(join(where.cwd, "r", ".cah")), ["fetched"])

    mkdirSync(join(where.cwd, "mine", "1"), { recursive: true })
    writeFileSync(join(where.cwd, "mine", "1", "a.txt"), "mine")
    const refused = await cah(where, ["get", "1", "-d", "mine"])
    assert.equal(refused.code, 1)
    assert.match(refused.stderr, /1\.1: .*a\.txt is there already, with another content[\s\S]*--overwrite/)
    assert.equal(readFileSync(join(where.cwd, "mine", "1", "a.txt"), "utf8"), "mine")
    assert.equal(readFileSync(join(where.cwd, "mine", "2", "a.txt"), "utf8"), "theirs")
    assert.equal((await cah(where, ["get", "1", "-d", "mine", "--overwrite"])).code, 0)
    assert.equal(readFileSync(join(where.cwd, "mine", "1", "a.txt"), "utf8"), "theirs")
    hub.stop()
  })

  test("puts a single job's files into the directory itself, and all jobs' with --flat unless they clash", async () => {
    const hub = await FakeHub.start()
    const [one, two] = [await archive([[{ name: "x/one" }, "1"]]), await archive([[{ name: "x/two" }, "2"]])]
    hub.add({}, 1, () => ({ stageout: one }))
    hub.add({}, 2, index => ({ stageout: index === 0 ? one : two }))
    const clash = await archive([[{ name: "x/one" }, "other"]])
    hub.add({}, 2, index => ({ stageout: index === 0 ? one : clash }))
    const where = place(hub)
    assert.equal((await cah(where, ["get", "1"])).code, 0)
    assert.equal(readFileSync(join(where.cwd, "cah-1", "x", "one"), "utf8"), "1")
    assert.equal((await cah(where, ["get", "2", "-d", "flat", "--flat"])).code, 0)
    assert.deepEqual(readdirSync(join(where.cwd, "flat", "x")).sort(), ["one", "two"])
    const clashed = await cah(where, ["get", "3", "-d", "clash", "--flat"])
    assert.equal(clashed.code, 1)
    assert.match(clashed.stderr, /without --flat/)
    hub.stop()
  })

  test("refuses a hostile archive with 7, keeps it packed, and fetches the others", async () => {
    const good = await archive([[{ name: "fine" }, "ok"]])
    const hostile = [
      await archive([[{ name: "../escaped" }, "x"]]),
      await archive([[{ name: "/escaped" }, "x"]]),
      await archive([[{ name: "l", type: "symlink", linkname: "/etc" }], [{ name: "l/x" }, "x"]]),
      Buffer.from("this is no archive".repeat(100)),
    ]
    const hub = await FakeHub.start({ endOf: index => ({ stageout: hostile[index] ?? good }) })
    hub.add({}, hostile.length + 1)
    const where = place(hub)
    const done = await cah(where, ["get", "1"])
    assert.equal(done.code, 7)
    assert.match(done.stderr, /4 results of campaign 1 could not be fetched[\s\S]*not safe to unpack/)
    assert.equal(readFileSync(join(where.cwd, "cah-1", "4", "fine"), "utf8"), "ok")
    assert.deepEqual(readdirSync(join(where.cwd, "cah-1")).sort(), [".cah", "4"])
    assert.ok(!existsSync(join(where.cwd, "escaped")))
    assert.equal(readdirSync(join(where.cwd, "cah-1", ".cah")).filter(name => name.endsWith(".partial")).length, 4)
    hub.stop()
  })

  test("exits with 7 when bytes do not match their digest, and resumes after a cut", async () => {
    const stageout = await archive([[{ name: "big" }, randomBytes(400_000).toString("hex")]])
    const hub = await FakeHub.start({ endOf: () => ({ stageout }) })
    hub.add({}, 1)
    const where = place(hub)
    hub.damage = { bytes: randomBytes(stageout.length), times: 2 }
    const done = await cah(where, ["get", "1"])
    assert.deepEqual([done.code, done.stderr.includes("are not the result")], [7, true])
    hub.cutDownloadsAt = [200_000]
    assert.equal((await cah(where, ["get", "1"])).code, 0)
    assert.equal(statSync(join(where.cwd, "cah-1", "big")).size, 800_000)
    hub.stop()
  })
})

describe("logs", { concurrency: 2 }, () => {
  test("are bytes as they are, large ones too, and a reader may leave early", async () => {
    const text = `${"0123456789abcdef".repeat(64)}\n`.repeat(2_000)
    const hub = await FakeHub.start({ endOf: () => ({ stdout: text }) })
    hub.add({}, 1)
    const where = place(hub)
    assert.equal((await cah(where, ["logs", "1"])).stdout, text)
    const running = start(where, ["logs", "1"])
    running.child.stdout?.once("data", () => running.child.stdout?.destroy())
    const done = await running.done
    assert.deepEqual([done.code, done.stderr], [0, ""])
    hub.stop()
  })

  test("are followed while the job runs", async () => {
    const hub = await FakeHub.start()
    hub.running(hub.add({}, 1), 0)
    hub.following = ["one\n", "two\n"]
    const done = await cah(place(hub), ["logs", "-f", "last"])
    assert.deepEqual([done.code, done.stdout], [0, "one\ntwo\n"])
    hub.stop()
  })

  test("F11: are followed over a restart of the hub, going on where they were", async () => {
    const hub = await FakeHub.start()
    hub.running(hub.add({}, 1), 0)
    hub.following = ["one\n", "two\n", CUT, "three\n"]
    const done = await cah(place(hub), ["logs", "-f", "last"])
    assert.deepEqual([done.code, done.stdout], [0, "one\ntwo\nthree\n"])
    assert.match(done.stderr, /Trying again in [\s\S]* is back/)
    hub.stop()
  })
})

describe("the way to the hub", { concurrency: 2 }, () => {
  test("login takes a token from a file or stdin, tries it, keeps it 0600, and never shows it; logout forgets it", async () => {
    const hub = await FakeHub.start()
    const where = place()
    const credentials = join(where.home, ".local", "state", "cah", "credentials")
    const file = join(where.home, "token")
    writeFileSync(file, `${TOKEN}\n`, { mode: 0o600 })
    const runs = [
      await cah(where, ["whoami", "--hub", hub.url]),
      await cah(where, ["login", "--hub", hub.url], {}, "wrong-token\n"),
      await cah(where, ["login", "--hub", hub.url, "--token-file", file]),
      await cah(where, ["whoami"]),
      await cah(where, ["login", "--hub", hub.url], {}, `${TOKEN}\n`),
      await cah(where, ["doctor"], { CAH_DEBUG: "1" }),
      await cah(where, ["logout"]),
      await cah(where, ["whoami", "--hub", hub.url]),
    ]
    assert.deepEqual(
      runs.map(run => run.code),
      [4, 4, 0, 0, 0, 5, 0, 4],
    )
    assert.ok(runs.every(run => !`${run.stdout}${run.stderr}`.includes(TOKEN)))
    assert.match(runs[0]?.stderr ?? "", /cah login --hub/)
    assert.equal(statSync(credentials).mode & 0o777, 0o600)
    assert.ok(!readFileSync(credentials, "utf8").includes(TOKEN))
    hub.stop()
  })

  test("a token that others can read is refused with the chmod to type", async () => {
    const hub = await FakeHub.start()
    const where = place(hub)
    const credentials = join(where.home, ".local", "state", "cah", "credentials")
    chmodSync(credentials, 0o644)
    const done = await inside(where, ["ls"])
    assert.deepEqual([done.code, hub.calls.length], [4, 0])
    assert.ok(done.stderr.includes(`chmod 600 ${credentials}`))
    hub.stop()
  })

  test("a hub chosen by the directory gets no token from the environment", async () => {
    const hub = await FakeHub.start()
    const where = place()
    writeFileSync(join(where.cwd, ".cah.toml"), `hub = "${hub.url}"\n`)
    const done = await inside(where, ["ls"], { CAH_TOKEN: TOKEN })
    assert.deepEqual([done.code, hub.calls.length], [4, 0])
    assert.match(done.stderr, /not sent there[\s\S]*--hub/)
    assert.equal((await inside(where, ["ls", "--hub", hub.url], { CAH_TOKEN: TOKEN })).code, 0)
    hub.stop()
  })

  test("a hub that is not there exits with 5, one that refuses the token with 4", async () => {
    const hub = await FakeHub.start()
    const done = await inside(place(), ["ls", "--hub", hub.url], { CAH_TOKEN: "revoked" })
    assert.equal(done.code, 4)
    assert.match(done.stderr, /not known here[\s\S]*cah login/)
    hub.stop()
    const gone = await inside(place(), ["ls", "--hub", hub.url], { CAH_TOKEN: TOKEN })
    assert.equal(gone.code, 5)
    assert.match(gone.stderr, /does not answer: connection refused[\s\S]*cah doctor/)
  })

  test("something that is no hub exits with 5", async () => {
    // Who finds no hub hangs up, before or after our greeting.
    const server = createServer(socket => socket.on("error", () => {}).end("SSH-2.0-OpenSSH\r\n"))
    await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve))
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    assert.equal((await cah(place(), ["whoami", "--hub", `http://127.0.0.1:${port}`], { CAH_TOKEN: TOKEN })).code, 5)
    server.close()
  })

  test("TLS is used for https, trusts only what it is told to, and says what to do", async () => {
    const where = place()
    const [key, cert] = [join(where.home, "key.pem"), join(where.home, "cert.pem")]
    execFileSync(
      "openssl",
      [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=hub",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        key,
        "-out",
        cert,
      ],
      { stdio: "ignore" },
    )
    const hub = await FakeHub.start({ tls: { key: readFileSync(key), cert: readFileSync(cert) } })
    const trusted = await cah(where, ["whoami", "--hub", hub.url, "--ca-file", cert], { CAH_TOKEN: TOKEN })
    assert.equal(trusted.code, 0, trusted.stderr)
    const stranger = await cah(where, ["whoami", "--hub", hub.url], { CAH_TOKEN: TOKEN })
    assert.equal(stranger.code, 5)
    assert.match(stranger.stderr, /could not prove who it is[\s\S]*--ca-file/)
    assert.equal((await cah(where, ["whoami", "--hub", hub.url, "--ca-file", key], { CAH_TOKEN: TOKEN })).code, 2)
    hub.stop()
  })
})
