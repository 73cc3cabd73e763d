import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { once } from "node:events"
import { request as requestHttp } from "node:http"
import { after, before, describe, it, type TestContext } from "node:test"
import { createClient } from "@connectrpc/connect"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { Health, HealthCheckResponse_ServingStatus as Serving } from "../../../proto/gen/grpc/health/v1/health_pb.ts"
import { ServerReflection } from "../../../proto/gen/grpc/reflection/v1/reflection_pb.ts"
import type { Node } from "../../core/model.ts"
import { openFront, type TestFront } from "../front.suite.ts"
import { countNodes, type Status } from "./gather.ts"

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

describe("the operator's endpoints", () => {
  let front: TestFront
  before(async () => {
    front = await openFront()
  })
  after(() => front.close())

  async function get(path: string, headers: Record<string, string> = {}, method = "GET"): Promise<Answer> {
    const { port, hostname: host } = new URL(front.url)
    const request = requestHttp({ host, port, path, method, headers, agent: false }).end()
    const [response] = await once(request, "response")
    const body = Buffer.concat(await response.toArray()).toString()
    return { status: response.statusCode, headers: response.headers, body }
  }

  /** As a reverse proxy on the same machine passes it on. */
  const elsewhere = { "x-forwarded-for": "192.0.2.7" }
  const guarded = ["/status", "/metrics", "/api/v1/status"]

  it("say that the process lives and that the hub is ready, to everybody", async () => {
    for (const headers of [{}, elsewhere]) {
      assert.equal((await get("/healthz", headers)).body, "ok\n")
      assert.equal((await get("/readyz", headers)).body, "ready\n")
      const verbose = JSON.parse((await get("/readyz?verbose", headers)).body)
      assert.deepEqual([verbose.ready, verbose.checks.length], [true, 3])
    }
  })

  it("show the rest without a token at the hub's own machine only", async () => {
    for (const path of guarded) {
      assert.equal((await get(path)).status, 200, path)
      for (const far of [elsewhere, { forwarded: "for=192.0.2.7" }, { via: "1.1 proxy" }, { host: "evil.example" }]) {
        const answer = await get(path, far as Record<string, string>)
        assert.equal(answer.status, 401, `${path} ${JSON.stringify(far)}`)
        assert.match(String(answer.headers["www-authenticate"]), /Basic .*Bearer/)
      }
    }
  })

  it("show themselves elsewhere to a token that may read, and all to an admin", async () => {
    const reader = await front.token("ada", ["read"])
    const admin = await front.token("root", ["admin"])
    const submitter = await front.token("bob", ["submit"])
    const basic = (secret: string) => `Basic ${Buffer.from(`any:${secret}`).toString("base64")}`
    for (const path of guarded) {
      assert.equal((await get(path, { ...elsewhere, authorization: `Bearer ${reader}` })).status, 200)
      assert.equal((await get(path, { ...elsewhere, authorization: basic(reader) })).status, 200)
      assert.equal((await get(path, { ...elsewhere, authorization: `Bearer ${submitter}` })).status, 403)
      assert.equal((await get(path, { authorization: "Bearer cah_wrong" })).status, 401, "a wrong token is no token")
    }
    const seen = async (secret: string) =>
      JSON.parse((await get("/api/v1/status", { ...elsewhere, authorization: `Bearer ${secret}` })).body)
    const [some, all] = [await seen(reader), await seen(admin)]
    assert.ok(!("database" in some) && !("campaigns" in some) && "jobs" in some)
    assert.ok("database" in all && "campaigns" in all)
  })

  it("only read", async () => {
    for (const path of ["/healthz", ...guarded]) {
      const answer = await get(path, {}, "POST")
      assert.deepEqual([answer.status, answer.headers.allow], [405, "GET, HEAD"])
      const head = await get(path, {}, "HEAD")
      assert.deepEqual([head.status, head.body], [200, ""])
    }
    assert.equal((await get("/nothing")).status, 404)
    assert.equal((await get("/constructor")).status, 404)
    assert.equal((await get("/__proto__")).status, 404)
  })

  it("allow a browser nothing but the page's own style", async () => {
    const { headers, body } = await get("/")
    const policy = String(headers["content-security-policy"])
    assert.match(policy, /^default-src 'none'; style-src 'sha256-[^']+'; base-uri 'none'/)
    assert.equal(headers["x-content-type-options"], "nosniff")
    assert.ok(!/<script|onclick|style=/.test(body))
  })

  it("escape what people named", async () => {
    const ada = front.scientist(await front.token("<b>ada"))
    await ada.submit({
      idempotencyKey: "x",
      spec: { name: `<script>alert("1")</script>'&`, command: ["true"], array: 4 },
    })
    const { body } = await get("/")
    assert.ok(!body.includes("<script") && !body.includes("<b>"))
    assert.ok(body.includes("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39;&amp;"))
    assert.ok(body.includes("&lt;b&gt;ada"))
  })

  it("say in words what needs a person and what to do", async () => {
    // Jobs wait since the test before, and no node is there.
    const waiting = JSON.parse((await get("/api/v1/status")).body)
    assert.equal(waiting.verdict, "1 thing needs you", JSON.stringify(waiting.needs))
    assert.match(waiting.needs[0].what, /4 jobs cannot go on: no node is online/)
    assert.match(waiting.needs[0].fix, /cah-agent/)
    assert.match((await get("/")).body, /<h1 class="needs">1 thing needs you<\/h1>/)
    await front.node.join(front.engine, 2)
    const well = JSON.parse((await get("/api/v1/status")).body)
    assert.deepEqual([well.verdict, well.nodes.online, well.nodes.slots, well.nodes.slotsBusy], ["All well", 1, 2, 2])
    assert.match((await get("/")).body, /<h1 class="well">All well<\/h1>/)
  })

  it("give metrics that promtool accepts, with calls counted by method, protocol and code", async t => {
    const { body, headers } = await get("/metrics")
    assert.match(String(headers["content-type"]), /^text\/plain; version=0\.0\.4/)
    assert.ok(
      body.includes('cah_rpc_requests_total{method="cah.v1.ScientistService/Submit",protocol="grpc",code="ok"} 1'),
    )
    const promtool = spawnSync("promtool", ["check", "metrics"], { input: body, encoding: "utf8" })
    if (promtool.error) return t.skip("promtool is not installed")
    assert.equal(promtool.status, 0, promtool.stdout + promtool.stderr)
  })

  it("serve grpc.health.v1: check, list, watch", async () => {
    const health = createClient(Health, createGrpcTransport({ baseUrl: front.url }))
    assert.equal((await health.check({})).status, Serving.SERVING)
    assert.equal((await health.check({ service: "cah.v1.ScientistService" })).status, Serving.SERVING)
    await assert.rejects(health.check({ service: "no.such.Service" }), /no service/)
    const { statuses } = await health.list({})
    assert.equal(statuses["cah.v1.OperatorService"]?.status, Serving.SERVING)
    for (const [service, status] of [
      ["", Serving.SERVING],
      ["later", Serving.SERVICE_UNKNOWN],
    ] as const) {
      const stop = new AbortController()
      const watch = health.watch({ service }, { signal: stop.signal })[Symbol.asyncIterator]()
      assert.equal((await watch.next()).value?.status, status)
      stop.abort()
    }
  })

  it("serve reflection: services, files by name and symbol, extensions", async () => {
    const client = createClient(ServerReflection, createGrpcTransport({ baseUrl: front.url }))
    async function ask(...messageRequests: object[]) {
      const requests = (async function* () {
        for (const messageRequest of messageRequests) yield { messageRequest } as never
      })()
      const answers = []
      for await (const answer of client.serverReflectionInfo(requests)) answers.push(answer.messageResponse)
      return answers
    }
    const [list, file, symbol, member, extension, numbers, unknown, empty] = await ask(
      { case: "listServices", value: "" },
      { case: "fileByFilename", value: "cah/v1/job.proto" },
      { case: "fileContainingSymbol", value: "cah.v1.ScientistService" },
      { case: "fileContainingSymbol", value: "cah.v1.ScientistService.Submit" },
      {
        case: "fileContainingExtension",
        value: { containingType: "google.protobuf.MethodOptions", extensionNumber: 50001 },
      },
      { case: "allExtensionNumbersOfType", value: "google.protobuf.MethodOptions" },
      { case: "fileContainingSymbol", value: "cah.v1.ScientistService.Nothing" },
      {},
    )
    assert.ok(list?.case === "listServicesResponse")
    assert.deepEqual(list.value.service.map(each => each.name).sort(), [
      "cah.v1.OperatorService",
      "cah.v1.ScientistService",
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
    ])
    for (const each of [file, symbol, member, extension]) assert.equal(each?.case, "fileDescriptorResponse")
    assert.ok(numbers?.case === "allExtensionNumbersResponse")
    assert.deepEqual(numbers.value.extensionNumber, [50001])
    assert.deepEqual([unknown?.case, empty?.case], ["errorResponse", "errorResponse"])
  })
})

describe("the sums of the page", () => {
  const node = (link: number | null, drained: boolean, slots: number, busy: number) => {
    const held = new Map(Array.from({ length: busy }, (_, at) => [at, { needs: { slots: 1 } }]))
    return { link, drained, revoked: false, quarantine: null, slots, held } as unknown as Node
  }

  it("O10: slots of nodes that are away are neither there nor busy", () => {
    const nodes = [node(1, false, 2, 2), node(2, false, 2, 1), node(null, false, 2, 2), node(3, true, 2, 1)]
    assert.deepEqual(countNodes({ engine: { nodes: () => nodes } }), {
      online: 2,
      away: 1,
      drained: 1,
      quarantined: 0,
      revoked: 0,
      slots: 4,
      slotsBusy: 3,
      slotsElsewhere: 3,
    })
  })

  it("O10: held jobs need no node, an owner with ten million jobs is named, and stuck work is a need", async t => {
    const front = await openFront()
    t.after(() => front.close())
    const status = async () => (await fetch(`${front.url}/api/v1/status`)).json() as Promise<Status>
    const ada = front.scientist(await front.token("ada"))
    await ada.submit({ idempotencyKey: "1", spec: { command: ["true"], array: 1_001, hold: true } })
    assert.equal((await status()).verdict, "All well")
    assert.match(await (await fetch(front.url)).text(), /<td class="name">ada<\/td><td>held<\/td>/)
    const hog = front.scientist(await front.token("hog"))
    await hog.submit({ idempotencyKey: "2", spec: { command: ["true"], array: 10_000_000 } })
    assert.match((await status()).needs[0]?.what ?? "", /^10,000,000 jobs cannot go on: no node is online\.$/)
    const page = await (await fetch(front.url)).text()
    assert.match(page, /<td class="name">hog<\/td><td>1<\/td><td>0<\/td><td>10,000,000<\/td><td>0<\/td>/)
    assert.match(page, /<td class="name">ada<\/td><td>1<\/td><td>0<\/td><td>0<\/td><td>1,001<\/td>/)

    await front.node.join(front.engine, 1)
    assert.equal((await status()).verdict, "All well")
    await ada.submit({
      idempotencyKey: "3",
      spec: { name: "wide", command: ["true"], array: 1, needs: { slots: 64 }, hold: true },
    })
    await ada.setHold({ campaign: 3n, held: false })
    const stuck = (await status()).needs[0]
    assert.match(stuck?.what ?? "", /^1 job of campaign 3 \(wide\) of ada cannot start: no node can ever run it: .*64/)
    assert.match(stuck?.fix ?? "", /cah explain 3/)
  })
})

describe("a hub where others' nodes knock", () => {
  const needs = async (t: TestContext, strangers: number, madeAnew: string | null, nodes: number) => {
    const front = await openFront({ strangers: () => strangers, madeAnew })
    t.after(() => front.close())
    if (nodes > 0) await front.node.join(front.engine, 1)
    return ((await (await fetch(`${front.url}/api/v1/status`)).json()) as Status).needs
  }

  it("O2: asks whether its new database is meant, until it is said or a node has joined", async t => {
    const [need] = await needs(t, 2, "/srv/cah", 0)
    assert.match(
      need?.what ?? "",
      /^2 nodes knock that this hub does not know, and its database is new: .* in \/srv\/cah\.$/,
    )
    assert.match(need?.fix ?? "", /not mounted\?.*If a new hub is meant, start it with --init\.$/)
    assert.deepEqual(await needs(t, 2, null, 0), [], "--init was said")
    assert.deepEqual(await needs(t, 0, "/srv/cah", 0), [], "a first start, where nobody knocks")
    assert.deepEqual(await needs(t, 1, "/srv/cah", 1), [], "in use, and one straying node is no accident")
  })

  it("O2: wonders about its database where more nodes are unknown than known", async t => {
    const [need] = await needs(t, 5, null, 1)
    assert.match(need?.what ?? "", /^5 nodes knock that this hub does not know: more than are online\.$/)
    assert.match(need?.fix ?? "", /older copy/)
  })
})

describe("a hub in trouble", () => {
  it("O6: says of its certificate that it ends soon, has ended, or that a new one is not used", async t => {
    const day = 86_400_000
    let certificate = { notAfterMs: Date.now() + 30 * day, refused: null as string | null }
    const front = await openFront({ certificate: () => certificate })
    t.after(() => front.close())
    const needs = async () => {
      const status = await (await fetch(`${front.url}/api/v1/status`)).json()
      return (status as { needs: { what: string; fix: string }[] }).needs.map(({ what, fix }) => `${what} ${fix}`)
    }
    assert.deepEqual(await needs(), [])
    certificate = { notAfterMs: Date.now() + 10 * day, refused: null }
    assert.match((await needs())[0]!, /certificate expires in (9 d 23|10 d 0) h, on 20.* Renew it/)
    certificate = { notAfterMs: Date.now() - day, refused: "--tls-key x is not the key" }
    const [expired, refused] = await needs()
    assert.match(expired!, /certificate expired on 20.*: no agent and no client can connect/)
    assert.match(refused!, /new TLS certificate is not used.* --tls-key x is not the key/)
    const page = await (await fetch(front.url)).text()
    assert.match(page, /2 things need you[\s\S]*certificate valid until/)
  })

  it("is alive and not ready, and says why everywhere", async t => {
    const front = await openFront({ diskFloorBytes: 2 ** 60, damagedBlobs: () => 2, clockDoubt: () => "it says 2099" })
    t.after(() => front.close())
    assert.equal((await fetch(`${front.url}/healthz`)).status, 200)
    const ready = await fetch(`${front.url}/readyz`)
    assert.equal(ready.status, 503)
    assert.match(await ready.text(), /^disk: \d+ bytes free/)
    const status = (await (await fetch(`${front.url}/api/v1/status`)).json()) as {
      verdict: string
      needs: { what: string }[]
    }
    assert.equal(status.verdict, "3 things need you")
    assert.match(status.needs[0]?.what ?? "", /Only [\d.]+ \w+ are free/)
    assert.match(status.needs[1]?.what ?? "", /2 stored files are missing or damaged/)
    assert.match(status.needs[2]?.what ?? "", /clock jumped ahead: nothing is removed by age/)
    const health = createClient(Health, createGrpcTransport({ baseUrl: front.url }))
    assert.equal((await health.check({})).status, Serving.NOT_SERVING)
  })

  it("O3: names a node in quarantine as a need, counts it, and takes it out when its operator says so", async t => {
    const front = await openFront()
    t.after(() => front.close())
    await front.node.join(front.engine, 2)
    const why = "3 jobs of campaign 7 failed on it in a row, and elsewhere they do not"
    const node = front.engine.peek().nodes.get(front.node.id)!
    node.quarantine = { sinceAt: Date.now(), why, clean: 0, failed: 1, probeMs: Number.MAX_SAFE_INTEGER }
    const needs = async () =>
      ((await (await fetch(`${front.url}/api/v1/status`)).json()) as { needs: { what: string; fix: string }[] }).needs
    const [need] = await needs()
    assert.match(need?.what ?? "", /1 node in quarantine.*3 jobs of campaign 7 failed on it in a row/)
    assert.match(need?.fix ?? "", /cah nodes release/)
    // The metric's gauge is made of the same counts (hub.ts).
    assert.equal(countNodes(front).quarantined, 1)
    await front.engine.releaseNode(front.node.id)
    assert.deepEqual(await needs(), [])
  })
})
