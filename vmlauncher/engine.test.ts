// The engine with a hypervisor that is a few promises: what is carried out, in which order, and what becomes of what goes wrong. Machines of QEMU have
// their own tests.
import assert from "node:assert/strict"
import { test } from "node:test"
import type { Ending } from "./core/model.ts"
import {
  type Allowance,
  type ClientEars,
  Failure,
  type Ground,
  type Machine,
  type MachineEars,
  type MachinePlan,
  type Usage,
} from "./core/ports.ts"
import { Engine } from "./engine.ts"
import { Guest } from "./guest.ts"

interface Fake {
  readonly prepare?: () => Promise<never>
  readonly start?: (calls: string[]) => Promise<void>
  readonly save?: () => Promise<void>
  readonly hasSave?: boolean
}

class Bench {
  readonly calls: string[] = []
  readonly said: string[] = []
  usage: Usage | null = null
  ground: Ground | null = null
  heldMs = 0
  /** Of the clock, which goes on while nothing here runs. */
  aheadMs = 0
  memoryBytes = 1_000_000_000
  ears: MachineEars | null = null
  told: ClientEars | null = null
  readonly engine: Engine
  readonly ending: Promise<Ending>
  #woken: () => void = () => {}

  constructor(fake: Fake = {}) {
    const call = (name: string): void => {
      this.calls.push(name)
      this.#woken()
    }
    const machine: Machine = {
      pause: async () => call("pause"),
      resume: async () => call("resume"),
      async save() {
        call("save")
        await fake.save?.()
      },
      powerDown: async () => call("powerDown"),
      destroy: async () => {
        call("destroy")
        this.ears!.onStopped("it was ended")
      },
      limitProcessor: percent => call(`limit ${percent}`),
      plugCable: async isIn => call(`cable ${isIn}`),
      cpuMs: () => 7_000,
      heldMs: () => this.heldMs,
      otherPid: null,
    }
    this.engine = new Engine({
      client: {
        start: told => {
          this.told = told
        },
        report: usage => {
          this.usage = usage
        },
        say: message => this.said.push(message),
        describe: ground => {
          this.ground = ground
        },
        end: async () => 0,
      },
      network: {
        setOpen: isOpen => call(`network ${isOpen}`),
        drop: () => call("drop"),
        allow: () => call("allow"),
        reach: () => call("reach"),
        sentBytes: 1,
        receivedBytes: 2,
      },
      guest: new Guest(),
      clock: { nowMs: () => performance.now() + this.aheadMs, wallMs: () => Date.now() },
      ownCpuMs: () => 1_000,
      onConsole: () => {},
      idleMaxMs: null,
      prepare: async () => {
        await fake.prepare?.()
        return {
          directory: "/nowhere",
          hasSave: fake.hasSave ?? false,
          plan: () => ({ memoryBytes: this.memoryBytes }) as MachinePlan,
          hypervisor: {
            name: "fake",
            description: "fake",
            acceleration: "tcg" as const,
            why: "there is no /dev/kvm",
            sweep: async () => [],
            savedMemoryBytes: () => null,
            fits: async () => ({ hasSave: false, why: null }),
            start: async (_, fromSave, ears, signal) => {
              this.ears = ears
              call(fromSave ? "restore" : "start")
              await fake.start?.(this.calls)
              if (signal.aborted) throw new Error("called off")
              return machine
            },
            discardSave: async () => call("discard"),
          },
        }
      },
    })
    this.ending = this.engine.run()
  }

  async until(name: string): Promise<void> {
    while (!this.calls.includes(name)) {
      await new Promise<void>(resolve => {
        this.#woken = resolve
      })
    }
  }

  async working(): Promise<this> {
    await this.until("start")
    // The line comes when the start has been taken note of.
    await new Promise(setImmediate)
    await new Promise(setImmediate)
    this.ears!.onLine("cah: agent hello")
    await new Promise(setImmediate)
    return this
  }
}

const quit = { kind: "QuitAsked", reason: "test" } as const

test("a machine is started, saved when the client says quit, and its use told at the end", async () => {
  const bench = await new Bench().working()
  bench.told!.post(quit)
  assert.deepEqual(await bench.ending, { kind: "quit", reason: "test", seconds: 0 })
  assert.deepEqual(bench.calls, ["start", "save"])
  assert.deepEqual([bench.usage?.cpuMs, bench.usage?.sentBytes, bench.usage?.receivedBytes], [1_000, 1, 2])
})

test("what cannot be prepared ends in its own words, and what nobody foresaw in ten minutes", async () => {
  const known = new Bench({
    prepare: async () => {
      throw new Failure("no room", { laterSeconds: 60 })
    },
  })
  assert.deepEqual(await known.ending, { kind: "later", reason: "no room", seconds: 60 })
  const unknown = new Bench({
    prepare: async () => {
      throw new TypeError("x is undefined")
    },
  })
  assert.deepEqual(await unknown.ending, { kind: "later", reason: "x is undefined", seconds: 600 })
})

test("a quit while it starts calls the start off, and ends when that has ended", async () => {
  let finish = (): void => {}
  const bench = new Bench({
    start: () =>
      new Promise(resolve => {
        finish = resolve
      }),
  })
  await bench.until("start")
  bench.told!.post(quit)
  await new Promise(setImmediate)
  finish()
  assert.equal((await bench.ending).kind, "quit")
  assert.deepEqual(bench.calls, ["start"])
})

test("commands go to the machine in their order", async () => {
  const bench = await new Bench().working()
  bench.told!.post({ kind: "SuspendAsked" })
  bench.told!.post({ kind: "ResumeAsked" })
  bench.told!.post({ kind: "FinishAsked" })
  await bench.until("powerDown")
  bench.ears!.onStopped("the virtual machine switched itself off")
  assert.equal((await bench.ending).kind, "done")
  assert.deepEqual(bench.calls, ["start", "pause", "resume", "powerDown"])
})

test("a save that fails leads to the power button, its half removed first", async () => {
  const bench = await new Bench({
    save: async () => {
      throw new Failure("no room", { laterSeconds: 60 })
    },
  }).working()
  bench.told!.post(quit)
  await bench.until("powerDown")
  bench.ears!.onStopped("off")
  assert.equal((await bench.ending).kind, "quit")
  assert.deepEqual(bench.calls, ["start", "save", "discard", "resume", "powerDown"])
})

test("a guest that floods loses its cable before anything is decided", async () => {
  const bench = await new Bench().working()
  bench.engine.flood()
  assert.deepEqual(bench.calls, ["start", "cable false"])
  await bench.until("destroy")
  bench.told!.post(quit)
  await bench.ending
})

test("when a guest fails, the last it said is told to whoever reads the log", async () => {
  const bench = await new Bench().working()
  bench.ears!.onLine("Kernel panic - not syncing: test")
  bench.ears!.onStopped("QEMU was killed (SIGKILL)")
  bench.told!.post(quit)
  await bench.ending
  assert.ok(bench.said.some(line => line.includes("console: Kernel panic - not syncing: test")))
})

test("changed limits reach network and processor at once", async () => {
  const bench = await new Bench().working()
  bench.told!.allow({ processorPercent: 30 } as Allowance)
  assert.deepEqual(bench.calls, ["start", "allow", "limit 30"])
  bench.told!.post({ kind: "AbortAsked" })
  assert.equal((await bench.ending).kind, "aborted")
})

test("V5: what the machine runs on is told once it is known", async () => {
  const bench = await new Bench().working()
  assert.deepEqual(bench.ground, { hypervisor: "fake", acceleration: "tcg", why: "there is no /dev/kvm" })
  bench.told!.post(quit)
  await bench.ending
})

test("V8: a lower limit of memory ends the machine and starts a smaller one in the same task; a higher one does nothing", async () => {
  const bench = await new Bench().working()
  bench.told!.allow({ processorPercent: 100, memoryBytes: 2_000_000_000 } as Allowance)
  bench.told!.allow({ processorPercent: 100, memoryBytes: 500 * 1024 ** 2 } as Allowance)
  await bench.until("powerDown")
  bench.memoryBytes = 500 * 1024 ** 2
  bench.calls.length = 0
  bench.ears!.onStopped("the virtual machine switched itself off")
  await bench.until("start")
  assert.ok(bench.said.some(text => /500 MiB for the virtual machine, which has 954 MiB/.test(text)))
  bench.told!.post({ kind: "AbortAsked" })
  await bench.ending
})

test("V14: a clock that ran on while nothing here did kills no guest in the second it wakes", async () => {
  const bench = await new Bench().working()
  bench.aheadMs = 11 * 60_000
  bench.told!.post({ kind: "Ticked" })
  await bench.until("drop")
  assert.deepEqual(bench.calls, ["start", "drop"])
  bench.told!.post(quit)
  assert.equal((await bench.ending).kind, "quit")
  assert.deepEqual(bench.calls, ["start", "drop", "save"])
})
