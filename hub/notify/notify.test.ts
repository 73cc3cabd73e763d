// Notices from a store to a mailer and to a web server, both real programs of their kind: a script in sendmail's place writes
// down what it was given, and an HTTP server checks what it got. Time is the test's own.
import assert from "node:assert/strict"
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type IncomingMessage } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test } from "node:test"
import type { CampaignId, Notice } from "../core/model.ts"
import type { NoticeRow, Write } from "../core/rows.ts"
import { noRules } from "../core/rules.ts"
import { NOTICE_RETRY_MS } from "../limits.ts"
import { MemoryStore } from "../store/memory/memory.ts"
import { campaignRow, commit, WALL_MS } from "../store/store.suite.ts"
import { Delivery, type News } from "./deliver.ts"
import { mailCarrier, message, type Post } from "./mail.ts"
import { sendmailPost } from "./sendmail.ts"
import { isPrivate, signature, type Webhooks, webhookCarrier } from "./webhook.ts"

const one = 1 as CampaignId
const mail: Notice = { occasions: ["end"], target: { kind: "mail", address: "ada@example.org" } }
const hook = (url: string): Notice => ({ occasions: ["end"], target: { kind: "webhook", url, secret: "s".repeat(16) } })
const quiet = { debug() {}, info() {}, warn() {}, error() {} }

function news(change: Partial<News> = {}): News {
  const counts = { ...campaignRow(1).counts, queued: 0, finished: 98, failed: 2 }
  const errors = [{ outcome: "failed" as const, exitCode: 3, message: "", count: 2, exampleIndex: 7 }]
  return { campaign: { ...campaignRow(1), counts }, occasion: "end", at: WALL_MS, errors, id: "hub-1-end-0", ...change }
}

/** A store with a notice that is due, and what delivers it. `told()` waits for the next transaction. */
async function due(notices: readonly Notice[], parts: { post?: Post; webhooks?: Webhooks }) {
  const store = new MemoryStore()
  const row: NoticeRow = {
    campaign: one,
    occasion: "end",
    target: 0,
    at: WALL_MS,
    tries: 0,
    nextAt: WALL_MS,
    trouble: "",
    doneAt: null,
  }
  await commit(
    store,
    { kind: "campaign", row: campaignRow(1, { rules: { ...noRules, notices } }) },
    { kind: "notice", row },
  )
  const clock = { wall: WALL_MS, nowMs: () => 0, wallMs: () => clock.wall }
  let told = () => {}
  const delivery = new Delivery({
    store,
    clock,
    log: quiet,
    async commit(writes: Write[]) {
      await commit(store, ...writes)
      told()
    },
    carriers: {
      mail: mailCarrier({ post: parts.post ?? null, from: "hub@example.org" }),
      webhook: webhookCarrier(parts.webhooks ?? "any", clock.wallMs),
    },
  })
  const next = async (): Promise<NoticeRow> => {
    const done = new Promise<void>(resolve => {
      told = resolve
    })
    delivery.wake()
    await done
    return store.notices(one)[0]!
  }
  return { store, clock, delivery, next }
}

function mailer(t: { after(run: () => void): void }, exit: number) {
  const place = mkdtempSync(join(tmpdir(), "cah-mail-"))
  t.after(() => rmSync(place, { recursive: true, force: true }))
  const sendmail = join(place, "sendmail")
  writeFileSync(
    sendmail,
    `#!/bin/sh\nprintf '%s\\n' "$@" > ${place}/argv\ncat > ${place}/mail\necho queue is full >&2\nexit ${exit}\n`,
  )
  chmodSync(sendmail, 0o755)
  return {
    sendmail,
    argv: () => readFileSync(join(place, "argv"), "utf8"),
    mail: () => readFileSync(join(place, "mail"), "utf8"),
  }
}

test("a notice by mail is handed to sendmail, once", async t => {
  const { sendmail, argv, mail: sent } = mailer(t, 0)
  const { next, store, delivery } = await due([mail], { post: sendmailPost(sendmail) })
  const row = await next()
  assert.deepEqual([row.tries, row.trouble, row.doneAt], [1, "", WALL_MS])
  assert.deepEqual(argv().split("\n"), ["-i", "-f", "hub@example.org", "--", "ada@example.org", ""])
  assert.match(
    sent(),
    /^From: hub@example.org\nTo: ada@example.org\nSubject: campaign 1 \(frames 1\) has ended: 0 of 100 jobs finished\n/,
  )
  assert.deepEqual(store.dueNotices(WALL_MS + 1e12, 9), [])
  await delivery.stop()
})

test("a mail says how it went, the commonest errors and what to type next", () => {
  const [, body] = message("hub@example.org", "ada@example.org", news()).split("\n\n")
  const text = Buffer.from(body!, "base64").toString()
  assert.match(text, /Jobs: 100, of which 98 finished, 2 failed/)
  assert.match(text, /2 x failed, exit code 3 \(for one 1\.7\)/)
  assert.match(text, /Next: cah logs 1\.7, or cah show 1/)
})

test("a name in any script fits into the header of a mail, and nothing of it is a header", () => {
  const name = "Ωμέγα ".repeat(30)
  const lines = message("hub@example.org", "a@b.c", news({ campaign: { ...campaignRow(1), name } })).split("\n")
  const subject = lines.slice(
    2,
    lines.findIndex(line => line.startsWith("Date:")),
  )
  assert.ok(subject.length > 1 && subject.every(line => line.length <= 78), subject.join("|"))
  const words = [...subject.join("").matchAll(/=\?utf-8\?B\?([^?]*)\?=/g)].map(([, word]) =>
    Buffer.from(word!, "base64").toString(),
  )
  assert.match(words.join(""), /^campaign 1 \(Ωμέγα Ωμέγα .*Ωμέγα \) has ended/)
})

test("a mailer that refuses is asked again later, less and less often, and in the end no more", async t => {
  const { sendmail } = mailer(t, 75)
  const { next, clock, delivery } = await due([mail], { post: sendmailPost(sendmail) })
  for (const [tries, waitMs] of NOTICE_RETRY_MS.entries()) {
    const row = await next()
    assert.deepEqual([row.tries, row.nextAt, row.doneAt], [tries + 1, clock.wall + waitMs, null])
    assert.match(row.trouble, /sendmail ended with 75: queue is full/)
    clock.wall = row.nextAt
  }
  const last = await next()
  assert.deepEqual([last.tries, last.doneAt], [NOTICE_RETRY_MS.length + 1, clock.wall])
  await delivery.stop()
})

test("without a sendmail the trouble says so", async () => {
  const { next, delivery } = await due([mail], {})
  assert.match((await next()).trouble, /this hub sends no mail/)
  await delivery.stop()
})

async function receiver(t: { after(run: () => void): void }, status: number, location?: string) {
  const got: { headers: IncomingMessage["headers"]; body: string }[] = []
  const server = createServer(async (request, response) => {
    let body = ""
    for await (const part of request.setEncoding("utf8")) body += part
    got.push({ headers: request.headers, body })
    response.writeHead(status, location === undefined ? {} : { location }).end("thanks")
  })
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve))
  t.after(() => server.close())
  return { got, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook` }
}

test("a webhook gets JSON with a signature that its secret makes", async t => {
  const { got, url } = await receiver(t, 204)
  const { next, delivery } = await due([hook(url)], {})
  assert.equal((await next()).trouble, "")
  const [{ headers, body }] = got as [(typeof got)[0]]
  const seconds = Math.floor(WALL_MS / 1_000)
  assert.equal(headers["cah-signature"], `t=${seconds},v1=${signature("s".repeat(16), seconds, body)}`)
  const { occasion, headline, campaign } = JSON.parse(body)
  assert.deepEqual([occasion, campaign.id, campaign.total], ["end", 1, 100])
  assert.match(headline, /frames 1/)
  await delivery.stop()
})

test("M5: a receiver knows a second copy by its id, and a campaign that ended anew is none", async t => {
  const { got, url } = await receiver(t, 503)
  const { next, store, clock, delivery } = await due([hook(url)], {})
  clock.wall = (await next()).nextAt
  await next()
  const [row] = store.notices(one)
  await commit(store, { kind: "notice", row: { ...row!, at: clock.wall, tries: 0, nextAt: clock.wall } })
  await next()
  const ids = got.map(({ headers }) => headers["cah-notice"])
  assert.deepEqual([ids.length, ids[0] === ids[1], ids[1] === ids[2]], [3, true, false])
  await delivery.stop()
})

test("an answer that is not a success is a try that failed, and a redirect is one", async t => {
  const elsewhere = await receiver(t, 200)
  const { url } = await receiver(t, 302, elsewhere.url)
  const { next, delivery } = await due([hook(url)], {})
  assert.match((await next()).trouble, /answered 302/)
  assert.deepEqual(elsewhere.got, [])
  await delivery.stop()
})

test("a hub asks nobody within its own network, however the address is written", async t => {
  const { got, url } = await receiver(t, 200)
  const { port } = new URL(url)
  for (const host of ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "169.254.169.254"]) {
    const { next, delivery } = await due([hook(`https://${host}:${port}/`)], { webhooks: "public" })
    assert.match((await next()).trouble, /within the hub's own network/, host)
    await delivery.stop()
  }
  for (const [webhooks, trouble] of [
    ["public", /https only/],
    ["none", /switched them off/],
  ] as const) {
    const { next, delivery } = await due([hook(url)], { webhooks })
    assert.match((await next()).trouble, trouble)
    await delivery.stop()
  }
  assert.deepEqual(got, [])
})

test("S14: only addresses that are given out for the open Internet are called", () => {
  for (const address of [
    ...[
      "10.1.2.3",
      "172.31.0.1",
      "192.168.0.1",
      "100.64.0.1",
      "0.0.0.0",
      "255.255.255.255",
      "192.0.2.1",
      "192.88.99.1",
    ],
    ...["198.51.100.7", "203.0.113.9", "240.0.0.1", "224.0.0.1"],
    ...["::", "::1", "fe80::1", "fe80::1%eth0", "fd00::1", "fec0::1", "ff02::1", "100::1", "4000::1"],
    ...["::7f00:1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1"],
    ...["2002:7f00:1::", "2002:808:808::1", "64:ff9b::1", "64:ff9b::7f00:1", "64:ff9b:1::1", "64:ff9b:1:7f00:1::"],
    ...["2001::1", "2001:10::1", "2001:20::1", "2001:db8::1", "3fff::1", "localhost", ""],
  ]) {
    assert.equal(isPrivate(address), true, address)
  }
  for (const address of [
    "8.8.8.8",
    "172.32.0.1",
    "192.0.3.1",
    "2606:4700::1111",
    "2001:4860:4860::8888",
    "2a00:1450::1",
  ]) {
    assert.equal(isPrivate(address), false, address)
  }
})

test("S9: receivers of one owner who never answer hold up nobody else's notice, and are asked seldom", async t => {
  const store = new MemoryStore()
  const { got, url } = await receiver(t, 204)
  const asked: string[] = []
  const target = (n: number) => hook(`https://silent${n % 2}.example/`)
  for (const campaign of [1, 2, 3, 4]) {
    const rules = { ...noRules, notices: Array.from({ length: 10 }, (_, n) => target(n)) }
    await commit(store, { kind: "campaign", row: campaignRow(campaign, { owner: "mallory", rules }) })
  }
  await commit(store, {
    kind: "campaign",
    row: campaignRow(5, { owner: "ada", rules: { ...noRules, notices: [hook(url)] } }),
  })
  const row = (campaign: number, number: number, nextAt: number): Write => {
    const rest = { occasion: "end" as const, at: WALL_MS, tries: 0, trouble: "", doneAt: null }
    return { kind: "notice", row: { ...rest, campaign: campaign as CampaignId, target: number, nextAt } }
  }
  await commit(
    store,
    ...[1, 2, 3, 4].flatMap(each => Array.from({ length: 10 }, (_, n) => row(each, n, WALL_MS))),
    row(5, 0, WALL_MS),
  )
  const real = webhookCarrier("any", () => WALL_MS)
  const giveUp: (() => void)[] = []
  const timedOut = new DOMException("", "TimeoutError")
  let seen = () => {}
  const delivery = new Delivery({
    store,
    clock: { nowMs: () => 0, wallMs: () => WALL_MS },
    log: quiet,
    timeout: () => {
      const controller = new AbortController()
      giveUp.push(() => controller.abort(timedOut))
      return controller.signal
    },
    async commit(writes: Write[]) {
      await commit(store, ...writes)
      seen()
    },
    carriers: {
      mail: real,
      webhook: {
        async carry(whom, news, signal) {
          if (news.campaign.owner === "ada") return real.carry(whom, news, signal)
          asked.push(whom.kind === "webhook" ? whom.url : "")
          await new Promise((_done, reject) => signal.addEventListener("abort", () => reject(signal.reason)))
        },
      },
    },
  })
  const until = (isSo: () => boolean) =>
    new Promise<void>(done => {
      seen = () => void (isSo() && done())
    })
  const told = until(() => store.notices(5 as CampaignId)[0]!.doneAt !== null)
  delivery.wake()
  await told
  assert.deepEqual([got.length, asked.length], [1, 2], "while two of the other owner's hang")
  // Those two give up: the other 38 are put off without being asked.
  const off = until(() => store.dueNotices(WALL_MS, 99).length === 0)
  for (const each of giveUp) each()
  await off
  assert.equal(asked.length, 2)
  assert.deepEqual(new Set(asked).size, 2)
  const tries = [1, 2, 3, 4].flatMap(each => store.notices(each as CampaignId).map(notice => notice.tries))
  assert.equal(
    tries.reduce((a, b) => a + b),
    2,
  )
  await delivery.stop()
})

test("a notice of a campaign that was forgotten goes to nobody", async () => {
  const { next, store, delivery } = await due([], {})
  assert.deepEqual([(await next()).doneAt, store.nextNoticeAt()], [WALL_MS, null])
  await delivery.stop()
})
