// What every store must do about volunteers and the ledger: the second half of store.suite.ts, run by the same fixtures.
import assert from "node:assert/strict"
import { afterEach, describe, it } from "node:test"
import { creditOf, faded, toAverage } from "../core/credit.ts"
import type { CampaignId, NodeId } from "../core/model.ts"
import type { Store } from "../core/ports.ts"
import type { Write } from "../core/rows.ts"
import type { CreditRow, HostId, HostRow, LaunchId, LaunchRow, VolunteerId, VolunteerRow } from "../core/volunteers.ts"
import { brokenLine } from "./chain.ts"
import { commit, type StoreFixture, WALL_MS } from "./store.suite.ts"

export function volunteerRow(id: number, changes: Partial<VolunteerRow> = {}): VolunteerRow {
  return {
    id: id as VolunteerId,
    email: `v${id}@example.org`,
    name: `Vera ${id}`,
    salt: new Uint8Array([1, id]),
    password: new Uint8Array([2, id]),
    keyHash: new Uint8Array(32).fill(id),
    sealedKey: new Uint8Array([3, id]),
    crossId: "c".repeat(32),
    session: 0,
    shown: false,
    preferences: null,
    createdAt: WALL_MS,
    forgottenAt: null,
    ...changes,
  }
}

export function hostRow(id: number, volunteer: number, changes: Partial<HostRow> = {}): HostRow {
  return {
    id: id as HostId,
    volunteer: volunteer as VolunteerId,
    cpid: "d".repeat(32),
    sequence: 1,
    name: "attic — ü",
    facts: { os_name: "Linux", p_ncpus: "4" },
    clientStarted: 0,
    title: "",
    stopped: false,
    removed: false,
    mergedInto: null,
    barred: false,
    failures: 0,
    notBefore: 0,
    createdAt: WALL_MS,
    heardAt: WALL_MS,
    ...changes,
  }
}

export function launchRow(id: number, host: number, changes: Partial<LaunchRow> = {}): LaunchRow {
  return {
    id: id as LaunchId,
    host: host as HostId,
    secretName: "e".repeat(32),
    planClass: "qemu",
    versionNumber: 100,
    enrolment: "f".repeat(16),
    hubUrl: "https://hub.example.org",
    draining: null,
    stopping: null,
    ending: null,
    exitStatus: null,
    message: "",
    madeAt: WALL_MS,
    deadlineAt: WALL_MS + 1_000,
    endedAt: null,
    ...changes,
  }
}

function creditRow(index: number, changes: Partial<CreditRow> = {}): CreditRow {
  return {
    campaign: 1 as CampaignId,
    index,
    attempt: 1,
    account: "volunteer:1",
    node: "n1" as NodeId,
    slotMs: 1_000,
    at: WALL_MS,
    ...changes,
  }
}

const volunteer = (row: VolunteerRow): Write => ({ kind: "volunteer", row })
const host = (row: HostRow): Write => ({ kind: "host", row })
const launch = (row: LaunchRow): Write => ({ kind: "launch", row })
const credit = (row: CreditRow): Write => ({ kind: "credit", row })
const ids = (rows: readonly { id: number }[]) => rows.map(row => row.id)

export function volunteersSuite(name: string, make: () => Promise<StoreFixture>): void {
  describe(`${name} as a store of volunteers`, () => {
    let fixture: StoreFixture
    async function start(...writes: Write[]): Promise<Store> {
      fixture = await make()
      if (writes.length > 0) await commit(fixture.store, ...writes)
      return fixture.store
    }
    afterEach(() => fixture.dispose())

    it("gives back volunteers, hosts and launches as they were written, and after a restart too", async () => {
      const vera = volunteerRow(1, { shown: true, preferences: '{"cpuPercent":50}' })
      const attic = hostRow(3, 1, { stopped: true, barred: true, failures: 2, notBefore: WALL_MS + 5 })
      const cellar = hostRow(2, 1, {
        title: "cellar",
        removed: true,
        mergedInto: attic.id,
        clientStarted: 1_700_000_000,
      })
      const first = launchRow(7, 3, {
        draining: "old",
        ending: "failed",
        exitStatus: -9,
        message: "no hypervisor",
        endedAt: WALL_MS,
      })
      const before = await start(volunteer(vera), host(attic), host(cellar), launch(first))
      for (const again of [false, true]) {
        const { volunteers } = again ? await fixture.restart() : before
        assert.deepEqual(volunteers.lastIds(), { volunteer: 1, host: 3, launch: 7 })
        assert.deepEqual(volunteers.volunteer(vera.id), vera)
        assert.deepEqual(volunteers.byEmail("v1@example.org"), vera)
        assert.deepEqual(volunteers.byKey(vera.keyHash), vera)
        assert.deepEqual(volunteers.host(attic.id), attic)
        assert.deepEqual(volunteers.host(cellar.id), cellar)
        assert.deepEqual(volunteers.launch(first.id), first)
        assert.deepEqual(volunteers.launchTally(first.id), { node: null, bytesIn: 0, bytesOut: 0 })
      }
    })

    it("knows nobody in the beginning", async () => {
      const { volunteers } = await start()
      assert.deepEqual(volunteers.lastIds(), { volunteer: 0, host: 0, launch: 0 })
      assert.equal(volunteers.volunteer(1 as VolunteerId), null)
      assert.equal(volunteers.byEmail("v1@example.org"), null)
      assert.equal(volunteers.byKey(new Uint8Array(32)), null)
      assert.equal(volunteers.liveLaunch(1 as HostId), null)
      assert.deepEqual(volunteers.creditSum(), { slotMs: 0, results: 0 })
      assert.deepEqual(volunteers.credit("volunteer:1"), { slotMs: 0, results: 0, average: 0, averageAt: 0 })
      assert.deepEqual(volunteers.ledger(0, 10), [])
    })

    it("refuses a second volunteer with the same address, and lets a forgotten one's address be used again", async () => {
      const store = await start(volunteer(volunteerRow(1)))
      await assert.rejects(commit(store, volunteer(volunteerRow(2, { email: "v1@example.org" }))), { code: "internal" })
      await store.reopen()
      await commit(store, volunteer(volunteerRow(1, { email: null, forgottenAt: WALL_MS })))
      await commit(store, volunteer(volunteerRow(3, { email: null, forgottenAt: WALL_MS })))
      await commit(store, volunteer(volunteerRow(2, { email: "v1@example.org" })))
      assert.equal(store.volunteers.byEmail("v1@example.org")?.id, 2)
      assert.equal(store.volunteers.byKey(volunteerRow(1).keyHash), null, "a forgotten key opens nothing")
    })

    it("O1: refuses a host of no volunteer, and a launch of no host", async () => {
      const store = await start(volunteer(volunteerRow(1)))
      for (const wrong of [host(hostRow(1, 2)), launch(launchRow(1, 1))]) {
        await assert.rejects(commit(store, wrong), { code: "internal" })
        await store.reopen()
      }
      await commit(store, host(hostRow(1, 1)), launch(launchRow(1, 1)))
    })

    it("lists by pages, hosts of a volunteer, and launches of a host newest first", async () => {
      const { volunteers } = await start(
        ...[1, 2, 3].map(id => volunteer(volunteerRow(id))),
        ...[1, 2, 3, 4].map(id => host(hostRow(id, id === 4 ? 1 : id))),
        launch(launchRow(1, 1, { endedAt: WALL_MS, ending: "failed" })),
        launch(launchRow(2, 1)),
        launch(launchRow(3, 2)),
      )
      assert.deepEqual(ids(volunteers.volunteers(0, 2)), [1, 2])
      assert.deepEqual(ids(volunteers.volunteers(2, 2)), [3])
      assert.deepEqual(ids(volunteers.hosts(1, 2)), [2, 3])
      assert.deepEqual(ids(volunteers.hostsOf(1 as VolunteerId)), [1, 4])
      assert.deepEqual(ids(volunteers.launchesOf(1 as HostId, 9)), [2, 1])
      assert.deepEqual(ids(volunteers.launchesOf(1 as HostId, 1)), [2])
      assert.equal(volunteers.liveLaunch(1 as HostId)?.id, 2)
      assert.equal(volunteers.liveLaunch(4 as HostId), null)
    })

    it("counts what the hub measured of a launch, whatever is written of it otherwise", async () => {
      const node = "n1" as NodeId
      const store = await start(
        volunteer(volunteerRow(1)),
        host(hostRow(1, 1)),
        launch(launchRow(1, 1)),
        { kind: "launchNode", launch: 1 as LaunchId, node },
        { kind: "traffic", node, bytesIn: 5_000_000_000, bytesOut: 7 },
        { kind: "traffic", node, bytesIn: 1, bytesOut: 1 },
        { kind: "traffic", node: "of nobody" as NodeId, bytesIn: 1, bytesOut: 1 },
        launch(launchRow(1, 1, { ending: "finished", endedAt: WALL_MS, secretName: "other", madeAt: 1 })),
      )
      const { volunteers } = store
      assert.deepEqual(volunteers.launchTally(1 as LaunchId), { node, bytesIn: 5_000_000_001, bytesOut: 8 })
      assert.deepEqual(volunteers.trafficOf(1 as HostId), { bytesIn: 5_000_000_001, bytesOut: 8 })
      assert.deepEqual(
        volunteers.launch(1 as LaunchId),
        launchRow(1, 1, { ending: "finished", endedAt: WALL_MS }),
        "what it was made as never changes",
      )
    })

    it("appends lines to the ledger, each linked to the one before, and keeps the sums of account and host", async () => {
      const lines = [
        creditRow(0, { slotMs: 86_400_000 }),
        creditRow(1, { slotMs: 500, at: WALL_MS + 1_000 }),
        creditRow(1, { account: "marie", node: "bare" as NodeId, slotMs: 7 }),
        creditRow(2, { attempt: 3, slotMs: 0, at: WALL_MS + 86_400_000 }),
      ]
      const before = await start(
        volunteer(volunteerRow(1)),
        host(hostRow(1, 1)),
        launch(launchRow(1, 1)),
        { kind: "launchNode", launch: 1 as LaunchId, node: "n1" as NodeId },
        ...lines.slice(0, 2).map(credit),
      )
      await commit(before, ...lines.slice(2).map(credit))
      for (const again of [false, true]) {
        const { volunteers } = again ? await fixture.restart() : before
        const ledger = volunteers.ledger(0, 10)
        assert.deepEqual(
          ledger.map(({ sequence: _sequence, hash: _hash, ...row }) => row),
          lines,
        )
        assert.equal(brokenLine(ledger), null)
        assert.equal(new Set(ledger.map(line => Buffer.from(line.hash).toString("hex"))).size, 4)
        assert.deepEqual(volunteers.ledger(2, 1), [ledger[2]])
        const mine = volunteers.credit("volunteer:1")
        assert.deepEqual([mine.slotMs, mine.results], [86_400_500, 3])
        const expected = faded(faded(toAverage(86_400_000), 1_000) + toAverage(500), 86_399_000)
        assert.ok(Math.abs(mine.average - expected) < 1e-9)
        assert.equal(mine.averageAt, WALL_MS + 86_400_000)
        assert.deepEqual(volunteers.hostCredit(1 as HostId), mine)
        assert.deepEqual(volunteers.creditSum(), { slotMs: 86_400_507, results: 4 })
        assert.ok(creditOf(mine.slotMs) > 200)
      }
    })

    it("refuses a second line for the same attempt and account, with all of its batch", async () => {
      const store = await start(credit(creditRow(0)))
      await assert.rejects(commit(store, credit(creditRow(1)), credit(creditRow(0, { slotMs: 5 }))), {
        code: "internal",
      })
      await store.reopen()
      assert.equal(store.volunteers.ledger(0, 10).length, 1)
      assert.deepEqual(store.volunteers.creditSum(), { slotMs: 1_000, results: 1 })
      await commit(store, credit(creditRow(0, { attempt: 2 })))
      assert.equal(brokenLine(store.volunteers.ledger(0, 10)), null)
    })

    it("lets a host's row be replaced without touching its credit", async () => {
      const store = await start(
        volunteer(volunteerRow(1)),
        host(hostRow(1, 1)),
        launch(launchRow(1, 1)),
        { kind: "launchNode", launch: 1 as LaunchId, node: "n1" as NodeId },
        credit(creditRow(0)),
      )
      await commit(store, host(hostRow(1, 1, { sequence: 9, facts: {} })))
      assert.equal(store.volunteers.host(1 as HostId)?.sequence, 9)
      assert.equal(store.volunteers.hostCredit(1 as HostId).slotMs, 1_000)
    })
  })
}
