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

describe("warnings of results", { concurrency: 2 }, () => {
  test("F6: are said when a campaign has ended well, counted by show, and asked for by --require-stageout", async () => {
    const warnings = "result.csv matched nothing"
    const hub = await FakeHub.start({ endOf: index => (index === 1 ? {} : { warnings }) })
    const where = place(hub)
    const words = ["sub", "--array", "3", "--stageout", "result.csv", "--wait", "--", "true"]
    const waited = await cah(where, words)
    assert.equal(waited.code, 0)
    assert.match(waited.stdout, /3 jobs, all finished\.\nMind: 2 × result\.csv matched nothing, like 1\.0\n/)
    const some = await cah(where, ["wait", "1.1-2"])
    assert.match(some.stdout, /2 jobs, all finished\.\nMind: 1 × result\.csv matched nothing, like 1\.2\n/)
    assert.match(
      (await cah(where, ["show", "1"])).stdout,
      /COUNT {2}WARNING +LIKE\n +2 {2}result\.csv matched nothing {2}1\.0\n/,
    )
    assert.match((await cah(where, ["show", "1.2"])).stdout, /Warnings +result\.csv matched nothing\n/)
    await cah(where, ["sub", "--require-stageout", "--stageout", "*.csv", "--", "true"])
    assert.equal(hub.campaigns.get(2n)?.campaign.spec?.requireStageout, true)
    assert.match((await cah(where, ["show", "2"])).stdout, /Stageout +\*\.csv {2}\(required\)\n/)
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

  test("F5: two at once into one directory both end well, with every file whole", async () => {
    const content = "x".repeat(300_000)
    const stageout = await archive([
      [{ name: "a/big" }, content],
      [{ name: "small" }, "s"],
    ])
    const hub = await FakeHub.start({ endOf: () => ({ stageout, stdout: "said" }) })
    for (const jobs of [1, 6]) hub.add({}, jobs)
    const where = place(hub)
    for (const id of ["1", "2"]) {
      const get = () => cah(where, ["get", id, "--logs", "-d", `conc${id}`, "-o", "json"])
      const all = await Promise.all([get(), get(), get()])
      assert.deepEqual(
        all.map(({ code, stderr }) => [code, stderr]),
        Array(3).fill([0, ""]),
      )
      const job = join(where.cwd, `conc${id}`, id === "1" ? "." : "5")
      assert.equal(readFileSync(join(job, "a", "big"), "utf8"), content)
      assert.equal(readFileSync(join(job, "stdout"), "utf8"), "said")
      assert.deepEqual(readdirSync(join(where.cwd, `conc${id}`, ".cah")), ["fetched"])
    }
    hub.stop()
  })

  test("F12: what was removed since comes back, and what was changed stays until --overwrite", async () => {
    const stageout = await archive([
      [{ name: "2/sum" }, "sum"],
      [{ name: "plot" }, "plot"],
    ])
    const hub = await FakeHub.start({ endOf: () => ({ stageout, stdout: "said" }) })
    hub.add({}, 2)
    const where = place(hub)
    const file = (...path: string[]) => join(where.cwd, "big", ...path)
    const get = async (...more: string[]) => {
      const done = await cah(where, ["get", "1", "--logs", "-d", "big", "-o", "json", ...more])
      assert.equal(done.code, 0, done.stderr)
      const { fetched, present } = JSON.parse(done.stdout)
      return [fetched, present]
    }
    assert.deepEqual(await get(), [2, 0])
    rmSync(file("1", "2", "sum"))
    rmSync(file("0", "stdout"))
    writeFileSync(file("1", "plot"), "mine")
    assert.deepEqual(await get(), [2, 0])
    assert.equal(readFileSync(file("1", "2", "sum"), "utf8"), "sum")
    assert.equal(readFileSync(file("0", "stdout"), "utf8"), "said")
    assert.equal(readFileSync(file("1", "plot"), "utf8"), "mine")
    assert.deepEqual(await get(), [0, 2])
    assert.deepEqual(await get("--overwrite"), [1, 1])
    assert.equal(readFileSync(file("1", "plot"), "utf8"), "plot")
    assert.deepEqual(await get("--overwrite"), [0, 2])
    hub.stop()
  })

  test("F16: a job's own .cah comes under another name, and is never read as our books", async () => {
    const forged = "2.0 stageout sha256:0\n"
    const stageout = await archive([
      [{ name: ".cah/fetched" }, forged],
      [{ name: ".cah-of-job" }, "x"],
    ])
    const file = await archive([[{ name: ".CAH" }, "a file"]])
    const hub = await FakeHub.start()
    hub.add({}, 1, () => ({ stageout }))
    hub.add({}, 2, index => ({ stageout: index === 0 ? file : stageout }))
    const where = place(hub)
    const one = await cah(where, ["get", "1", "-d", "one"])
    assert.equal(one.code, 0)
    assert.match(one.stderr, /1\.0: its \.cah comes as \.cah-of-job~: cah get keeps its own books in \.cah/)
    assert.equal(readFileSync(join(where.cwd, "one", ".cah-of-job~", "fetched"), "utf8"), forged)
    assert.equal(readFileSync(join(where.cwd, "one", ".cah", "fetched"), "utf8").split("\n").length, 2)
    assert.match((await cah(where, ["get", "1", "-d", "one"])).stdout, /0 results fetched .*1 were here/)
    assert.equal((await cah(where, ["get", "2", "-d", "two"])).code, 0)
    assert.equal(readFileSync(join(where.cwd, "two", "0", ".cah-of-job"), "utf8"), "a file")
    assert.equal(existsSync(join(where.cwd, "two", "1", ".cah")), false)
    hub.stop()
  })

  test("F22: the size that is told is that of the files, and empty folders come too", async () => {
    const stageout = await archive([
      [{ name: "empty/", type: "directory" }, ""],
      [{ name: "a.txt" }, "x".repeat(27)],
    ])
    const hub = await FakeHub.start({ endOf: () => ({ stageout }) })
    hub.add({}, 1)
    const where = place(hub)
    assert.match((await cah(where, ["get", "1", "-d", "r"])).stdout, /1 result fetched into r \(27 B\)/)
    assert.ok(statSync(join(where.cwd, "r", "empty")).isDirectory())
    assert.match((await cah(where, ["show", "1.0"])).stdout, /Stageout +2\.6 kB packed/)
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
