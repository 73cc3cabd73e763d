// Every method of every service, generated from the contract, against every kind of caller that must not get through.
import assert from "node:assert/strict"
import { after, before, describe, it } from "node:test"
import { create, type DescMethod, type MessageShape } from "@bufbuild/protobuf"
import { Code, ConnectError } from "@connectrpc/connect"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { OperatorService } from "../../proto/gen/cah/v1/operator_pb.ts"
import { ScientistService } from "../../proto/gen/cah/v1/scientist_pb.ts"
import { Health } from "../../proto/gen/grpc/health/v1/health_pb.ts"
import { Authenticator } from "../auth/authenticate.ts"
import { Failures } from "../auth/failures.ts"
import { mintSecret } from "../auth/secret.ts"
import { CahError } from "../core/errors.ts"
import type { ScopeName } from "../core/rows.ts"
import { openFront, type TestFront } from "./front.suite.ts"
import { type CallPeer, guard, scopeOf } from "./rpc/guard.ts"

const scopes: readonly ScopeName[] = ["read", "submit", "cancel", "admin"]
const methods: DescMethod[] = [...ScientistService.methods, ...OperatorService.methods]

/** Requests that name an object of somebody else: one for each method that can name one. */
const others: Record<string, (campaign: bigint) => object> = {
  GetCampaign: campaign => ({ campaign }),
  ListJobs: campaign => ({ campaign }),
  GetJob: campaign => ({ id: { campaign, index: 0 } }),
  WatchCampaign: campaign => ({ campaign }),
  Cancel: campaign => ({ campaign }),
  SetHold: campaign => ({ campaign, held: true }),
  RetryJobs: campaign => ({ campaign }),
  Explain: campaign => ({ campaign }),
  Forget: campaign => ({ campaign }),
  RemoveBlob: () => ({ digest: `sha256:${"0".repeat(64)}` }),
  Download: campaign => ({ job: { campaign, index: 0 }, output: 2 }),
  FollowLog: campaign => ({ job: { campaign, index: 0 }, output: 2 }),
}
/** Those that can't: they speak of the caller's own things, of the hub, or are for admins. */
const own = [
  "WhoAmI",
  "Submit",
  "SubmitStream",
  "Plan",
  "ListCampaigns",
  "ListBlobs",
  "ListNodes",
  "GetUpload",
  "Upload",
]

const peer: CallPeer = { address: "203.0.113.9", cut() {} }

async function* one<T>(message: T): AsyncGenerator<T> {
  yield message
}

describe("every method", () => {
  let front: TestFront
  let campaign: bigint
  before(async () => {
    front = await openFront()
    const ada = front.scientist(await front.token("ada"))
    campaign = (await ada.submit({ idempotencyKey: "k", spec: { command: ["true"], array: 2 } })).campaign
  })

  after(() => front.close())

  async function call(method: DescMethod, secret: string | null, message: object): Promise<Code | "ok"> {
    const transport = createGrpcTransport({ baseUrl: front.url })
    const header: Record<string, string> = secret === null ? {} : { authorization: `Bearer ${secret}` }
    const input = create(method.input, message as MessageShape<typeof method.input>)
    try {
      if (method.methodKind === "unary") {
        await transport.unary(method as DescMethod & { methodKind: "unary" }, undefined, undefined, header, input)
      } else {
        const streaming = method as DescMethod & { methodKind: "server_streaming" }
        const response = await transport.stream(streaming, undefined, undefined, header, one(input))
        for await (const _message of response.message) break
      }
      return "ok"
    } catch (error) {
      return ConnectError.from(error).code
    }
  }

  for (const method of methods) {
    const needed = scopeOf(method)

    it(`${method.name} names its scope`, () => assert.ok(needed !== null))

    it(`${method.name} is closed without a token, with a false one, and with one for joining`, async () => {
      for (const secret of [null, "", "cah_nonsense", mintSecret("cah").secret, mintSecret("cahjoin").secret]) {
        assert.equal(await call(method, secret, {}), Code.Unauthenticated, `with ${secret}`)
      }
    })

    it(`${method.name} is closed to a token with every scope but ${needed}`, async () => {
      const secret = await front.token(
        "ada",
        scopes.filter(scope => scope !== needed && scope !== "admin"),
      )
      assert.equal(await call(method, secret, {}), Code.PermissionDenied)
    })

    it(`${method.name} is closed to a token that was revoked or has expired`, async () => {
      const revoked = await front.tokens.create("ada", [needed ?? "admin"], null)
      await front.tokens.revoke(revoked.row.id)
      assert.equal(await call(method, revoked.secret, {}), Code.Unauthenticated)
      const expired = await front.tokens.create("ada", [needed ?? "admin"], -1)
      assert.equal(await call(method, expired.secret, {}), Code.Unauthenticated)
    })

    const ask = others[method.name]
    if (ask !== undefined) {
      it(`${method.name} does not find what is somebody else's, and says the same of what does not exist`, async () => {
        const eve = await front.token("eve")
        assert.equal(await call(method, eve, ask(campaign)), Code.NotFound)
        assert.equal(await call(method, eve, ask(campaign + 1000n)), Code.NotFound)
        assert.equal(await call(method, eve, ask(2n ** 64n - 1n)), Code.NotFound)
      })
    } else {
      it(`${method.name} names no object of another, or is for admins`, () => {
        assert.ok(needed === "admin" || own.includes(method.name), "say in this test which of both it is")
      })
    }
  }

  it("that names no scope is closed even to an admin", async () => {
    const { secret } = await front.tokens.create("root", ["admin"], null)
    const failures = new Failures({ nowMs: () => 0, wallMs: () => 0 })
    const { admit } = guard({
      authenticator: new Authenticator({ tokens: front.tokens, failures }),
      open: new Set(),
      wallMs: Date.now,
    })
    assert.throws(() => admit(Health.method.check, `Bearer ${secret}`, peer), {
      code: "permission_denied",
      message: /names no scope/,
    })
  })

  it("shows an admin what is anybody's", async () => {
    const { secret } = await front.tokens.create("root", ["admin"], null)
    const root = front.scientist(secret)
    assert.equal((await root.getCampaign({ campaign })).campaign?.owner, "ada")
    assert.deepEqual((await root.listCampaigns({})).campaigns, [])
    assert.equal((await root.listCampaigns({ everybody: true })).campaigns.length, 1)
    const ada = front.scientist(await front.token("ada"))
    await assert.rejects(ada.listCampaigns({ everybody: true }), { code: Code.PermissionDenied })
  })

  it("O11: by which an admin changes what is another's is a line in the log, and an owner's is none", async () => {
    const { secret } = await front.tokens.create("root", ["admin"], null)
    const root = front.scientist(secret)
    const ada = front.scientist(await front.token("ada"))
    const { campaign: own } = await ada.submit({ idempotencyKey: "o11", spec: { command: ["true"], array: 3 } })
    front.lines.infos.splice(0)
    await ada.setHold({ campaign: own, held: true })
    await root.setHold({ campaign: own, held: false })
    await ada.cancel({ campaign: own, ranges: [{ first: 0, last: 0 }] })
    await root.cancel({ campaign: own })
    const by = { by: "root", campaign: Number(own), owner: "ada" }
    assert.deepEqual(front.lines.infos, [
      { fields: { ...by, jobs: 0 }, message: "campaign of another's resumed" },
      { fields: { ...by, cancelled: 2 }, message: "campaign of another's cancelled" },
    ])
  })

  it("S19: that asks for a campaign beyond all numbers hears that number, and the bound", async () => {
    const ada = front.scientist(await front.token("ada"))
    for (const id of [2n ** 53n, 2n ** 64n - 1n]) {
      await assert.rejects(ada.getCampaign({ campaign: id }), {
        code: Code.NotFound,
        rawMessage: `there is no campaign ${id}: numbers of campaigns are below 2^53`,
      })
    }
    await assert.rejects(ada.getCampaign({ campaign: 2n ** 53n - 1n }), { rawMessage: /no campaign 9007199254740991/ })
    const spec = { command: ["true"], array: 1, after: [{ campaign: 2n ** 53n }] }
    await assert.rejects(ada.submit({ idempotencyKey: "s19", spec }), { rawMessage: /no campaign 9007199254740992/ })
    assert.ok((await ada.listCampaigns({ before: 2n ** 60n })).campaigns.length > 0)
  })
})

describe("a revocation", () => {
  it("ends the token's open streams, both ways, in less than five seconds", async t => {
    const front = await openFront()
    t.after(() => front.close())
    const { row, secret } = await front.tokens.create("ada", ["read", "submit"], null)
    const ada = front.scientist(secret)
    const { campaign } = await ada.submit({ idempotencyKey: "k", spec: { command: ["true"], array: 1 } })
    const watch = ada.watchCampaign({ campaign })[Symbol.asyncIterator]()
    await watch.next()
    // An upload whose sender says nothing more.
    let endUpload = () => {}
    const pause = new Promise<void>(resolve => {
      endUpload = resolve
    })
    const bytes = Buffer.alloc(10)
    const upload = ada.upload(
      (async function* () {
        yield { blob: { digest: `sha256:${"0".repeat(64)}`, sizeBytes: 100n }, data: bytes }
        await pause
      })(),
    )
    const begun = performance.now()
    await front.tokens.revoke(row.id)
    await assert.rejects(watch.next(), { code: Code.Unauthenticated })
    await assert.rejects(upload)
    endUpload()
    assert.ok(performance.now() - begun < 5_000)
  })

  it("ends a stream when its token expires", async t => {
    const front = await openFront()
    t.after(() => front.close())
    const ada = front.scientist(await front.token("ada"))
    const { campaign } = await ada.submit({ idempotencyKey: "k", spec: { command: ["true"], array: 1 } })
    const { secret } = await front.tokens.create("ada", ["read"], 300)
    const watch = front.scientist(secret).watchCampaign({ campaign })[Symbol.asyncIterator]()
    await watch.next()
    await assert.rejects(watch.next(), { code: Code.Unauthenticated })
  })
})

describe("failed logins", () => {
  it("are limited by address, and a valid token gets through all the same", async t => {
    const front = await openFront()
    t.after(() => front.close())
    const failures = new Failures({ nowMs: () => 0, wallMs: () => 0 })
    const { admit } = guard({
      authenticator: new Authenticator({ tokens: front.tokens, failures }),
      open: new Set(),
      wallMs: Date.now,
    })
    const ask = (secret: string) => {
      try {
        return admit(ScientistService.method.whoAmI, `Bearer ${secret}`, peer)?.principal
      } catch (error) {
        return CahError.from(error).code
      }
    }
    const answers = new Set<string | undefined>()
    for (let n = 0; n < 25; n++) answers.add(ask(mintSecret("cah").secret))
    assert.deepEqual([...answers], ["unauthenticated", "resource_exhausted"])
    assert.equal(ask(await front.token("ada")), "ada")
  })
})
