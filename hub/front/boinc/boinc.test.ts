import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { request as requestHttp } from "node:http"
import { connect } from "node:net"
import { describe, it } from "node:test"
import { gunzipSync } from "node:zlib"
import type { NodeId } from "../../core/model.ts"
import type { HostId, LaunchId } from "../../core/volunteers.ts"
import { BOINC_REQUEST_BYTES_MAX } from "../../limits.ts"
import { clientRequest, type Sent } from "./client.suite.ts"
import { account, call, joinFrom, online, password, projects, textOf } from "./project.suite.ts"
import { isMd5Signed } from "./signature.ts"
import { readXml } from "./xml.ts"

const open = projects()

describe("a BOINC client that comes for the first time", () => {
  it("finds the scheduler on the page at the hub's address, in both forms, each on a short line", async () => {
    const front = await open()
    const headers = { "x-forwarded-for": "192.0.2.7" }
    const stranger = await (await fetch(`${front.url}/`, { headers })).text()
    const operator = await (await fetch(`${front.url}/`)).text()
    const url = `${front.url}/scheduler`
    assert.ok(stranger.split("\n").includes(`<!-- <scheduler>${url}</scheduler> -->`))
    for (const page of [stranger, operator]) {
      const line = page.split("\n").find(each => each.includes("boinc_scheduler"))
      assert.equal(line, `<link rel="boinc_scheduler" href="${url}">`)
      assert.ok(line.length < 256)
    }
    assert.match(stranger, /Add project/)
    assert.match(operator, /things? need|All well/)
  })

  it("V18: is a person first: the first line is about the computer that they sit at, before anything is to be installed", async () => {
    const front = await open({ about: "We fold <proteins>.\n\nAsk ada@example.org." })
    const lead = async (agent: string) => {
      const page = await (await fetch(front.url, { headers: { via: "proxy", "user-agent": agent } })).text()
      const said = /<p class="lead">([^<]*)<\/p>/.exec(page)?.[1] ?? ""
      assert.ok(page.indexOf(said) < page.indexOf("Install BOINC"))
      return said.replace(/\s+/g, " ")
    }
    for (const [agent, says] of [
      [
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        /Your computer, which runs Linux, can take part/,
      ],
      [
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/130.0",
        /runs Windows, and that cannot .* version for Linux only\. Please install nothing/,
      ],
      ["Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Safari/605", /runs macOS, and that cannot take part/],
      [
        "Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/130.0 Mobile",
        /at a phone or a tablet, and that cannot take part/,
      ],
      ["Mozilla/5.0 (X11; Linux aarch64) Firefox/128.0", /runs Linux on ARM, and that cannot take part/],
      ["Mozilla/5.0 (X11; FreeBSD amd64) Firefox/128.0", /runs FreeBSD, and that cannot take part/],
      ["curl/8.0", /lend them a computer that runs Linux/],
    ] as const) {
      assert.match(await lead(agent), says)
    }
    const page = await (await fetch(front.url, { headers: { via: "proxy" } })).text()
    assert.match(page, /What is computed here<\/h2>\s*<p>We fold &lt;proteins&gt;\.<\/p><p>Ask ada@example\.org\.<\/p>/)
    assert.match(page, /Just now nobody has work/)
    assert.match(page, /<svg class="picture"[^>]* role="img" aria-label="[^"]+"/)
    assert.match(page, /<h2>Help<\/h2>[\s\S]*Nothing starts/)
  })

  it("is told the project's name, addresses and rules", async () => {
    const front = await open()
    const config = readXml(await textOf(front, "/get_project_config.php"), "project_config")
    assert.deepEqual(
      [config.text("name"), config.text("master_url"), config.text("min_passwd_length"), config.text("sched_stopped")],
      ["Test project", `${front.url}/`, "8", "0"],
    )
    assert.equal(config.one("platforms").one("platform").text("plan_class"), "qemu")
    assert.equal(config.has("account_creation_disabled"), false)
  })

  it("is given the public URL where a proxy stands before the hub", async () => {
    const front = await open({ publicUrl: "https://hub.example.org/" })
    const config = readXml(await textOf(front, "/get_project_config.php"), "project_config")
    assert.equal(config.text("master_url"), "https://hub.example.org/")
    const { key } = await account(front)
    const reply = await call(front, { key })
    assert.equal(reply.text("master_url"), "https://hub.example.org/")
    assert.match(reply.one("file_info").text("url"), /^https:\/\/hub\.example\.org\/download\//)
  })

  it("leads the buttons of the BOINC Manager to the volunteer's page, and keeps no key that they carry", async () => {
    const front = await open()
    for (const path of ["/account_finish.php?auth=x", "/get_passwd.php", "/home.php", "/prefs.php?subset=global"]) {
      const answer = await fetch(`${front.url}${path}`, { redirect: "manual" })
      assert.deepEqual(
        [answer.status, answer.headers.get("location"), answer.headers.get("set-cookie")],
        [303, "/volunteer", null],
      )
    }
  })

  it("makes an account, and gets the same key for the same password at any time", async () => {
    const front = await open()
    const query = `email_addr=Vera%40Example%2Eorg&passwd_hash=${password}`
    const made = readXml(await textOf(front, `/create_account.php?${query}&user_name=Vera`), "account_out")
    const key = made.text("authenticator")
    assert.match(key, /^[0-9a-f]{32}$/)
    for (const path of [`/create_account.php?${query}`, `/lookup_account.php?${query}`]) {
      assert.equal(readXml(await textOf(front, path), "account_out").text("authenticator"), key)
    }
    const row = front.store.volunteers.byEmail("vera@example.org")!
    assert.equal(row.name, "Vera")
    // Neither password nor key can be read from what is stored.
    const stored = Buffer.concat([row.password, row.keyHash, row.sealedKey, row.salt]).toString("latin1")
    for (const secret of [key, password, Buffer.from(key, "hex").toString("latin1")])
      assert.ok(!stored.includes(secret))
  })

  it("is told BOINC's number for whatever is wrong, and words", async () => {
    const front = await open()
    await account(front)
    const other = "0".repeat(32)
    const cases: readonly (readonly [path: string, number: string, says: RegExp])[] = [
      [`/lookup_account.php?email_addr=vera@example.org&passwd_hash=${other}`, "-206", /not the password/],
      [`/lookup_account.php?email_addr=nobody@example.org&passwd_hash=${other}`, "-136", /no account/],
      ["/lookup_account.php?email_addr=nobody@example.org", "-136", /no account/],
      ["/lookup_account.php", "-205", /No e-mail address/],
      [
        `/create_account.php?email_addr=vera@example.org&passwd_hash=${other}`,
        "-137",
        /already, with another password/,
      ],
      [`/create_account.php?email_addr=vera&passwd_hash=${other}`, "-205", /no e-mail address/],
      ["/create_account.php?email_addr=new@example.org&passwd_hash=short", "-206", /No password/],
    ]
    for (const [path, number, says] of cases) {
      const error = readXml(await textOf(front, path), "error")
      assert.equal(error.text("error_num"), number, path)
      assert.match(error.text("error_msg"), says)
    }
    const known = readXml(await textOf(front, "/lookup_account.php?email_addr=vera@example.org"), "account_out")
    assert.ok(known.has("success"))
  })

  it("V12: refuses an address that nobody could log in with, in words", async () => {
    const front = await open()
    for (const [email, says] of [
      [" v@x.org", /blank stands before or after/],
      ["v@x.org\t", /blank stands before or after/],
      ["v\0@x.org", /looks like name@example\.org/],
      ["v @x.org", /looks like name@example\.org/],
      ["v@x.org\u001b", /looks like name@example\.org/],
    ] as const) {
      const query = new URLSearchParams({ email_addr: email, passwd_hash: password, user_name: "V\0era" })
      const error = readXml(await textOf(front, `/create_account.php?${query}`), "error")
      assert.deepEqual(
        [error.text("error_num"), says.test(error.text("error_msg"))],
        ["-205", true],
        JSON.stringify(email),
      )
    }
    assert.equal(front.store.volunteers.lastIds().volunteer, 0)
  })

  it("of a hub without a release is told that there is nothing yet, everywhere", async () => {
    const front = await open({ release: null })
    const { key } = await account(front)
    const config = readXml(await textOf(front, "/get_project_config.php"), "project_config")
    assert.deepEqual([config.text("sched_stopped"), config.has("account_creation_disabled")], ["1", true])
    const create = await textOf(front, `/create_account.php?email_addr=a@b.org&passwd_hash=${password}`)
    assert.equal(readXml(create, "error").text("error_num"), "-183")
    assert.match((await call(front, { key })).text("message"), /nothing for volunteers yet/)
    const page = await (await fetch(`${front.url}/`, { headers: { via: "proxy" } })).text()
    assert.match(page, /nothing for volunteers here yet/)
    assert.doesNotMatch(page, /boinc_scheduler/)
    assert.doesNotMatch(await (await fetch(`${front.url}/`)).text(), /boinc_scheduler/)
  })
})

describe("the scheduler", () => {
  it("answers a wrong key in words and sends it away for an hour", async () => {
    const front = await open()
    const reply = await call(front, { key: "f".repeat(32) })
    assert.equal(reply.text("request_delay"), "3600")
    assert.match(reply.text("message"), /Invalid or missing account key/)
    assert.equal(reply.has("hostid"), false)
    assert.deepEqual(front.store.volunteers.lastIds(), { volunteer: 0, host: 0, launch: 0 })
  })

  it("knows the computer, signs nothing itself, and hands out one launch with all its files", async () => {
    const front = await open()
    const { key, id } = await account(front)
    const reply = await call(front, { key })
    assert.deepEqual(
      [reply.text("hostid"), reply.text("userid"), reply.text("master_url")],
      ["1", String(id), `${front.url}/`],
    )
    assert.equal(reply.text("code_sign_key"), front.release.codeSignKey.trim())
    const version = reply.one("app_version")
    assert.deepEqual(
      [
        version.text("version_num"),
        version.text("plan_class"),
        version.text("avg_ncpus"),
        version.has("dont_throttle"),
      ],
      ["100", "qemu", "4", true],
    )
    const [first, second, inputInfo, log] = reply.all("file_info")
    for (const info of [first!, second!]) {
      assert.ok(isMd5Signed(front.release.codeSignKey, info.text("md5_cksum"), info.text("file_signature")))
    }
    assert.ok(first!.has("executable") && !second!.has("executable"))
    assert.ok(log!.has("generated_locally"))
    const workunit = reply.one("workunit")
    assert.ok(workunit.number("rsc_fpops_bound") / version.number("flops") > 9 * 365 * 86_400)
    assert.equal(workunit.count("rsc_memory_bound"), 3 * 1024 ** 3)
    const result = reply.one("result")
    assert.match(result.text("name"), /^vm_1_\d+_0$/)
    assert.ok(result.has("report_immediately"))

    const input = await fetch(inputInfo!.text("url"))
    const bytes = Buffer.from(await input.arrayBuffer())
    assert.equal(createHash("md5").update(bytes).digest("hex"), inputInfo!.text("md5_cksum"))
    assert.equal(bytes.length, inputInfo!.count("nbytes"))
    const settings = JSON.parse(bytes.toString()) as Record<string, unknown>
    assert.deepEqual(
      { ...settings, enrolToken: "" },
      { format: 1, hub: front.url, enrolToken: "", name: "host-1", caPem: null },
    )
    assert.match(String(settings.enrolToken), /^cahjoin_/)
    assert.ok(!bytes.includes(key), "the account key never travels into the virtual machine")
  })

  it("V2: asks for less than BOINC may use, so that it runs beside a task of a graphics card or of another project", async () => {
    const asked = async (sent: Partial<Sent>) => {
      const front = await open()
      const reply = await call(front, { key: (await account(front)).key, memoryBytes: 4e9, ...sent })
      return [reply.one("app_version").count("avg_ncpus"), reply.one("workunit").count("rsc_memory_bound")]
    }
    assert.deepEqual(await asked({}), [4, 1.5e9], "of 2 GB that BOINC may use")
    assert.deepEqual(await asked({ graphicsCards: 1 }), [3, 1.5e9])
    assert.deepEqual(await asked({ graphicsCards: 9 }), [1, 1.5e9])
    assert.deepEqual(await asked({ shareFraction: 0.5 }), [3, 1.5e9])
    assert.deepEqual(await asked({ shareFraction: 0.5, preferences: { max_ncpus_pct: 25 } }), [1, 1.5e9])
    assert.deepEqual(
      await asked({ memoryBytes: 256e9 }),
      [4, 4 * 4 * 1024 ** 3 + 256 * 1024 ** 2],
      "what it has use for",
    )
  })

  it("gives its host's id once, and the signing key only to who has none", async () => {
    const front = await open()
    const { key } = await account(front)
    await call(front, { key })
    const reply = await call(front, { key, hostId: 1, sequence: 1, codeSignKey: front.release.codeSignKey, wants: 0 })
    assert.deepEqual([reply.has("hostid"), reply.has("code_sign_key")], [false, false])
    assert.equal(front.store.volunteers.host(1 as HostId)?.sequence, 1)
  })

  it("says the same again to a client whose answer was lost", async () => {
    const front = await open()
    const { key } = await account(front)
    const first = await call(front, { key })
    const again = await call(front, { key, hostId: 1, sequence: 1 })
    for (const element of ["workunit", "result", "app_version"]) {
      assert.equal(again.one(element).text("name"), first.one(element).text("name"))
    }
    assert.deepEqual(
      again.all("file_info").map(info => info.text("name")),
      first.all("file_info").map(info => info.text("name")),
    )
    assert.equal(front.store.volunteers.lastIds().launch, 1)
  })

  it("lets the launch's virtual machine join once, for its volunteer, and ends that with the launch", async () => {
    const front = await open()
    const { key, id } = await account(front)
    const reply = await call(front, { key })
    const url = reply.all("file_info")[2]!.text("url")
    assert.deepEqual(await joinFrom(front, reply, "vm-1"), { account: `volunteer:${id}`, host: 1 })
    assert.equal(await joinFrom(front, reply, "vm-2"), null)
    assert.equal(front.store.volunteers.launchTally(1 as LaunchId).node, "vm-1")

    await online(front, "vm-1", `volunteer:${id}`)
    const name = reply.one("result").text("name")
    const end = await call(front, {
      key,
      hostId: 1,
      sequence: 1,
      wants: 0,
      results: [{ name, state: 3, exit: 5, stderr: "no luck" }],
    })
    assert.equal(end.one("result_ack").text("name"), name)
    assert.equal(front.engine.node("vm-1" as NodeId)?.revoked, true)
    assert.equal((await fetch(url)).status, 404, "what has ended is not handed out")
    const launch = front.store.volunteers.launch(1 as LaunchId)
    assert.deepEqual([launch?.ending, launch?.exitStatus, launch?.message], ["failed", 5, "no luck"])
  })

  it("withdraws the enrolment of a launch that ended before anybody joined", async () => {
    const front = await open()
    const { key } = await account(front)
    const reply = await call(front, { key })
    const { enrolToken } = (await (await fetch(reply.all("file_info")[2]!.text("url"))).json()) as {
      enrolToken: string
    }
    const name = reply.one("result").text("name")
    await call(front, { key, hostId: 1, sequence: 1, results: [{ name, state: 6, exit: 203 }] })
    assert.equal(
      await front.enrolments.spend(enrolToken, { node: "vm" as NodeId, publicKey: new Uint8Array(32) }),
      null,
    )
  })

  it("gives a copy of a client's directory a record of its own, and takes the work of the original away from it", async () => {
    const front = await open()
    const { key } = await account(front)
    const name = (await call(front, { key })).one("result").text("name")
    await call(front, { key, hostId: 1, sequence: 3, others: [name] })
    const copy = await call(front, { key, hostId: 1, sequence: 2, others: [name] })
    assert.equal(copy.text("hostid"), "2")
    assert.equal(copy.one("result_abort").text("name"), name)
    assert.notEqual(copy.one("result").text("name"), name)
    const original = await call(front, { key, hostId: 1, sequence: 4, others: [name] })
    assert.deepEqual([original.has("hostid"), original.has("result_abort")], [false, false])
  })

  it("V9: counts a copy's requests from the id that it was given, so that no third record is made of it", async () => {
    const front = await open()
    const { key } = await account(front)
    const name = (await call(front, { key })).one("result").text("name")
    await call(front, { key, hostId: 1, sequence: 5, others: [name] })
    const copy = await call(front, { key, hostId: 1, sequence: 3, others: [name], wants: 0 })
    const mine = copy.one("result").text("name")
    assert.deepEqual([copy.text("hostid"), mine === name, mine === ""], ["2", false, false])
    const next = await call(front, { key, hostId: 2, sequence: 0, others: [mine] })
    assert.deepEqual([next.has("hostid"), next.has("result_abort")], [false, false])
    assert.deepEqual(front.store.volunteers.lastIds().host, 2)
  })

  it("V4: has a virtual machine end in order when its volunteer wants no new tasks: drained first, then finished", async () => {
    const front = await open()
    const { key, id } = await account(front)
    const reply = await call(front, { key })
    const name = reply.one("result").text("name")
    await joinFrom(front, reply, "vm-1")
    await online(front, "vm-1", `volunteer:${id}`)
    let sequence = 0
    const refuse = () => call(front, { key, hostId: 1, sequence: ++sequence, refuses: true, wants: 0, others: [name] })
    assert.equal((await refuse()).has("trickle_down"), false)
    assert.equal(front.engine.node("vm-1" as NodeId)?.drained, true)
    const last = await refuse()
    const down = last.one("trickle_down")
    assert.deepEqual([down.text("result_name"), down.has("finish"), last.has("result_abort")], [name, true, false])
    await call(front, { key, hostId: 1, sequence: 9, others: [name] })
    assert.equal(front.engine.node("vm-1" as NodeId)?.drained, false, "new tasks are wanted again")
  })

  it("knows no computer of another volunteer's", async () => {
    const front = await open()
    const [vera, otto] = [await account(front), await account(front, "otto@example.org")]
    await call(front, { key: vera.key })
    const reply = await call(front, { key: otto.key, hostId: 1, sequence: 9 })
    assert.equal(reply.text("hostid"), "2")
    assert.equal(front.store.volunteers.host(1 as HostId)?.sequence, 0)
  })

  it("acknowledges trickles", async () => {
    const front = await open()
    const { key } = await account(front)
    const more =
      "<msg_from_host>\n<result_name>vm_1_5_0</result_name>\n<time>1</time>\n<variety>vmstatus</variety>\n</msg_from_host>\n"
    assert.ok((await call(front, { key, more })).has("message_ack"))
  })

  it("remembers the id that a person has at all projects", async () => {
    const front = await open()
    const { key } = await account(front)
    const reply = await call(front, { key, crossId: "9".repeat(32) })
    assert.equal(reply.text("cross_project_id"), "9".repeat(32))
    assert.equal(
      reply.text("external_cpid"),
      createHash("md5")
        .update(`${"9".repeat(32)}vera@example.org`)
        .digest("hex"),
    )
  })

  it("refuses what is no request, and what is too large, in a sentence", async () => {
    const front = await open()
    const { key } = await account(front)
    const send = (body: string) => fetch(`${front.url}/scheduler`, { method: "POST", body })
    const broken = await send(`<scheduler_reques><authenticator>${key}</authenticator>`)
    assert.deepEqual([broken.status, await broken.text()], [400, "this is no <scheduler_request>\n"])
    const large = await send(clientRequest({ key, more: " ".repeat(BOINC_REQUEST_BYTES_MAX) }))
    assert.equal(large.status, 413)
    assert.equal((await fetch(`${front.url}/scheduler`)).status, 405)
    const laughs = `<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>`
    assert.equal((await send(`<authenticator>${key}</authenticator>${laughs}`)).status, 400)
  })

  it("says nothing that is not on disk: while the disk fails, clients are told to come back", async () => {
    const front = await open()
    const { key } = await account(front)
    front.store.fail(new Error("disk full"))
    await call(front, { key }, 503)
    front.store.fail(null)
    while (front.engine.health().trouble !== null) await textOf(front, "/readyz")
    const reply = await call(front, { key })
    assert.match(reply.one("result").text("name"), /^vm_\d+_\d+_0$/)
    assert.equal(front.store.volunteers.hostsOf(1 as never).length, 1)
  })
})

describe("statistics", () => {
  it("parse, agree with the ledger, and name only who said that they want it", async () => {
    const front = await open()
    const [vera, otto] = [await account(front), await account(front, "otto@example.org")]
    await front.accounts.change(vera.id as never, () => ({ shown: true, name: "Vera <&>" }))
    for (const { key, id } of [vera, otto]) {
      const reply = await call(front, { key, name: "secret-name", cpid: createHash("md5").update(key).digest("hex") })
      await joinFrom(front, reply, `vm-${id}`)
    }
    const at = Date.now()
    const line = (index: number, id: number, slotMs: number) =>
      ({
        kind: "credit",
        row: {
          campaign: 1 as never,
          index,
          attempt: 1,
          account: `volunteer:${id}`,
          node: `vm-${id}` as NodeId,
          slotMs,
          at,
        },
      }) as const
    await front.engine.commit([line(0, vera.id, 86_400_000), line(1, vera.id, 43_200_000), line(2, otto.id, 8_640_000)])

    const tables = readXml(await textOf(front, "/stats/tables.xml"), "tables")
    const ledger = front.store.volunteers.ledger(0, 100)
    const total = ledger.reduce((sum, each) => sum + each.slotMs, 0) * (200 / 86_400_000)
    assert.equal(tables.number("total_credit"), total)
    assert.deepEqual(
      [tables.text("nusers_total"), tables.text("nhosts_total"), tables.text("nteams_total")],
      ["2", "2", "0"],
    )

    const unzipped = async (name: string) => {
      const answer = await fetch(`${front.url}/stats/${name}`)
      assert.equal(answer.headers.get("content-type"), "application/gzip")
      return gunzipSync(Buffer.from(await answer.arrayBuffer())).toString()
    }
    for (const name of ["user_id.gz", "user.gz"]) {
      const users = readXml(await unzipped(name), "users").all("user")
      assert.deepEqual(
        users.map(user => [user.text("id"), user.text("name"), user.number("total_credit")]),
        [[String(vera.id), "Vera <&>", 300]],
      )
      assert.ok(users[0]!.number("expavg_credit") > 0)
      assert.match(users[0]!.text("cpid"), /^[0-9a-f]{32}$/)
    }
    const hostText = await unzipped("host_id.gz")
    const hosts = readXml(hostText, "hosts").all("host")
    assert.deepEqual(
      hosts.map(host => [host.text("userid"), host.number("total_credit"), host.text("os_name"), host.text("ncpus")]),
      [[String(vera.id), 300, "Linux Debian", "4"]],
    )
    assert.ok(!hostText.includes("secret-name") && !hostText.includes("192.0.2.7"))
    assert.deepEqual(readXml(await unzipped("team_id.gz"), "teams").all("team"), [])
    assert.equal((await fetch(`${front.url}/stats/passwords.gz`)).status, 404)
  })
})

describe("a slow or odd peer", () => {
  it("that stops in the middle of a request holds nothing up and leaves no error", async () => {
    const front = await open()
    const { hostname: host, port } = new URL(front.url)
    const half = requestHttp({
      host,
      port,
      path: "/scheduler",
      method: "POST",
      headers: { "content-length": 1_000 },
      agent: false,
    })
    half.on("error", () => {})
    half.write("<scheduler_request>")
    await once(half, "socket")
    half.destroy()
    const { key } = await account(front)
    assert.ok((await call(front, { key })).has("result"))
    assert.deepEqual(front.lines.errors, [])
  })

  it("without a host name is told so", async () => {
    const front = await open()
    const { hostname, port } = new URL(front.url)
    const socket = connect(Number(port), hostname)
    socket.write("GET /get_project_config.php HTTP/1.1\r\nHost: a/b\r\nConnection: close\r\n\r\n")
    const said = Buffer.concat(await socket.toArray()).toString()
    assert.match(said, /^HTTP\/1\.1 400 [\s\S]*does not say which host/)
  })
})
