// The fronts behind a proxy, and among clients who take their time: bounds are kept for who asks, not for who passes it on.
import assert from "node:assert/strict"
import { once } from "node:events"
import { type ClientRequest, request as requestHttp } from "node:http"
import { describe, it } from "node:test"
import { Failures } from "../auth/failures.ts"
import { passwordHash } from "../auth/password.ts"
import { BOINC_REQUESTS_MAX, BOINC_REQUESTS_PER_ADDRESS_MAX } from "../limits.ts"
import { openFront, type TestFront } from "./front.suite.ts"

const standing = { nowMs: () => 0, wallMs: () => Date.now() }
const local = ["127.0.0.1"]
const WHO = "/cah.v1.ScientistService/WhoAmI"

interface Asked {
  readonly from?: string
  readonly headers?: Record<string, string>
  readonly method?: string
  readonly body?: string
}

async function ask(front: TestFront, path: string, { from, headers = {}, method = "GET", body }: Asked = {}) {
  const far = from === undefined ? {} : { "x-forwarded-for": from }
  const request = requestHttp(new URL(path, front.url), { method, headers: { ...far, ...headers }, agent: false })
  request.end(body)
  const [response] = await once(request, "response")
  return { status: response.statusCode as number, text: Buffer.concat(await response.toArray()).toString() }
}

describe("behind a proxy", () => {
  it("O4: loopback is nobody where a public URL or a trusted proxy is named", async t => {
    for (const options of [{ publicUrl: "https://hub.example.org/" }, { trusted: local }, { trusted: ["10.0.0.1"] }]) {
      const front = await openFront(options)
      t.after(() => front.close())
      for (const path of ["/status", "/api/v1/status", "/metrics"]) {
        const answer = await ask(front, path)
        assert.equal(answer.status, 401, `${path} with ${JSON.stringify(options)}`)
        assert.ok(!answer.text.includes("jobs"))
        const authorization = `Bearer ${await front.token("ada", ["read"])}`
        assert.equal((await ask(front, path, { headers: { authorization } })).status, 200)
      }
      assert.equal((await ask(front, "/healthz")).status, 200)
    }
  })

  it("S8: failed logins are counted for the client, on every front", async t => {
    const failures = () => new Failures(standing, 3)
    for (const [path, asked] of [
      [WHO, { method: "POST", body: "{}", headers: { "content-type": "application/json" } }],
      ["/status", { headers: { authorization: "Bearer cah_wrong" } }],
      [
        "/scheduler",
        { method: "POST", body: "<scheduler_request><authenticator>0</authenticator></scheduler_request>" },
      ],
    ] as [string, Asked][]) {
      const front = await openFront({ trusted: local, failures: failures() })
      t.after(() => front.close())
      const statuses = async (from: string) => {
        const all = []
        for (let n = 0; n < 5; n++) all.push((await ask(front, path, { ...asked, from })).status)
        return all
      }
      const [guesser, other] = [await statuses("203.0.113.5"), await statuses("203.0.113.6")]
      assert.deepEqual(guesser.slice(3), [429, 429], path)
      assert.ok(!guesser.slice(0, 3).includes(429))
      assert.deepEqual(other, guesser, "each address has its own")
      // What the client itself wrote left of it changes nothing.
      assert.equal((await ask(front, path, { ...asked, from: "198.51.100.1, 203.0.113.5" })).status, 429)
    }
  })

  it("S8: volunteers' log-ins, look-ups and sign-ups too", async t => {
    const [logins, signups] = [new Failures(standing, 2), new Failures(standing, 2)]
    const front = await openFront({
      trusted: local,
      logins,
      signups,
      release: { title: "x", appVersions: [] } as never,
    })
    t.after(() => front.close())
    const email = "vera@example.org"
    await front.accounts.create({ email, password: passwordHash("right horse", email), name: "Vera" })
    const query = new URLSearchParams({ email_addr: email, passwd_hash: "0".repeat(32) })
    const form = new URLSearchParams({ email, password: "wrong" }).toString()
    const type = { "content-type": "application/x-www-form-urlencoded" }
    for (const from of ["203.0.113.5", "203.0.113.6"]) {
      const looked = await ask(front, `/lookup_account.php?${query}`, { from })
      assert.match(looked.text, /-206/)
      assert.equal(
        (await ask(front, "/volunteer/login", { from, method: "POST", body: form, headers: type })).status,
        401,
      )
      assert.match((await ask(front, `/lookup_account.php?${query}`, { from })).text, /Too many tries/)
      assert.equal(
        (await ask(front, "/volunteer/login", { from, method: "POST", body: form, headers: type })).status,
        429,
      )
      for (const n of [1, 2, 3]) {
        query.set("email_addr", `${from.at(-1)}.${n}@example.org`)
        const made = await ask(front, `/create_account.php?${query}`, { from })
        assert.match(made.text, n < 3 ? /<authenticator>/ : /Too many tries/)
      }
      query.set("email_addr", email)
    }
  })

  it("S2: a form of nobody's is answered before it is read", async t => {
    const front = await openFront()
    t.after(() => front.close())
    const request = requestHttp(new URL("/volunteer/stop", front.url), {
      method: "POST",
      agent: false,
      headers: { "content-length": 10_000 },
    })
    request.flushHeaders()
    const [response] = await once(request, "response")
    assert.equal(response.statusCode, 401)
    request.on("error", () => {})
    request.destroy()
  })
})

describe("bodies that take their time", () => {
  /** Says what it will send, and sends one byte of it. */
  function slow(front: TestFront, from: string): ClientRequest {
    const headers = { "x-forwarded-for": from, "content-length": 100 }
    const request = requestHttp(new URL("/scheduler", front.url), { method: "POST", agent: false, headers })
    request.on("error", () => {})
    request.write("<")
    return request
  }

  it("S7: keep nobody else from the scheduler, from however few addresses they come", async t => {
    const front = await openFront({ trusted: local })
    t.after(() => front.close())
    const addresses = Math.ceil(BOINC_REQUESTS_MAX / BOINC_REQUESTS_PER_ADDRESS_MAX)
    const refused: Promise<number>[] = []
    const slowOnes: ClientRequest[] = []
    for (let n = 0; n < addresses; n++) {
      for (let k = 0; k <= BOINC_REQUESTS_PER_ADDRESS_MAX; k++) {
        const request = slow(front, `203.0.113.${n}`)
        slowOnes.push(request)
        refused.push(
          once(request, "response").then(
            ([{ statusCode }]) => statusCode,
            () => 0,
          ),
        )
      }
      // The one beyond the address's bound hears so.
      assert.equal(await Promise.race(refused.splice(0)), 503)
    }
    const body = "<scheduler_request><authenticator>0</authenticator></scheduler_request>"
    for (let n = 0; n < 5; n++) {
      const honest = await ask(front, "/scheduler", { from: `192.0.2.${n}`, method: "POST", body })
      assert.equal(honest.status, 200)
      assert.match(honest.text, /Invalid or missing account key/)
    }
    for (const request of slowOnes) request.destroy()
  })

  it("S7: are cut when their whole time is over, though a byte comes now and then", async t => {
    const front = await openFront({ trusted: local, bodyMs: 60 })
    t.after(() => front.close())
    const request = slow(front, "203.0.113.5")
    const dribble = setInterval(() => request.write("x"), 10)
    // Not by once(): how it is cut is an error of the client's.
    await new Promise(resolve => request.on("close", resolve))
    clearInterval(dribble)
    assert.deepEqual(front.lines.errors, [])
  })
})
