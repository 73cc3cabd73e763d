import assert from "node:assert/strict"
import { mkdtemp, readFile, rm, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, it } from "node:test"
import type { NodeId } from "../core/model.ts"
import type { Log } from "../core/ports.ts"
import type { EnrolmentRow, ScopeName, TokenRow, Write } from "../core/rows.ts"
import type { LaunchId, LaunchRow } from "../core/volunteers.ts"
import {
  AUTH_FAILURE_REFILL_MS,
  AUTH_FAILURES_MAX,
  AUTH_PEERS_MAX,
  LAST_USED_EVERY_MS,
  TOKEN_KEPT_MS,
  TOKENS_MAX,
} from "../limits.ts"
import { ensureAdminToken } from "./admin.ts"
import { Authenticator, mustAllow } from "./authenticate.ts"
import { Enrolments, type Newcomer } from "./enrolments.ts"
import { Failures } from "./failures.ts"
import { idOfSecret, mintSecret, secretMatches } from "./secret.ts"
import { allows, type Caller, Tokens } from "./tokens.ts"

const log: Log = { debug() {}, info() {}, warn() {}, error() {} }

/** Tables in memory that change when a commit resolves, as the store's do. */
class World {
  wall = 1_000_000
  readonly clock = { nowMs: () => this.wall, wallMs: () => this.wall }
  readonly tokenRows = new Map<string, TokenRow>()
  readonly enrolmentRows = new Map<string, EnrolmentRow>()
  readonly nodes: NodeId[] = []
  readonly commits: (readonly Write[])[] = []
  broken: Error | null = null
  readonly engine = {
    commit: async (writes: readonly Write[]) => {
      await Promise.resolve()
      if (this.broken) throw this.broken
      this.commits.push(writes)
      for (const write of writes) {
        if (write.kind === "token") this.tokenRows.set(write.row.id, write.row)
        if (write.kind === "forgetToken") this.tokenRows.delete(write.id)
        if (write.kind === "node") this.nodes.push(write.row.id)
        if (write.kind === "enrolment") this.enrolmentRows.set(write.row.id, write.row)
      }
    },
  }
  readonly store = {
    tokens: () => [...this.tokenRows.values()],
    enrolment: (id: string) => this.enrolmentRows.get(id) ?? null,
    volunteers: { launch: (id: LaunchId) => ({ id, host: 5 }) as LaunchRow },
  }
  tokens() {
    return new Tokens({ store: this.store, engine: this.engine, clock: this.clock, log })
  }
  enrolments() {
    return new Enrolments({ store: this.store, engine: this.engine, clock: this.clock })
  }
}

function callerOf(answer: ReturnType<Tokens["authenticate"]>): Caller {
  assert.ok(typeof answer !== "string", `denied: ${answer}`)
  return answer
}

describe("a secret", () => {
  it("names its row, matches its hash, and has 256 random bits", () => {
    const { id, secret, hash } = mintSecret("cah")
    assert.match(secret, /^cah_[0-9a-f]{16}_[0-9a-f]{64}_[0-9a-f]{8}$/)
    assert.equal(idOfSecret("cah", secret), id)
    assert.ok(secretMatches(secret, hash))
    assert.ok(!secretMatches(mintSecret("cah").secret, hash))
    assert.ok(!Buffer.from(hash).toString("hex").includes(secret.slice(21, 40)))
  })

  it("is recognised as mistyped when one character differs anywhere", () => {
    const { secret } = mintSecret("cah")
    for (let at = 0; at < secret.length; at += 1) {
      const wrong = secret.slice(0, at) + (secret[at] === "0" ? "1" : "0") + secret.slice(at + 1)
      assert.equal(idOfSecret("cah", wrong), null, `character ${at}`)
    }
  })

  it("of one kind is none of the other", () => {
    assert.equal(idOfSecret("cahjoin", mintSecret("cah").secret), null)
    assert.equal(idOfSecret("cah", mintSecret("cahjoin").secret), null)
  })
})

describe("tokens", () => {
  it("let in who has one, from memory, also after a restart", async () => {
    const world = new World()
    const { secret } = await world.tokens().create("ada", ["read", "submit"], null)
    const tokens = world.tokens()
    const caller = callerOf(tokens.authenticate(secret))
    assert.deepEqual([caller.principal, caller.scopes], ["ada", ["read", "submit"]])
    assert.ok(allows(caller, "read") && !allows(caller, "cancel") && !allows(caller, "admin"))
    const stored = JSON.stringify(world.commits, (_key, value) =>
      value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value,
    )
    assert.ok(!stored.includes(secret) && !stored.includes(secret.split("_")[2] ?? "?"))
  })

  it("of an admin may do everything", async () => {
    const tokens = new World().tokens()
    const { secret } = await tokens.create("root", ["admin"], null)
    const caller = callerOf(tokens.authenticate(secret))
    for (const scope of ["read", "submit", "cancel", "admin"] as const) assert.ok(allows(caller, scope))
  })

  it("do not exist before they are on disk", async () => {
    const world = new World()
    const tokens = world.tokens()
    world.broken = new Error("disk full")
    await assert.rejects(tokens.create("ada", ["read"], null), /disk full/)
    assert.deepEqual(tokens.list(), [])
  })

  it("are bounded in number", async () => {
    const world = new World()
    const row = (id: string) => ({ ...mintSecret("cah"), id, principal: "p", scopes: [], createdAt: 0 })
    const rest = { expiresAt: null, revokedAt: null, lastUsedAt: null }
    for (let n = 0; n < TOKENS_MAX; n++) world.tokenRows.set(`${n}`, { ...row(`${n}`), ...rest })
    await assert.rejects(world.tokens().create("ada", ["read"], null), { code: "resource_exhausted" })
  })

  it("O7: that have ended are not counted, are dropped in the end, and keep no hub from starting", async () => {
    const world = new World()
    const row = (id: string) => ({ ...mintSecret("cah"), id, principal: "p", createdAt: 0, lastUsedAt: null })
    const fill = (prefix: string, scopes: ScopeName[], changes: Partial<TokenRow>) => {
      for (let n = 0; n < TOKENS_MAX; n++) {
        const id = `${prefix}${n}`
        world.tokenRows.set(id, { ...row(id), scopes, expiresAt: null, revokedAt: null, ...changes })
      }
    }
    fill("expired", ["read"], { expiresAt: world.wall })
    fill("revoked", ["admin"], { revokedAt: world.wall - 1 })
    const tokens = world.tokens()
    assert.equal(tokens.hasAdmin(), false)
    // What a start does when nobody can manage the hub.
    await tokens.keep(tokens.prepare("admin", ["admin"], null).row)
    await tokens.create("ada", ["read"], null)
    assert.ok(tokens.list().length <= 2 * TOKENS_MAX, "the first that ended had to go")
    assert.equal(await tokens.dropEnded(), 0, "they are told why for a while")
    world.wall += TOKEN_KEPT_MS + 1
    assert.ok((await tokens.dropEnded()) > TOKENS_MAX / 2)
    for (const left of [tokens, world.tokens()]) {
      assert.deepEqual(
        left
          .list()
          .map(({ principal }) => principal)
          .sort(),
        ["ada", "admin"],
      )
    }
  })

  it("O7: too many that live keep nobody from starting either", async () => {
    const world = new World()
    const row = (id: string) => ({ ...mintSecret("cah"), id, principal: "p", scopes: [], createdAt: 0 })
    const rest = { expiresAt: null, revokedAt: null, lastUsedAt: null }
    for (let n = 0; n < TOKENS_MAX; n++) world.tokenRows.set(`${n}`, { ...row(`${n}`), ...rest })
    const tokens = world.tokens()
    await tokens.keep(tokens.prepare("admin", ["admin"], null).row)
    assert.equal(tokens.hasAdmin(), true)
  })

  it("expire", async () => {
    const world = new World()
    const tokens = world.tokens()
    const { secret } = await tokens.create("ada", ["read"], 1_000)
    callerOf(tokens.authenticate(secret))
    world.wall += 1_000
    assert.equal(tokens.authenticate(secret), "expired")
  })

  it("end when they are revoked, and tell every open stream", async () => {
    const world = new World()
    const tokens = world.tokens()
    const { row, secret } = await tokens.create("ada", ["read"], null)
    const caller = callerOf(tokens.authenticate(secret))
    const revoking = tokens.revoke(row.id)
    assert.ok(caller.revoked.aborted, "before the disk answered")
    assert.equal(tokens.authenticate(secret), "revoked")
    await revoking
    assert.equal(world.tokens().authenticate(secret), "revoked", "after a restart")
    await assert.rejects(tokens.revoke("feedfeedfeedfeed"), { code: "not_found" })
  })

  it("stay closed in memory when the revocation cannot be written", async () => {
    const world = new World()
    const tokens = world.tokens()
    const { row, secret } = await tokens.create("ada", ["read"], null)
    world.broken = new Error("disk full")
    await assert.rejects(tokens.revoke(row.id), /disk full/)
    assert.equal(tokens.authenticate(secret), "revoked")
  })

  it("note their use once a minute at most", async () => {
    const world = new World()
    const tokens = world.tokens()
    const { secret } = await tokens.create("ada", ["read"], null)
    const before = world.commits.length
    for (let call = 0; call < 50; call += 1) tokens.authenticate(secret)
    assert.equal(tokens.list()[0]?.lastUsedAt, world.wall)
    world.wall += LAST_USED_EVERY_MS
    tokens.authenticate(secret)
    await new Promise(setImmediate)
    assert.equal(world.commits.length - before, 2)
  })
})

describe("the first admin token", () => {
  it("is written to a file that only the hub's user can read, once", async () => {
    const directory = await mkdtemp(join(tmpdir(), "cah-admin-"))
    const world = new World()
    const tokens = world.tokens()
    const made = await ensureAdminToken(tokens, directory)
    assert.ok(made !== null)
    assert.equal((await stat(made.path)).mode & 0o777, 0o600)
    assert.equal((await readFile(made.path, "utf8")).trim(), made.secret)
    assert.ok(allows(callerOf(tokens.authenticate(made.secret)), "admin"))
    assert.equal(await ensureAdminToken(world.tokens(), directory), null)
    await rm(directory, { recursive: true })
  })

  it("is made anew if the hub died before it was kept", async () => {
    const directory = await mkdtemp(join(tmpdir(), "cah-admin-"))
    const world = new World()
    world.broken = new Error("power cut")
    await assert.rejects(ensureAdminToken(world.tokens(), directory), /power cut/)
    world.broken = null
    const tokens = world.tokens()
    await ensureAdminToken(tokens, directory)
    const secret = (await readFile(join(directory, "admin.token"), "utf8")).trim()
    callerOf(tokens.authenticate(secret))
    await rm(directory, { recursive: true })
  })
})

function newcomer(number: number): Newcomer {
  return { node: `n${number}` as NodeId, publicKey: new Uint8Array(32).fill(number) }
}

describe("an enrolment token", () => {
  it("is good for one use, also across a restart", async () => {
    const world = new World()
    const enrolments = world.enrolments()
    const { secret } = await enrolments.create("ada")
    assert.deepEqual(await enrolments.spend(secret, newcomer(101)), { account: "ada", host: null })
    assert.equal(await enrolments.spend(secret, newcomer(102)), null)
    assert.equal(await world.enrolments().spend(secret, newcomer(103)), null)
  })

  it("is spent by one of many who try at the same moment", async () => {
    const world = new World()
    const { secret } = await world.enrolments().create("ada", 3)
    const enrolments = world.enrolments()
    const spent = await Promise.all(Array.from({ length: 10 }, (_, i) => enrolments.spend(secret, newcomer(i))))
    assert.equal(spent.filter(account => account !== null).length, 3)
    assert.equal([...world.enrolmentRows.values()][0]?.usesLeft, 0)
  })

  it("is given back when the commit fails", async () => {
    const world = new World()
    const enrolments = world.enrolments()
    const { secret } = await enrolments.create("ada")
    world.broken = new Error("disk full")
    await assert.rejects(enrolments.spend(secret, newcomer(104)), /disk full/)
    world.broken = null
    assert.deepEqual(await enrolments.spend(secret, newcomer(105)), { account: "ada", host: null })
    assert.equal(await enrolments.spend(secret, newcomer(106)), null)
  })

  it("makes its node known in the same transaction, and costs that node no second use when its link was cut", async () => {
    const world = new World()
    const enrolments = world.enrolments()
    const { secret } = await enrolments.create("ada")
    assert.deepEqual(await enrolments.spend(secret, newcomer(1)), { account: "ada", host: null })
    assert.deepEqual(world.nodes, [newcomer(1).node])
    assert.deepEqual(await enrolments.spend(secret, newcomer(1)), { account: "ada", host: null })
    assert.equal(await enrolments.spend(secret, newcomer(2)), null)
  })

  it("that is for a launch makes its node known as one of the volunteer's computer", async () => {
    const world = new World()
    const enrolments = world.enrolments()
    const minted = mintSecret("cahjoin")
    const made = enrolments.forLaunch(minted, "volunteer:1", 7 as LaunchId, 60_000)
    await world.engine.commit([made])
    const spent = await enrolments.spend(minted.secret, newcomer(1))
    assert.deepEqual(spent, { account: "volunteer:1", host: 5 })
  })

  it("expires, by default after a quarter of an hour", async () => {
    const world = new World()
    const enrolments = world.enrolments()
    const { secret, expiresAt } = await enrolments.create("ada")
    assert.equal(expiresAt - world.wall, 15 * 60_000)
    world.wall = expiresAt
    assert.equal(await enrolments.spend(secret, newcomer(107)), null)
  })

  it("is refused with bad numbers", async () => {
    const enrolments = new World().enrolments()
    for (const uses of [0, -1, 1.5, 1e9]) {
      await assert.rejects(enrolments.create("ada", uses), { code: "invalid_argument" })
    }
    for (const lifetime of [0, -1, Infinity, NaN]) {
      await assert.rejects(enrolments.create("ada", 1, lifetime), { code: "invalid_argument" })
    }
  })
})

describe("failed logins", () => {
  it("are counted by address and refilled with time", () => {
    const world = new World()
    const failures = new Failures(world.clock)
    for (let n = 0; n < AUTH_FAILURES_MAX; n += 1) assert.ok(failures.count("192.0.2.1"))
    assert.ok(!failures.count("192.0.2.1"))
    assert.ok(failures.count("192.0.2.2"), "another address has a bucket of its own")
    world.wall += AUTH_FAILURE_REFILL_MS
    assert.ok(failures.count("192.0.2.1"))
    assert.ok(!failures.count("192.0.2.1"))
  })

  it("count one customer's IPv6 network as one address", () => {
    const failures = new Failures(new World().clock)
    for (let n = 0; n < AUTH_FAILURES_MAX; n += 1) failures.count(`2001:db8:0:1::${n.toString(16)}`)
    assert.ok(!failures.count("2001:db8:0:1:a:b:c:d"))
    assert.ok(failures.count("2001:db8:0:2::1"))
  })

  it("remember a bounded number of addresses", () => {
    const world = new World()
    const failures = new Failures(world.clock)
    for (let n = 0; n < AUTH_FAILURES_MAX; n += 1) failures.count("first")
    assert.ok(!failures.count("first"))
    for (let n = 0; n < AUTH_PEERS_MAX; n += 1) failures.count(`peer ${n}`)
    assert.ok(failures.count("first"), "the oldest was forgotten")
  })
})

describe("an Authorization header", () => {
  async function door() {
    const world = new World()
    const tokens = world.tokens()
    const { row, secret } = await tokens.create("ada", ["read"], null)
    let limited = 0
    const failures = new Failures(world.clock)
    const authenticator = new Authenticator({ tokens, failures, onLimited: () => limited++ })
    return { tokens, row, secret, authenticator, limited: () => limited }
  }
  const basic = (pair: string) => `Basic ${Buffer.from(pair).toString("base64")}`

  it("lets the same caller in as Bearer and as the password of Basic beside any name", async () => {
    const { authenticator, secret } = await door()
    for (const header of [`Bearer ${secret}`, `bearer  ${secret}`, basic(`ada:${secret}`), basic(`:${secret}`)]) {
      const caller = authenticator.authenticate(header, "192.0.2.1")
      assert.deepEqual([caller.principal, caller.scopes], ["ada", ["read"]])
      assert.throws(() => mustAllow(caller, "submit"), {
        code: "permission_denied",
        message: "this token may not submit: it may read",
      })
    }
  })

  it("that holds no valid token is refused with the reason", async () => {
    const { authenticator, tokens, row, secret } = await door()
    const refused = (header: string | null, message: RegExp) =>
      assert.throws(() => authenticator.authenticate(header, "192.0.2.1"), { code: "unauthenticated", message })
    refused(null, /^no token: run `cah login`/)
    for (const wrong of ["", secret, `Digest ${secret}`, `Bearer ${secret} x`, basic(secret), "Basic %%%"]) {
      refused(wrong, /the token is not complete/)
    }
    refused(`Bearer ${mintSecret("cah").secret}`, /does not know this token/)
    await tokens.revoke(row.id)
    refused(basic(`ada:${secret}`), /was revoked/)
  })

  it("is refused without a reason once its address failed too often, of whatever kind the failures were", async () => {
    const { authenticator, secret, limited } = await door()
    for (let n = 0; n < AUTH_FAILURES_MAX; n += 2) {
      assert.equal(authenticator.failed("192.0.2.1", "wrong key").code, "unauthenticated")
      assert.throws(() => authenticator.authenticate(basic("ada:"), "192.0.2.1"), { code: "unauthenticated" })
    }
    assert.equal(limited(), 0)
    assert.equal(
      authenticator.failed("192.0.2.1", "wrong key").message,
      "too many failed logins from your address: wait a minute",
    )
    assert.throws(() => authenticator.authenticate("Bearer x", "192.0.2.1"), { code: "resource_exhausted" })
    assert.equal(limited(), 2)
    assert.equal(authenticator.authenticate(`Bearer ${secret}`, "192.0.2.1").principal, "ada")
  })
})
