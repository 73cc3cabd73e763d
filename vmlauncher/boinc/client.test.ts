import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import type { Event } from "../core/events.ts"
import type { Ending } from "../core/model.ts"
import type { Allowance, HubProxy, Usage } from "../core/ports.ts"
import { scratch, type TestContext } from "../fixtures.ts"
import { CLIENT_LOOK_MS, HEARTBEAT_MAX_MS, POLL_MS, TRICKLE_MS } from "../limits.ts"
import { BoincClient } from "./client.ts"
import { FakeClient, initXml, type SlotChange } from "./fixtures.ts"
import { readInit } from "./init.ts"

const usage: Usage = { cpuMs: 5_000, sentBytes: 10, receivedBytes: 20, isKept: true, isPaused: false, otherPid: null }

class Slot {
  readonly fake: FakeClient
  readonly client: BoincClient
  readonly events: Event[] = []
  readonly allowances: Allowance[] = []
  readonly proxies: (HubProxy | null)[] = []
  stderr = ""
  nowMs = 1_000_000
  /** What passes between one look at the clock and the next. */
  passMs = 0
  wallMs = 1_800_000_000_000
  #woken: () => void = () => {}
  #isEnded = false

  constructor(t: TestContext, change: SlotChange = {}) {
    const directory = scratch(t)
    this.fake = new FakeClient(directory, change)
    t.after(() => this.fake.close())
    this.client = new BoincClient({
      directory,
      init: readInit(join(directory, "init_data.xml")),
      clock: { nowMs: () => (this.nowMs += this.passMs), wallMs: () => this.wallMs },
      write: text => {
        this.stderr += text
      },
    })
    this.client.start({
      post: event => {
        this.events.push(event)
        this.#woken()
      },
      reach: proxy => {
        this.proxies.push(proxy)
      },
      allow: allowance => {
        this.allowances.push(allowance)
        this.#woken()
      },
    })
    t.after(() => (this.#isEnded ? undefined : this.end({ kind: "quit", reason: "test", seconds: 0 })))
  }

  /** Until the client's side has made something of what it was told. */
  heard(): Promise<void> {
    return new Promise(resolve => {
      this.#woken = resolve
    })
  }

  end(ending: Ending): Promise<number> {
    this.#isEnded = true
    return this.client.end(ending)
  }

  file(name: string): string {
    return readFileSync(join(this.fake.directory, name), "utf8")
  }
}

test("the client's words become events within a poll", async t => {
  const slot = new Slot(t)
  const said: readonly (readonly [string, Event["kind"]])[] = [
    ["<suspend/>\n", "SuspendAsked"],
    ["<resume/>\n", "ResumeAsked"],
    ["<quit/>\n", "QuitAsked"],
    ["<abort/>\n", "AbortAsked"],
  ]
  for (const [text, kind] of said) {
    const startedMs = performance.now()
    const heard = slot.heard()
    assert.ok(slot.fake.send("control", text))
    await heard
    assert.equal(slot.events.at(-1)?.kind, kind)
    assert.ok(performance.now() - startedMs < 10 * POLL_MS)
  }
  assert.equal(slot.events.length, said.length)
})

test("a status holds both processor times, as totals of all runs, and what the network took", t => {
  const slot = new Slot(t)
  slot.client.report(usage)
  const text = slot.fake.take("status")!
  const field = (name: string): number => Number(new RegExp(`<${name}>(.*)</${name}>`).exec(text)![1])
  assert.deepEqual([field("current_cpu_time"), field("checkpoint_cpu_time")], [105, 100])
  assert.deepEqual([field("bytes_sent"), field("bytes_received")], [10, 20])
  assert.ok(field("fraction_done") > 0)
  assert.ok(!text.includes("other_pid"))
})

test("work that would survive a quit counts as checkpointed, once a period", t => {
  const slot = new Slot(t)
  const checkpointed = (change: Partial<Usage>, laterMs: number): number => {
    slot.nowMs += laterMs
    slot.client.report({ ...usage, ...change })
    return Number(/<checkpoint_cpu_time>(.*)<\//.exec(slot.fake.take("status")!)![1])
  }
  assert.equal(checkpointed({ isKept: false }, 61_000), 100)
  assert.equal(checkpointed({}, 0), 105)
  assert.equal(checkpointed({ cpuMs: 50_000 }, 59_000), 105)
  assert.equal(checkpointed({ cpuMs: 60_000 }, 1_000), 160)
})

test("V5: what the machine runs on goes to the hub with its state, in words that cannot be taken for tags", t => {
  const slot = new Slot(t)
  slot.client.describe({ hypervisor: "QEMU 7.2 with emulation (TCG)", acceleration: "tcg", why: 'say "x <y> & z"' })
  slot.client.report(usage)
  const trickle = slot.file("trickle_up.xml")
  assert.match(trickle, /<acceleration>tcg<\/acceleration>\n<acceleration_why>say "x y z"<\/acceleration_why>/)
  assert.match(trickle, /<hypervisor>QEMU 7.2 with emulation \(TCG\)<\/hypervisor>/)
})

test("the fraction done grows towards the deadline and never reaches it", t => {
  const slot = new Slot(t, { init: { computation_deadline: 1_800_000_200, starting_elapsed_time: 0 } })
  const fraction = (): number => {
    slot.client.report(usage)
    return Number(/<fraction_done>(.*)<\//.exec(slot.fake.take("status")!)![1])
  }
  const seen = [fraction()]
  for (let n = 0; n < 4; n++) {
    slot.nowMs += 60_000
    slot.wallMs += 60_000
    seen.push(fraction())
  }
  assert.deepEqual(
    seen,
    [...seen].sort((a, b) => a - b),
  )
  assert.ok(seen[0]! > 0 && seen.at(-1)! < 1)
})

test("the hub hears of a working machine by trickle, and not too often", t => {
  const slot = new Slot(t)
  slot.client.report({ ...usage, isKept: false })
  assert.equal(existsSync(join(slot.fake.directory, "trickle_up.xml")), false)
  slot.client.report(usage)
  assert.match(slot.file("trickle_up.xml"), /^<variety>vmstatus<\/variety>\n<vm_state>running</)
  assert.equal(slot.fake.take("trickleUp"), "<have_new_trickle_up/>\n")
  slot.client.report(usage)
  assert.equal(slot.fake.take("trickleUp"), null)
  slot.nowMs += TRICKLE_MS
  slot.client.report(usage)
  assert.equal(slot.fake.take("trickleUp"), "<have_new_trickle_up/>\n")
})

test("a trickle down ends the work; one that nobody knows is only told", async t => {
  const slot = new Slot(t)
  writeFileSync(join(slot.fake.directory, "trickle_down_1"), "<dance/>\n")
  writeFileSync(join(slot.fake.directory, "trickle_down_2"), "<finish/>\n")
  const heard = slot.heard()
  slot.fake.send("trickleDown", "<have_trickle_down/>\n")
  await heard
  assert.deepEqual(slot.events, [{ kind: "FinishAsked" }])
  assert.match(slot.stderr, /sent down something unknown: <dance\/>/)
})

test("the network is closed and opened by the heartbeat's word, told once", async t => {
  const slot = new Slot(t)
  for (const [text, isOpen] of [
    ["<heartbeat/><network_suspended/>", false],
    ["<heartbeat/>", true],
  ] as const) {
    const heard = slot.heard()
    slot.fake.send("heartbeat", text)
    await heard
    assert.deepEqual(slot.events.at(-1), { kind: "NetworkGate", gate: "client", isOpen })
  }
  assert.equal(slot.events.length, 2)
})

test("a client that has died has said quit", async t => {
  const dead = spawn("true")
  const { pid } = dead
  // Read while it lives: a number alone could be somebody else's by now.
  const slot = new Slot(t, { init: { client_pid: pid! } })
  await once(dead, "exit")
  const heard = slot.heard()
  slot.nowMs += CLIENT_LOOK_MS
  await heard
  assert.deepEqual(slot.events, [{ kind: "QuitAsked", reason: "the BOINC client is gone" }])
})

test("without the client's number, its heartbeat is what counts", async t => {
  const slot = new Slot(t, { init: { client_pid: 0 } })
  const heard = slot.heard()
  const beganMs = slot.nowMs
  slot.passMs = 10_000
  await heard
  assert.deepEqual(slot.events, [{ kind: "QuitAsked", reason: "the BOINC client is gone" }])
  assert.ok(slot.nowMs - beganMs >= HEARTBEAT_MAX_MS)
})

test("V14: a client that was held as long as we were is given its time anew", async t => {
  const slot = new Slot(t, { init: { client_pid: 0 } })
  slot.nowMs += 11 * 60_000
  const heard = slot.heard()
  slot.fake.send("control", "<suspend/>\n")
  await heard
  assert.deepEqual(slot.events, [{ kind: "SuspendAsked" }])
})

test("V14: a proxy that is set, changed or gone while it runs counts from then on", async t => {
  const slot = new Slot(t)
  const told = async (proxy: string): Promise<HubProxy | null | undefined> => {
    const xml = initXml().replace(/<proxy_info>.*<\/proxy_info>/s, `<proxy_info>${proxy}</proxy_info>`)
    writeFileSync(join(slot.fake.directory, "init_data.xml"), xml)
    const heard = slot.heard()
    slot.fake.send("control", "<reread_app_info/>\n")
    await heard
    return slot.proxies.at(-1)
  }
  const server = "<socks_server_name>socks.example.org</socks_server_name><socks_server_port>1080</socks_server_port>"
  assert.equal((await told(`<use_socks_proxy/>${server}`))?.host, "socks.example.org")
  assert.equal(await told(""), null)
})

test("changed preferences are read anew; a damaged file changes nothing", async t => {
  const slot = new Slot(t)
  writeFileSync(join(slot.fake.directory, "init_data.xml"), initXml({ preferences: { cpu_usage_limit: 25 } }))
  const heard = slot.heard()
  slot.fake.send("control", "<reread_app_info/>\n")
  await heard
  assert.equal(slot.allowances[0]?.processorPercent, 25)
})

test("each end is told in the client's words", async t => {
  const cases: readonly (readonly [Ending["kind"], number, string | null])[] = [
    ["quit", 0, null],
    ["later", 0, "boinc_temporary_exit"],
    ["done", 0, "boinc_finish_called"],
    ["broken", 1, null],
    ["aborted", 194, null],
  ]
  for (const [kind, code, file] of cases) {
    const slot = new Slot(t)
    slot.client.report(usage)
    assert.equal(await slot.end({ kind, reason: "because", seconds: 60 }), code)
    for (const name of ["boinc_temporary_exit", "boinc_finish_called"]) {
      assert.equal(existsSync(join(slot.fake.directory, name)), name === file, `${kind}: ${name}`)
    }
    if (kind === "later") assert.equal(slot.file(file!), "60\nbecause\n")
    if (kind !== "aborted") assert.match(slot.stderr, /because/)
  }
})
