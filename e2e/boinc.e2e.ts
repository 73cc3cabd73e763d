// Stock Debian boinc-clients against the hub, from nothing to gone. One attaches by URL, downloads over a line that breaks, runs a signed
// program, is stopped, copied and started anew, uploads over a line that breaks, reports, and leaves; another's program fails, and
// its volunteer stops it on their page. The program is a stand-in for the launcher (a shell script): what is shown here is the
// hub's and the client's part. A real agent joins with the enrolment that the client downloaded, so that credit is of real work.
//   node --import tsx e2e/boinc.e2e.ts
import assert from "node:assert/strict"
import { randomBytes } from "node:crypto"
import { existsSync, readdirSync } from "node:fs"
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { gunzipSync } from "node:zlib"
import { type CampaignAnswer, Hub } from "../harness/hub.ts"
import { end, type Program, ready, runToEnd, start, tail } from "../harness/processes.ts"
import { wallFlags } from "../harness/walls.ts"
import { closeDb, openDb } from "../hub/store/sqlite/open.ts"
import { BoincClient, processesBelow } from "./boinc/client.ts"
import { Cutter } from "./boinc/cutter.ts"
import { CONTROL, standinScript } from "./boinc/standin.ts"

const IMAGE_BYTES = 12_000_000
const KERNEL_BYTES = 3_000_000
const LOG_BYTES = 600_120
const JOBS = 4
const LOOK_EVERY_MS = 100
const password = "correct horse"

const missing = BoincClient.missing()
if (missing !== null) {
  console.log(`skipped: ${missing}`)
  process.exit(77)
}

const startedMs = performance.now()
function note(who: string, what: string): void {
  console.log(`${((performance.now() - startedMs) / 1_000).toFixed(0).padStart(5)} s  ${who}: ${what}`)
}

const place = await mkdtemp(join(tmpdir(), "cah-boinc-"))
const programs: Program[] = []
const clients: BoincClient[] = []
const cutters: Cutter[] = []
try {
  await main()
} catch (error) {
  console.error(error)
  for (const { cuts, seen } of cutters) console.error(`the line was cut ${cuts} times; last requests:`, seen.slice(-12))
  for (const program of programs) console.error(await tail(program))
  process.exitCode = 1
} finally {
  for (const client of clients) await client.kill()
  await end(programs.toReversed())
  for (const cutter of cutters) cutter.close()
  await rm(place, { recursive: true, force: true })
}
process.exit()

async function main(): Promise<void> {
  const release = await makeRelease()
  note("operator", "a release is signed, with a key that the hub never sees")
  const where = { host: "127.0.0.1", more: ["--release", release] }
  const hub = await Hub.start(join(place, "hub"), join(place, "hub.log"), where)
  programs.push(hub.program)
  const handles = (await hub.metrics()).get("cah_db_handles")
  let restarted: () => void = () => {}
  const afterRestart = new Promise<void>(resolve => {
    restarted = resolve
  })
  await Promise.all([longLife(hub, restarted), failureAndStop(hub, afterRestart)])
  assert.equal((await hub.metrics()).get("cah_db_handles"), handles)
  note("operator", `the database has ${handles} open handles, as in the beginning`)
}

async function makeRelease(): Promise<string> {
  const [key, directory] = [join(place, "key"), join(place, "release")]
  await writeFile(join(place, "vmlauncher"), standinScript(LOG_BYTES))
  // Text shrinks by a quarter when it is packed, chance itself not at all.
  await writeFile(join(place, "root"), randomBytes((IMAGE_BYTES / 4) * 3).toString("base64"))
  await writeFile(join(place, "kernel"), randomBytes(KERNEL_BYTES))
  const boinc = (...args: string[]) => runToEnd(["--import", "tsx", "release/sign.ts", ...args], {})
  await boinc("key", "--out", key)
  const images = ["root", "kernel"].flatMap(name => ["--file", `${name}=${join(place, name)}`])
  const files = ["--program", join(place, "vmlauncher"), ...images]
  await boinc("sign", "--key", join(key, "code-sign.pem"), "--out", directory, ...files)
  return directory
}

async function startClient(name: string): Promise<BoincClient> {
  const client = await BoincClient.start(join(place, name))
  clients.push(client)
  return client
}

/** Tells the client's stand-in to end with this code. */
function endWith(client: BoincClient, code: number): Promise<void> {
  return writeFile(join(client.directory, CONTROL), `exit ${code}\n`)
}

async function makeAccount(client: BoincClient, url: string, email: string): Promise<string> {
  const said = await client.answer(["--create_account", url, email, password, "Vera"])
  const key = /account key: (\S+)/.exec(said)?.[1] ?? ""
  assert.match(key, /^[0-9a-f]{32}$/, said)
  return key
}

/** One scheduler RPC that the volunteer asks for. */
async function update(client: BoincClient, url: string): Promise<void> {
  const from = (await client.said()).length
  await client.command(["--project", url, "update"])
  await client.says(/Scheduler request completed/, from)
}

// ---- one volunteer: all that can happen between attaching and leaving ---------------------------------------------

async function longLife(hub: Hub, restarted: () => void): Promise<void> {
  const cutter = await Cutter.start(Number(new URL(hub.url).port))
  cutters.push(cutter)
  const { url } = cutter
  const client = await startClient("client")
  const key = await accounts(client, url)
  await wrongKeyAndUrl(client, url, key)

  cutter.cut({ request: "GET /download/root_", direction: "down", afterBytes: 5_000_000 })
  await client.command(["--project_attach", url, key])
  await client.says(/Temporarily failed download of root_/)
  cutter.mend()
  const [transfer] = await client.transfers()
  await client.command(["--file_transfer", url, transfer!.name, "retry"])
  const first = await client.executing()
  const resumed = cutter.seen.find(line => /^GET \/download\/root_\w+\.gz bytes=/.test(line))
  const from = Number(/bytes=(\d+)-/.exec(resumed ?? "")?.[1])
  assert.ok(from > 1_000_000 && from < 5_000_000, `went on from ${from}`)
  assert.equal((await stat(join(client.projectDirectory(url), transfer!.name))).size, IMAGE_BYTES, "unpacked")
  assert.ok(
    cutter.seen.some(line => /^GET \/download\/kernel_\w+$/.test(line)),
    "what does not shrink comes as it is",
  )
  note("Vera", `attached; the packed download was cut and went on from byte ${from}; the program runs`)

  const settings = await client.until("the program has read its settings", async () => {
    const text = await readFile(client.inSlot(first.slot!, "seen.json"), "utf8").catch(() => "")
    return text === "" ? null : (JSON.parse(text) as Record<string, string>)
  })
  assert.equal(settings.hub, url.replace(/\/$/, ""))
  assert.ok(!JSON.stringify(settings).includes(key), "the account key stays out of the virtual machine")
  const agent = await joinOnce(hub, settings)
  await work(hub, settings.name!)
  await statistics(hub)
  assert.match((await page(hub, key)).replace(/<[^>]*>/g, " "), new RegExp(`for ${JOBS} finished jobs`))
  note("Vera", `${JOBS} jobs were done and credited; statistics and the volunteer's page agree with the ledger`)

  await client.quit()
  assert.deepEqual(await processesBelow(client.directory), [], "a client that quits leaves nothing running")
  await hub.killAtOnce()
  await hub.startAgain()
  programs.push(hub.program)
  restarted()
  await client.begin()
  assert.equal((await client.executing()).name, first.name)
  await update(client, url)
  note("Vera", "client and hub were stopped and started: the same computer with the same task")

  await copied(client, url, first.name)
  await oldClient(client, url)

  const ending = (await client.said()).length
  cutter.cut({ request: "POST /file_upload_handler", direction: "up", afterBytes: 200_000 })
  await endWith(client, 0)
  await client.says(/Temporarily failed upload of vm_/, ending)
  cutter.mend()
  const [upload] = await client.transfers()
  await client.command(["--file_transfer", url, upload!.name, "retry"])
  await client.says(/Finished upload of vm_/, ending)
  const offset = Number(/upload_offset ([1-9]\d*)/.exec((await client.said()).slice(ending))?.[1])
  assert.ok(offset > 0, "went on from where it was cut")
  await client.says(/got ack for task vm_/, ending)
  assert.equal((await stat(join(place, "hub/launch-logs", upload!.name))).size, LOG_BYTES)
  note("Vera", `the launch ended; its upload was cut and went on from byte ${offset}; it was reported and acknowledged`)

  await agent.ended
  assert.match(await tail(agent), /sent this (?:agent|node) away/, "with the launch its node ends too")
  await leave("Vera", client, url)
}

async function accounts(client: BoincClient, url: string): Promise<string> {
  const email = "vera@example.org"
  const description = await client.until("the project's description", async () => {
    const said = await client.answer(["--get_project_config", url])
    return said.includes("name: ") ? said : null
  })
  assert.match(description, /name: Clouds at Home[\s\S]*min_passwd_length: 8/)
  assert.doesNotMatch(await client.answer(["--lookup_account", `${url}elsewhere/`, email, password]), /account key/)
  assert.match(await client.answer(["--lookup_account", url, email, password]), /no database rows found/)
  const key = await makeAccount(client, url, email)
  assert.match(await client.answer(["--create_account", url, email, "another password", "Vera"]), /not unique/i)
  assert.match(await client.answer(["--lookup_account", url, email, "wrong password"]), /bad password/)
  assert.match(await client.answer(["--lookup_account", url, email, password]), new RegExp(key))
  note("Vera", "an account; wrong URL, wrong password and a second account with the same address are refused")
  return key
}

async function wrongKeyAndUrl(client: BoincClient, url: string, key: string): Promise<void> {
  const nowhere = `${url}nothing/here/`
  await client.command(["--project_attach", url, "f".repeat(32)])
  await client.command(["--project_attach", nowhere, key])
  await client.says(/Invalid or missing account key: this hub does not know it/)
  await client.says(/nothing\/here.*(?:failed|not found|HTTP|couldn't)/i)
  await client.command(["--project", url, "detach"])
  await client.command(["--project", nowhere, "detach"])
  note("Vera", "a wrong key is answered in words; attaching to a wrong URL fails as such")
}

/** The enrolment that the client downloaded lets one agent in, and no second one. */
async function joinOnce(hub: Hub, { enrolToken, name }: Record<string, string>): Promise<Program> {
  const walls = await wallFlags(place, line => process.stderr.write(`${line}\n`))
  const startAgent = async (directory: string) => {
    await mkdir(join(place, directory))
    const known = ["--hub", hub.url, "--enroll", enrolToken!, "--state", join(place, directory), "--name", name!]
    const args = ["agent/bin/cah-agent.mjs", ...known, "--slots", "2", ...walls]
    const agent = start(directory, args, {}, join(place, `${directory}.log`))
    programs.push(agent)
    return agent
  }
  const agent = await startAgent("vm")
  await ready(agent, async () => {
    const { nodes } = await hub.ask<{ nodes?: { name: string; state: string }[] }>("ScientistService/ListNodes", {})
    return nodes?.some(node => node.name === name && node.state === "NODE_STATE_ONLINE") ? true : null
  })
  const second = await startAgent("second")
  await second.ended
  assert.match(await tail(second), /unknown, expired or used up/)
  note("Vera", "the enrolment lets one agent in, and no second one")
  return agent
}

async function work(hub: Hub, name: string): Promise<void> {
  const spec = { name: "work", command: ["sleep 1"], array: JOBS, walltime: "60s" }
  const submitted = await hub.ask<{ campaign: string }>("ScientistService/Submit", { idempotencyKey: name, spec })
  for (;;) {
    const { campaign } = await hub.ask<{ campaign: CampaignAnswer }>("ScientistService/GetCampaign", submitted)
    if (campaign.endedAt !== undefined) {
      assert.equal(campaign.counts?.finished, JOBS)
      return
    }
    await pause(LOOK_EVERY_MS)
  }
}

async function copied(client: BoincClient, url: string, task: string): Promise<void> {
  await client.quit()
  const copy = await client.copyTo(join(place, "copy"))
  clients.push(copy)
  await client.begin()
  // Both count from the same number on: the copy is found out when it says one that is behind.
  await update(client, url)
  await update(client, url)
  await client.quit()
  await copy.begin()
  await copy.command(["--project", url, "update"])
  await copy.until("the copy has a task of its own, and not the other", async () => {
    const names = (await copy.tasks()).map(each => each.name)
    return names.length === 1 && names[0] !== task ? true : null
  })
  await copy.quit()
  await rm(copy.directory, { recursive: true })
  await client.begin()
  assert.equal((await client.executing()).name, task)
  note(
    "Vera",
    "a copy of the client's directory was taken for another computer, and lost the task that was not its own",
  )
}

/** The client's own last request, as an older client would have made it on another computer. */
async function oldClient(client: BoincClient, url: string): Promise<void> {
  const file = `sched_request_${new URL(url).host.replace(":", "_")}.xml`
  const request = (await readFile(join(client.directory, file), "utf8"))
    .replace(/<core_client_major_version>\d+/, "<core_client_major_version>6")
    .replace(/<hostid>\d+/, "<hostid>0")
    .replace(/<host_cpid>\w+/, `<host_cpid>${"0".repeat(32)}`)
  const answer = await (await fetch(`${url}scheduler`, { method: "POST", body: request })).text()
  assert.match(answer, /BOINC 6\.\d+\.\d+ is too old for this hub: please install 7\.2\.0 or newer/)
  note("Vera", "the client's own request, with an older version in it, is answered in words")
}

async function leave(who: string, client: BoincClient, url: string): Promise<void> {
  await client.command(["--project", url, "detach"])
  await client.until("the project is gone", async () => (existsSync(client.projectDirectory(url)) ? null : true))
  const slots = join(client.directory, "slots")
  assert.deepEqual(
    readdirSync(slots).flatMap(slot => readdirSync(join(slots, slot))),
    [],
  )
  const left = (await processesBelow(client.directory)).filter(pid => pid !== client.pid)
  assert.deepEqual(left, [])
  await client.quit()
  note(who, "removed the project: no file and no process of ours is left")
}

// ---- another: failures, and the button --------------------------------------------------------------------------

async function failureAndStop(hub: Hub, afterRestart: Promise<void>): Promise<void> {
  const { url } = hub
  const client = await startClient("other")
  const key = await makeAccount(client, url, "otto@example.org")
  await client.command(["--project_attach", url, key])
  const first = await client.executing()
  // A hub that is away in the middle of a report costs the client a minute or more: its own rule, and slow to watch.
  await afterRestart
  const failing = (await client.said()).length
  await endWith(client, 3)
  // After an error the client waits a minute or two before it reports, unless it is told to.
  await client.says(/Unrecoverable error for task vm_/, failing)
  await client.command(["--project", url, "update"])
  await client.says(/got ack for task vm_/, failing)
  assert.match(await page(hub, key), /ended with an error[\s\S]*told to end with 3/)
  const second = await client.executing(2 * 60_000)
  assert.notEqual(second.name, first.name)
  note("Otto", "a launch failed: the page shows what it said; another followed after a pause, without anybody asking")

  const stopping = (await client.said()).length
  await press(hub, key, "stop")
  await client.command(["--project", url, "update"])
  await client.says(/got ack for task vm_/, stopping)
  const [, id] = /^vm_(\d+)_/.exec(second.name) ?? []
  assert.deepEqual(asked("SELECT ending, exit_status AS exit FROM launches WHERE id = ?", Number(id)), {
    ending: "aborted",
    exit: 202,
  })
  await client.command(["--project", url, "update"])
  await client.says(/You stopped this computer on the hub's page/, stopping)
  note("Otto", "stopped from the volunteer's page: the hub aborted the task, and no other came")

  await press(hub, key, "start")
  await client.command(["--project", url, "update"])
  assert.notEqual((await client.executing()).name, second.name)
  note("Otto", "started again from the page")
  await leave("Otto", client, url)
}

// ---- what the hub has written, and what it shows ----------------------------------------------------------------

/** Read from the database itself, by another handle than the hub's. */
function asked<T>(sql: string, ...values: unknown[]): T {
  const file = join(place, "hub/hub.db")
  const db = openDb(file, "reader")
  try {
    return db.prepare(sql).get(...values) as T
  } finally {
    closeDb(file, db)
  }
}

async function statistics(hub: Hub): Promise<void> {
  const ledger = asked<{ slotMs: number; lines: number }>(
    "SELECT sum(slot_ms) AS slotMs, count(*) AS lines FROM credit",
  )
  assert.equal(ledger.lines, JOBS)
  // Each slept for a second on one slot: the hub measured that, and no more than the time that all of this took.
  assert.ok(ledger.slotMs >= JOBS * 900 && ledger.slotMs < JOBS * 30_000, `${ledger.slotMs} ms of slots`)
  const credit = ((ledger.slotMs * 200) / 86_400_000).toFixed(6)
  const tables = await (await fetch(`${hub.url}/stats/tables.xml`)).text()
  assert.match(tables, new RegExp(`<total_credit>${credit}</total_credit>`))
  for (const name of ["user_id.gz", "host_id.gz", "team_id.gz"]) {
    const zipped = Buffer.from(await (await fetch(`${hub.url}/stats/${name}`)).arrayBuffer())
    assert.match(gunzipSync(zipped).toString(), /^<\?xml version="1\.0" encoding="UTF-8"\?>\n<(\w+)>\n[\s\S]*<\/\1>\n$/)
  }
}

/** Logs in with the account key, as somebody may who forgot the password. */
async function session(hub: Hub, key: string): Promise<string> {
  const body = new URLSearchParams({ key })
  const answer = await fetch(`${hub.url}/volunteer/login`, { method: "POST", body, redirect: "manual" })
  return (answer.headers.get("set-cookie") ?? "").split(";")[0] ?? ""
}

async function page(hub: Hub, key: string): Promise<string> {
  return (await fetch(`${hub.url}/volunteer`, { headers: { cookie: await session(hub, key) } })).text()
}

async function press(hub: Hub, key: string, button: "start" | "stop"): Promise<void> {
  const cookie = await session(hub, key)
  const text = await (await fetch(`${hub.url}/volunteer`, { headers: { cookie } })).text()
  const token = /name="token" value="(\w+)"/.exec(text)?.[1] ?? ""
  const computer = /name="computer" value="(\d+)"/.exec(text)?.[1] ?? ""
  const body = new URLSearchParams({ token, computer })
  const headers = { cookie }
  const answer = await fetch(`${hub.url}/volunteer/${button}`, { method: "POST", body, headers, redirect: "manual" })
  assert.equal(
    answer.headers.get("location"),
    button === "stop" ? "/volunteer?said=stopped" : "/volunteer?said=started",
  )
}
