import assert from "node:assert/strict"
import { describe, it } from "node:test"
import type { Write } from "../core/rows.ts"
import { EMAIL_CHARACTERS_MAX, NAME_CHARACTERS_MAX } from "../limits.ts"
import { MemoryStore } from "../store/memory/memory.ts"
import { Accounts, emailOf, nameOf } from "./accounts.ts"
import { lock, passwordHash, unlock } from "./password.ts"

const cost = 4
const email = "vera@example.org"
const password = passwordHash("secret", email)

class World {
  readonly store = new MemoryStore()
  wall = 1_000
  broken: Error | null = null
  commits = 0
  readonly engine = {
    commit: (writes: readonly Write[]): Promise<void> => {
      this.commits++
      if (this.broken !== null) return Promise.reject(this.broken)
      return new Promise((resolve, reject) => {
        this.store.commit(writes, error => (error === null ? resolve() : reject(error)))
      })
    },
  }
  accounts() {
    const clock = { nowMs: () => this.wall, wallMs: () => this.wall }
    return new Accounts({ store: this.store, engine: this.engine, clock, passwordCost: cost })
  }
}

describe("an account", () => {
  it("is made once, however often and from wherever it is asked for", async () => {
    const world = new World()
    const accounts = world.accounts()
    const both = await Promise.all([
      accounts.create({ email, password, name: "Vera" }),
      accounts.create({ email: "VERA@example.org", password, name: "Vera again" }),
    ])
    assert.equal(both[0]!.key, both[1]!.key)
    assert.equal(world.commits, 1)
    const later = await world.accounts().create({ email, password, name: "" })
    assert.equal(later.key, both[0]!.key)
  })

  it("is not told to who does not know its password", async () => {
    const accounts = new World().accounts()
    await accounts.create({ email, password, name: "Vera" })
    await assert.rejects(accounts.create({ email, password: "f".repeat(32), name: "" }), { code: "already_exists" })
    assert.equal(await accounts.logIn(email, "f".repeat(32)), "wrong password")
    assert.equal(await accounts.logIn("otto@example.org", password), "unknown")
  })

  it("opens to its key, also after a restart, and to no other", async () => {
    const world = new World()
    const { key, volunteer } = await world.accounts().create({ email, password, name: "Vera" })
    assert.equal(world.accounts().byKey(key)?.id, volunteer.id)
    for (const other of ["", "x", key.toUpperCase(), `${key} `, "0".repeat(32)])
      assert.equal(world.accounts().byKey(other), null)
  })

  it("keeps its key when its password changes, and ends its sessions", async () => {
    const accounts = new World().accounts()
    const { key, volunteer } = await accounts.create({ email, password, name: "Vera" })
    const fresh = passwordHash("other", email)
    const changed = await accounts.setPassword(volunteer.id, key, fresh)
    assert.equal(changed.session, volunteer.session + 1)
    assert.equal(await accounts.logIn(email, password), "wrong password")
    const found = await accounts.logIn(email, fresh)
    assert.ok(typeof found !== "string" && found.key === key)
  })

  it("that was forgotten opens to nothing, and its address may be used anew", async () => {
    const world = new World()
    const accounts = world.accounts()
    const { key, volunteer } = await accounts.create({ email, password, name: "Vera" })
    await accounts.forget(volunteer.id, "public", [])
    assert.equal(accounts.byKey(key), null)
    assert.equal(accounts.byId(volunteer.id), null)
    assert.equal(await accounts.logIn(email, password), "unknown")
    const row = world.store.volunteers.volunteer(volunteer.id)!
    assert.deepEqual([row.email, row.name, row.sealedKey.length, row.keyHash.length], [null, "", 0, 0])
    assert.deepEqual([row.crossId, row.shown], ["", false], "V11: it was never public")
    await assert.rejects(
      accounts.change(volunteer.id, () => ({ shown: true })),
      { code: "not_found" },
    )
    const again = await accounts.create({ email, password, name: "Vera" })
    assert.notEqual(again.volunteer.id, volunteer.id)
    assert.notEqual(again.key, key)
  })

  it("is not there if the disk did not take it", async () => {
    const world = new World()
    const accounts = world.accounts()
    world.broken = new Error("disk full")
    await assert.rejects(accounts.create({ email, password, name: "Vera" }), /disk full/)
    world.broken = null
    assert.equal(accounts.exists(email), false)
    assert.match((await accounts.create({ email, password, name: "Vera" })).key, /^[0-9a-f]{32}$/)
  })

  it("changes one change at a time", async () => {
    const accounts = new World().accounts()
    const { volunteer } = await accounts.create({ email, password, name: "Vera" })
    await Promise.all(
      Array.from({ length: 5 }, () => accounts.change(volunteer.id, row => ({ session: row.session + 1 }))),
    )
    assert.equal(accounts.byId(volunteer.id)?.session, 5)
  })
})

describe("a password", () => {
  it("is what the client makes of it: the MD5 of password and address in small letters", () => {
    assert.equal(passwordHash("secret", "Vera@Example.org"), passwordHash("secret", email))
    assert.match(password, /^[0-9a-f]{32}$/)
  })

  it("unlocks what it locked, at whatever cost that was, and differs in every lock", async () => {
    const [one, other] = [await lock("p", "k".repeat(32), 4), await lock("p", "k".repeat(32), 5)]
    assert.notDeepEqual(one.password, other.password)
    for (const locked of [one, other]) {
      assert.equal(await unlock("p", locked), "k".repeat(32))
      assert.equal(await unlock("q", locked), null)
    }
  })
})

describe("what people type", () => {
  it("is an address, or is told what one looks like", () => {
    assert.equal(emailOf("Vera@Example.ORG"), email)
    for (const wrong of [
      "",
      "vera",
      "@b",
      "a@",
      "a b@c",
      `${"a".repeat(EMAIL_CHARACTERS_MAX)}@b`,
      "<a>@b",
      "a\u0000@b",
    ]) {
      assert.throws(() => emailOf(wrong), /looks like name@example\.org/)
    }
  })

  it("is a name without tricks", () => {
    assert.equal(nameOf("  Vera\n\u202e Ü  "), "Vera Ü")
    assert.equal(nameOf(""), "Volunteer")
    assert.equal(nameOf("x".repeat(999)).length, NAME_CHARACTERS_MAX)
  })
})
