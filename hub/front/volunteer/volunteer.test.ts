import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { gunzipSync } from "node:zlib"
import { passwordHash } from "../../auth/password.ts"
import { order } from "../../core/fixtures.ts"
import type { HostId, LaunchId } from "../../core/volunteers.ts"
import { HOST_QUIET_MS, LAUNCH_READY_MS } from "../../limits.ts"
import { clientRequest } from "../boinc/client.suite.ts"
import { call, projects, textOf } from "../boinc/project.suite.ts"
import { md5 } from "../boinc/reply.ts"
import { readXml } from "../boinc/xml.ts"
import { Browser, email, loggedIn, password, words, working } from "./browser.suite.ts"

const open = projects()
describe("logging in", () => {
  it("takes the address and password that BOINC has, or the account key", async () => {
    const front = await open()
    const { key } = await loggedIn(front)
    const browser = new Browser(front)
    assert.match(words((await browser.get()).text), /Log in/)
    assert.equal((await browser.post("login", { key })).status, 303)
    assert.match(words((await browser.get()).text), /vera@example\.org .* Your computers/)
    assert.equal((await browser.submit("logout")).status, 303)
    assert.match(words((await browser.get()).text), /Log in/)
  })

  it("says what did not fit, without telling which addresses there are", async () => {
    const front = await open()
    await loggedIn(front)
    const browser = new Browser(front)
    const said = async (fields: Record<string, string>) => {
      const { status, text } = await browser.post("login", fields)
      assert.equal(status, 401)
      return /role="alert">([^<]*)</.exec(text)?.[1]
    }
    assert.equal(
      await said({ email, password: "wrong" }),
      await said({ email: "nobody@example.org", password: "wrong" }),
    )
    assert.equal(await said({ key: "0".repeat(32) }), "No account has this key.")
    assert.equal(browser.cookie, "")
  })

  it("does not outlive a new password, a deleted account, or a changed cookie", async () => {
    const front = await open()
    const { browser, id, key } = await loggedIn(front)
    const forged = new Browser(front)
    for (const cookie of [
      browser.cookie.replace(/=\d+/, "=2"),
      `${browser.cookie}0`,
      "cah_volunteer=",
      "cah_volunteer=1.0.9.x",
    ]) {
      forged.cookie = cookie
      assert.match(words((await forged.get()).text), /Log in/)
    }
    await front.accounts.setPassword(id, key, passwordHash("another one", email))
    assert.match(words((await browser.get()).text), /Log in/)
  })

  it("S13: is over when one logs out: what a browser kept of it opens nothing", async () => {
    const front = await open()
    const { browser, key } = await loggedIn(front)
    const [kept, elsewhere] = [new Browser(front), new Browser(front)]
    kept.cookie = browser.cookie
    await elsewhere.post("login", { key })
    assert.equal((await browser.submit("logout")).location, "/volunteer?said=out")
    for (const each of [kept, elsewhere]) assert.match(words((await each.get()).text), /Log in/)
    assert.match(words((await browser.get("/volunteer?said=out")).text), /logged out here, and in every other browser/)
  })

  it("V19: keeps the address that was typed when the password is wrong", async () => {
    const front = await open()
    await loggedIn(front)
    const browser = new Browser(front)
    const { text } = await browser.post("login", { email: 'vera"<@example.org', password: "wrong" })
    assert.match(text, /name="email"[^>]* value="vera&quot;&lt;@example\.org"/)
    assert.doesNotMatch(text, /value="wrong"/)
  })

  it("is refused to forms of other sites, and to forms without this session's token", async () => {
    const front = await open()
    const { browser } = await loggedIn(front)
    for (const headers of [
      { origin: "https://evil.example" },
      { "sec-fetch-site": "cross-site" },
      { origin: "null" },
    ]) {
      browser.headers = headers as Record<string, string>
      assert.equal((await browser.post("shown", { shown: "1" })).status, 403)
      assert.equal((await browser.post("login", { email, password })).status, 403)
    }
    browser.headers = { origin: front.url, "sec-fetch-site": "same-origin" }
    assert.equal((await browser.submit("shown", { shown: "1", name: " Vera of the attic\n" })).status, 303)
    for (const token of ["", "0".repeat(64)]) {
      const { status, text } = await browser.post("shown", { token })
      assert.equal(status, 403)
      assert.match(words(text), /form was too old/)
    }
    const { shown, name } = front.store.volunteers.byEmail(email)!
    assert.deepEqual([shown, name], [true, "Vera of the attic"])
  })
})

describe("a hub behind a proxy", () => {
  it("takes forms from its public address, and gives a cookie that only travels by TLS", async () => {
    const front = await open({ publicUrl: "https://hub.example.org/" })
    await front.accounts.create({ email, password: passwordHash(password, email), name: "Vera" })
    const body = new URLSearchParams({ email, password })
    const ask = (origin: string) =>
      fetch(`${front.url}/volunteer/login`, { method: "POST", body, headers: { origin }, redirect: "manual" })
    const answer = await ask("https://hub.example.org")
    assert.equal(answer.status, 303)
    assert.match(answer.headers.get("set-cookie") ?? "", /; SameSite=Strict; Secure$/)
    assert.equal((await ask("https://evil.example")).status, 403)
  })
})

describe("the volunteer's page", () => {
  it("says in plain words what each computer does, for whom, and what it has given", async () => {
    const front = await open()
    const { browser, key, id } = await loggedIn(front)
    assert.match(words((await browser.get()).text), /None yet\. In BOINC choose Add project/)

    const reply = await call(front, { key, wants: 0 })
    assert.match(words((await browser.get()).text), /attic It is known here and has no work yet/)
    await call(front, { key, hostId: 1, sequence: 1 })
    assert.match(words((await browser.get()).text), /getting ready: BOINC fetches/)
    assert.equal(reply.has("result"), false)

    const { node } = await working(front, key)
    assert.match(words((await browser.get()).text), /is ready, and waits for work/)
    const { campaign } = await front.engine.submit(order({ owner: "marie", name: "<b>frames</b>", total: 2 }))
    await front.node.until(() => front.engine.node(node)!.held.size === 2)
    const page = (await browser.get()).text
    assert.match(words(page), /It works on 2 jobs of “&lt;b&gt;frames&lt;\/b&gt;” for marie/)
    assert.ok(!page.includes("<b>frames"))
    assert.ok(campaign > 0)

    await front.engine.commit([
      { kind: "traffic", node, bytesIn: 3 * 1024 ** 2, bytesOut: 1024 },
      {
        kind: "credit",
        row: { campaign, index: 0, attempt: 1, account: `volunteer:${id}`, node, slotMs: 86_400_000, at: Date.now() },
      },
    ])
    const given = words((await browser.get()).text)
    assert.match(given, /given 24 hours of one processor core, for 1 finished job/)
    assert.match(given, /credit 200 /)
    assert.match(given, /received, sent 3\.0 MiB, 1\.0 KiB/)
    assert.doesNotMatch(given, /\b(?:node|daemon|hypervisor|agent|host)s?\b/i)

    front.engine.post({ kind: "NodeGone", node, epoch: front.engine.node(node)!.epoch })
    await front.engine.commit([])
    assert.match(words((await browser.get()).text), /paused, switched off or out of reach/)
  })

  it("says where to look when a virtual machine does not start", async () => {
    const front = await open()
    const { browser, key, id } = await loggedIn(front)
    await call(front, { key })
    const { volunteers } = front.store
    const [launch] = volunteers.launchesOf(volunteers.hostsOf(id)[0]!.id, 1)
    const madeAt = Date.now() - LAUNCH_READY_MS
    const older = { ...launch!, id: 99 as LaunchId, madeAt }
    await front.engine.commit([{ kind: "launch", row: older }])
    const page = words((await browser.get()).text)
    assert.match(page, /has not started yet\..*its BOINC says why.*Often QEMU is not installed/)
  })

  it("stops a computer at once and for good, and starts it again", async () => {
    const front = await open()
    const { browser, key } = await loggedIn(front)
    const { reply, node } = await working(front, key)
    const name = reply.one("result").text("name")
    const { status, location } = await browser.submit("stop", { computer: "1" })
    assert.deepEqual([status, location], [303, "/volunteer?said=stopped"])
    assert.equal(front.engine.node(node)?.revoked, true, "its work goes to others now")
    assert.match(
      words((await browser.get("/volunteer?said=stopped")).text),
      /Stopped\. What it worked on goes to other computers/,
    )
    assert.match(words((await browser.get()).text), /You stopped it\. Its virtual machine ends within seconds/)

    const abort = await call(front, { key, hostId: 1, sequence: 1, others: [name] })
    assert.equal(abort.one("result_abort").text("name"), name)
    const over = await call(front, { key, hostId: 1, sequence: 2, results: [{ name, state: 6, exit: 202 }] })
    assert.equal(over.has("result"), false)
    assert.ok(over.number("next_rpc_delay") <= 660, "soon enough for a new start")
    assert.match(words((await browser.get()).text), /You stopped it\. It does nothing here\./)
    assert.equal(front.store.volunteers.host(1 as HostId)?.barred, false)

    assert.equal((await browser.submit("start", { computer: "1" })).status, 303)
    assert.ok((await call(front, { key, hostId: 1, sequence: 3 })).has("result"))
  })

  it("V5: says that a machine is emulated, and the command that mends it, until it is not", async () => {
    const front = await open()
    const { browser, key } = await loggedIn(front)
    await call(front, { key })
    const told = (acceleration: string, why: string) => `<msg_from_host>
<result_name>vm_1_1_0</result_name>
<time>1</time>
<variety>vmstatus</variety>
<vm_state>running</vm_state>
<hypervisor>QEMU 7.2.22</hypervisor>
<acceleration>${acceleration}</acceleration>
<acceleration_why>${why}</acceleration_why>
</msg_from_host>`
    const why = 'the user boinc may not use /dev/kvm: say "sudo usermod -aG kvm boinc"'
    await call(front, { key, hostId: 1, sequence: 1, more: told("tcg", why) })
    await call(front, { key, hostId: 1, sequence: 2 })
    const page = words((await browser.get()).text).replaceAll("&quot;", '"')
    assert.match(page, /is emulated, and works about ten times slower.*sudo usermod -aG kvm boinc/)
    await call(front, { key, hostId: 1, sequence: 3, more: told("kvm", "KVM works") })
    assert.doesNotMatch(words((await browser.get()).text), /emulated/)
    const first = await (await fetch(front.url, { headers: { via: "proxy" } })).text()
    assert.match(words(first), /sudo usermod -aG kvm boinc &amp;&amp; sudo systemctl restart boinc-client/)
  })

  it("V13: says that a stop takes seconds where the machine runs", async () => {
    const front = await open()
    const { browser, key } = await loggedIn(front)
    await working(front, key)
    await browser.submit("stop", { computer: "1" })
    assert.match(
      words((await browser.get()).text),
      /ends within seconds if it runs just now, else when BOINC next calls/,
    )
  })

  it("V13: says of an abort in BOINC what it was", async () => {
    const front = await open()
    const { browser, key } = await loggedIn(front)
    const name = (await call(front, { key })).one("result").text("name")
    await call(front, { key, hostId: 1, sequence: 1, results: [{ name, state: 6, exit: 203 }] })
    const page = words((await browser.get()).text)
    assert.match(page, /was aborted in BOINC\. The next comes in 60 minutes/)
    assert.doesNotMatch(page, /error/)
  })

  it("V3: says that a machine ended since there was no work", async () => {
    const front = await open()
    const { browser, key } = await loggedIn(front)
    const name = (await call(front, { key })).one("result").text("name")
    const reply = await call(front, { key, hostId: 1, sequence: 1, results: [{ name, state: 5, exit: 0 }] })
    assert.equal(reply.has("result"), false)
    assert.match(words((await browser.get()).text), /There was no work for it, so its virtual machine has ended/)
  })

  it("stops no computer of somebody else's", async () => {
    const front = await open()
    const { browser } = await loggedIn(front)
    const otto = await front.accounts.create({ email: "otto@example.org", password: "0".repeat(32), name: "Otto" })
    await call(front, { key: otto.key })
    for (const computer of ["1", "99", "", "x"]) {
      const { status, text } = await browser.submit("stop", { computer })
      assert.equal(status, 404)
      assert.match(words(text), /no such computer of yours/)
    }
    assert.equal(front.store.volunteers.host(1 as HostId)?.stopped, false)
  })

  it("shows what a virtual machine said that failed, as text", async () => {
    const front = await open()
    const { browser, key } = await loggedIn(front)
    const name = (await call(front, { key })).one("result").text("name")
    const stderr = "There is neither QEMU nor VirtualBox here.\n<script>alert(1)</script>"
    await call(front, { key, hostId: 1, sequence: 1, results: [{ name, state: 3, exit: 5, stderr }] })
    const page = (await browser.get()).text
    assert.match(
      words(page),
      /ended with an error\. The next try comes in \d+ seconds\. This is what it said last: There is neither QEMU/,
    )
    assert.ok(!page.includes("<script>alert"))
  })

  it("gives the four switches to the computers, in BOINC's words", async () => {
    const front = await open()
    const { browser, key } = await loggedIn(front)
    assert.equal((await call(front, { key })).has("global_preferences"), false)
    const fields = { when: "night", processor: "50", memory: "40", network: "100" }
    assert.equal((await browser.submit("preferences", fields)).status, 303)
    const given = (await call(front, { key, hostId: 1, sequence: 1 })).one("global_preferences")
    assert.deepEqual(
      [
        "start_hour",
        "end_hour",
        "max_ncpus_pct",
        "ram_max_used_busy_pct",
        "max_bytes_sec_down",
        "run_if_user_active",
      ].map(each => given.number(each)),
      [20, 7, 50, 40, 102_400, 1],
    )
    assert.ok(given.number("mod_time") > 1e9)
    const page = (await browser.get()).text
    assert.match(page, /value="night" checked/)
    assert.match(page, /value="50"/)
    for (const [wrong, says] of [
      [{ ...fields, when: "never" }, /when your computer may work/],
      [{ ...fields, processor: "0" }, /Processor: please give a number from 1 to 100/],
      [{ ...fields, memory: "95" }, /Memory: at most 90/],
      [{ ...fields, network: "1.5" }, /Network: please give a whole number/],
    ] as const) {
      const { status, text } = await browser.submit("preferences", wrong)
      assert.equal(status, 400)
      assert.match(words(text), says)
    }
  })

  it("V7: leaves every other preference of the computer as it is, whichever project it came from", async () => {
    const front = await open()
    const { browser, key } = await loggedIn(front)
    const webPreferences = `<global_preferences>
   <source_project>https://einstein.example.org/</source_project>
   <mod_time>1600000000.000000</mod_time>
   <run_if_user_active/>
   <cpu_usage_limit>40.000000</cpu_usage_limit>
   <max_ncpus_pct>100.000000</max_ncpus_pct>
   <disk_max_used_gb>20.000000</disk_max_used_gb>
   <daily_xfer_limit_mb>500.000000</daily_xfer_limit_mb>
   <daily_xfer_period_days>30</daily_xfer_period_days>
   <day_prefs>
      <day_of_week>6</day_of_week>
      <start_hour>1</start_hour>
   </day_prefs>
   <venue name="home">
      <cpu_usage_limit>70.000000</cpu_usage_limit>
   </venue>
</global_preferences>
`
    const fields = { when: "away", processor: "50", memory: "40", network: "" }
    assert.equal((await browser.submit("preferences", fields)).status, 303)
    const answer = await fetch(`${front.url}/scheduler`, {
      method: "POST",
      body: clientRequest({ key, webPreferences }),
    })
    const reply = await answer.text()
    const given = /<global_preferences>[\s\S]*<\/global_preferences>/.exec(reply)?.[0] ?? ""
    for (const kept of [
      "<cpu_usage_limit>40.000000</cpu_usage_limit>",
      "<disk_max_used_gb>20.000000</disk_max_used_gb>",
      "<daily_xfer_limit_mb>500.000000</daily_xfer_limit_mb>",
      "<daily_xfer_period_days>30</daily_xfer_period_days>",
      "<day_of_week>6</day_of_week>",
      '<venue name="home">\n      <cpu_usage_limit>70.000000</cpu_usage_limit>\n   </venue>',
    ]) {
      assert.ok(given.includes(kept), `${kept} in ${given}`)
    }
    const read = readXml(given, "global_preferences")
    assert.deepEqual([read.all("max_ncpus_pct").length, read.number("max_ncpus_pct")], [1, 50])
    assert.deepEqual([read.all("run_if_user_active").length, read.text("run_if_user_active")], [1, "0"])
    assert.ok(!given.includes("einstein"))
    // It has them now; and what its volunteer chose elsewhere since then is newer.
    for (const has of [given, given.replace(/<mod_time>\d+/, "<mod_time>1900000000")]) {
      const next = await call(front, { key, hostId: 1, sequence: 1, webPreferences: has })
      assert.equal(next.has("global_preferences"), false)
    }
  })

  it("changes the password for who knows the old one, or the key", async () => {
    const front = await open()
    const { browser, key } = await loggedIn(front)
    assert.match(
      words((await browser.submit("password", { current: "x", new: "longer than before" })).text),
      /neither your password/,
    )
    assert.match(
      words((await browser.submit("password", { current: password, new: "short" })).text),
      /at least 8 characters/,
    )
    assert.equal((await browser.submit("password", { current: password, new: "longer than before" })).status, 303)
    assert.equal((await browser.submit("password", { current: key, new: "and longer still" })).status, 303)
    assert.match(words((await browser.get()).text), /Your computers/, "this session goes on")
    const found = await front.accounts.logIn(email, passwordHash("and longer still", email))
    assert.ok(typeof found !== "string" && found.key === key)
  })

  it("forgets a volunteer: nothing of the person stays, and the ledger does", async () => {
    const front = await open()
    const { browser, key, id } = await loggedIn(front)
    const { reply, node } = await working(front, key)
    const row = { campaign: 1 as never, index: 0, attempt: 1, account: `volunteer:${id}`, node, slotMs: 1_000, at: 1 }
    await front.engine.commit([{ kind: "credit", row }])
    assert.match(words((await browser.get("/volunteer/forget")).text), /cannot be undone/)
    assert.match(words((await browser.submit("forget")).text), /say that you are sure/)
    const { status, text } = await browser.submit("forget", { sure: "1" })
    assert.equal(status, 200)
    assert.match(words(text), /Your account is deleted/)
    assert.match(words((await browser.get()).text), /Log in/)

    const { volunteers } = front.store
    const stored = JSON.stringify([volunteers.volunteer(id), volunteers.hostsOf(id), volunteers.launch(1 as LaunchId)])
    for (const trace of ["vera", "Vera", "attic", "EPYC", "Debian"]) assert.ok(!stored.includes(trace), trace)
    assert.deepEqual(volunteers.launch(1 as LaunchId)?.ending, "aborted")
    assert.equal(front.engine.node(node)?.revoked, true)
    assert.equal(volunteers.credit(`volunteer:${id}`).slotMs, 1_000)
    assert.equal(volunteers.ledger(0, 9).length, 1)
    const refused = await call(front, { key, hostId: 1, sequence: 5, others: [reply.one("result").text("name")] })
    assert.match(refused.text("message"), /If you deleted your account there, remove the project/)
    assert.equal((await fetch(reply.all("file_info")[2]!.text("url"))).status, 404)
  })

  it("V11: nothing of a forgotten volunteer arrives later or stays, and only who was public is published as deleted", async () => {
    const front = await open()
    const { browser, key, id } = await loggedIn(front)
    const reply = await call(front, { key, crossId: "7".repeat(32) })
    const log = reply.all("file_info").find(info => info.text("name").endsWith("_log"))!
    const address = "otto@example.org"
    const otto = await front.accounts.create({
      email: address,
      password: passwordHash(password, address),
      name: "Otto",
    })
    const published = md5(`${otto.volunteer.crossId}${address}`)
    await front.accounts.change(otto.volunteer.id, () => ({ shown: true }))
    const other = new Browser(front)
    await other.post("login", { key: otto.key })
    for (const each of [browser, other]) assert.equal((await each.submit("forget", { sure: "1" })).status, 200)

    const upload = `<data_server_request>
<file_upload>
<file_info>
<name>${log.text("name")}</name>
<xml_signature>
${log.text("xml_signature")}</xml_signature>
<max_nbytes>${log.text("max_nbytes")}</max_nbytes>
</file_info>
<nbytes>5</nbytes>
<md5_cksum>${md5("hello")}</md5_cksum>
<offset>0</offset>
<data>
hello`
    const answer = await (await fetch(log.text("url"), { method: "POST", body: upload })).text()
    assert.match(answer, /<status>-1<\/status>\n<message>the account of this computer was deleted/)
    assert.equal((await call(front, { key, hostId: 1, sequence: 9, name: "attic" })).has("hostid"), false)
    const { volunteers } = front.store
    const stored = JSON.stringify([volunteers.volunteer(id), volunteers.hostsOf(id)])
    for (const trace of ["vera", "attic", "7".repeat(32)]) assert.ok(!stored.includes(trace), trace)
    assert.ok(!JSON.stringify(volunteers.volunteer(otto.volunteer.id)).includes(otto.volunteer.crossId))
    const gone = await fetch(`${front.url}/stats/user_deleted.gz`)
    const users = readXml(gunzipSync(Buffer.from(await gone.arrayBuffer())).toString(), "users_deleted").all("user")
    assert.deepEqual(
      users.map(user => [user.count("id"), user.text("cpid")]),
      [[otto.volunteer.id, published]],
    )
  })

  it("V10: renames a computer, makes one of two that are the same, and takes one off the list until it calls", async () => {
    const front = await open()
    const { browser, key, id } = await loggedIn(front)
    const { node } = await working(front, key)
    const laptop = { key, name: "laptop", cpid: "d".repeat(32), wants: 0 }
    await call(front, laptop)
    const { volunteers } = front.store
    const title = "the <old> one"
    assert.equal((await browser.submit("rename", { computer: "2", title })).location, "/volunteer?said=renamed")
    assert.match((await browser.get()).text, /<h2>the &lt;old&gt; one<\/h2>/)
    await call(front, { ...laptop, hostId: 2, sequence: 1 })
    assert.equal(volunteers.host(2 as HostId)?.title, title, "its client does not take the name back")

    for (const [what, fields] of [
      ["remove", { computer: "1" }],
      ["merge", { computer: "1", into: "2" }],
    ] as const) {
      const refused = await browser.submit(what, fields)
      assert.equal(refused.status, 409)
      assert.match(words(refused.text), /still works here: remove this project in its BOINC first/)
    }
    for (const into of ["2", "9", ""]) {
      assert.notEqual((await browser.submit("merge", { computer: "2", into })).status, 303)
    }

    const line = { campaign: 1 as never, index: 0, attempt: 1, slotMs: 86_400_000, at: Date.now() }
    await front.engine.commit([{ kind: "credit", row: { ...line, account: `volunteer:${id}`, node } }])
    const silent = { ...volunteers.host(1 as HostId)!, heardAt: Date.now() - HOST_QUIET_MS }
    await front.engine.commit([{ kind: "host", row: silent }])
    assert.equal((await browser.submit("merge", { computer: "1", into: "2" })).location, "/volunteer?said=merged")
    const page = words((await browser.get()).text)
    assert.match(page, /the &lt;old&gt; one .* 24 hours of one processor core, for 1 finished job.*credit 200/)
    assert.doesNotMatch(page, /attic/)
    assert.equal(volunteers.launch(1 as LaunchId)?.ending, "lost")
    assert.equal(front.engine.node(node)?.revoked, true)
    assert.equal((await call(front, { key, hostId: 1, sequence: 2, wants: 0 })).text("hostid"), "2", "as the other")

    assert.equal((await browser.submit("remove", { computer: "2" })).location, "/volunteer?said=removed")
    assert.match(words((await browser.get()).text), /None yet/)
    await call(front, { key, hostId: 2, sequence: 3, wants: 0 })
    assert.match(words((await browser.get()).text), /the &lt;old&gt; one/)
  })

  it("V19: says what it does job by job, what it fetched, why it waits, and how much is given a day, in English", async () => {
    const front = await open()
    const { browser, key, id } = await loggedIn(front)
    const { node } = await working(front, key)
    const idle = words((await browser.get()).text)
    assert.match(idle, /waits for work: nobody has any just now/)
    assert.match(idle, /received besides, once, \d[\d.]* (?:bytes|KiB) for the virtual machine/)
    await front.engine.submit(order({ owner: "marie", name: "frames", total: 1 }))
    await front.node.until(() => front.engine.node(node)!.held.size === 1)
    assert.match(words((await browser.get()).text), /Job \d+\.0 of “frames” for marie: it is getting its files\./)
    const row = { campaign: 1 as never, index: 0, attempt: 1, account: `volunteer:${id}`, node, slotMs: 1_000, at: 1 }
    await front.engine.commit([{ kind: "credit", row }])
    assert.doesNotMatch(words((await browser.get()).text), /of late|0\.0 a day/)
    await front.engine.commit([{ kind: "credit", row: { ...row, index: 1, slotMs: 86_400_000, at: Date.now() } }])
    assert.match(words((await browser.get()).text), /200 credit, recently about [\d.]+ a day\./)
  })

  it("V19: says after some minutes what a virtual machine that gets ready may be waiting for", async () => {
    const front = await open()
    const { browser, key, id } = await loggedIn(front)
    await call(front, { key })
    const [launch] = front.store.volunteers.launchesOf(front.store.volunteers.hostsOf(id)[0]!.id, 1)
    const older = { ...launch!, id: 99 as LaunchId, madeAt: Date.now() - 5 * 60_000 }
    await front.engine.commit([{ kind: "launch", row: older }])
    const page = words((await browser.get()).text)
    assert.match(page, /getting ready: .*, once\) and starts it\. That was 5 min ago/)
    assert.match(page, /BOINC last called less than a minute ago\. .*download under Transfers, another project's turn/)
  })

  it("S18: says nothing of what a link has it say, but for its own words", async () => {
    const front = await open()
    const { browser } = await loggedIn(front)
    for (const said of ["constructor", "toString", "__proto__", "hasOwnProperty", "nonsense", ""]) {
      assert.doesNotMatch((await browser.get(`/volunteer?said=${said}`)).text, /class="notice/, said)
    }
    assert.match((await browser.get("/volunteer?said=saved")).text, /class="notice"/)
    for (const name of ["constructor", "toString", "__proto__"]) {
      assert.equal((await fetch(`${front.url}/stats/${name}`)).status, 404)
    }
  })

  it("is one page with two others, and says so elsewhere", async () => {
    const front = await open()
    const { browser } = await loggedIn(front)
    assert.equal((await browser.get("/volunteer/nothing")).status, 404)
    assert.equal((await browser.submit("nothing")).status, 404)
    const { status } = await fetch(`${front.url}/volunteer`, { method: "DELETE" })
    assert.equal(status, 405)
    assert.equal((await browser.post("login", { email: "x".repeat(20_000) })).status, 413)
    assert.match(await textOf(front, "/"), /href="\/volunteer"/)
  })

  it("names a policy that lets nothing in from elsewhere and no script run", async () => {
    const front = await open()
    for (const path of ["/volunteer", "/volunteer/forget"]) {
      const { headers } = await fetch(`${front.url}${path}`)
      const policy = headers.get("content-security-policy") ?? ""
      assert.match(
        policy,
        /^default-src 'self'; style-src 'sha256-[^']+'; script-src 'none'; .*form-action 'self'; frame-ancestors 'none'$/,
      )
      assert.equal(headers.get("cache-control"), "no-store")
    }
  })
})
