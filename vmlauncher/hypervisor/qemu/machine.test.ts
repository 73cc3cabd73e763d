// Against the real QEMU, with a guest of some hundred bytes that boots at once. The appliance's kernel is met in the end-to-end pieces.
import assert from "node:assert/strict"
import { execFileSync, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdirSync, readdirSync, readFileSync, truncateSync, utimesSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { before, describe, it, type TestContext as NodeContext } from "node:test"
import { setTimeout as wait } from "node:timers/promises"
import type { Machine, MachinePlan } from "../../core/ports.ts"
import { scratch, type TestContext, whyNoQemu, working, writeAppliance } from "../../fixtures.ts"
import type { Memory } from "../../place.ts"
import { cpuMsOf } from "../../process.ts"
import { findQemu, openQemu } from "./qemu.ts"

const MIB = 1024 ** 2
/** Of what takes milliseconds; a loaded machine gets its time. */
const PATIENCE_MS = 20_000

type Qemu = Awaited<ReturnType<typeof openQemu>>

describe("a machine of QEMU", async () => {
  const missing = await whyNoQemu()
  let qemu: Qemu

  before(async () => {
    const found = await findQemu()
    if (!("path" in found)) return
    // Emulation, whatever this computer has: what is tested here is not speed.
    const closed = { acceleration: "tcg" as const, why: "test", atMs: Date.now() }
    const memory = { get: () => closed, set: () => {} } as unknown as Memory
    qemu = await openQemu(found, { kernel: "", initrd: null, command: "" }, memory)
  })

  class Bench {
    readonly plan: MachinePlan
    readonly lines: string[] = []
    stopped: string | null = null
    diskFull = 0
    machine: Machine | null = null
    #woken: () => void = () => {}

    constructor(t: TestContext, change: Partial<MachinePlan> & { says?: string; directory?: string } = {}) {
      const directory = change.directory ?? scratch(t)
      const image = writeAppliance(join(directory, "image"), change.says)
      const settings = join(directory, "settings.iso")
      writeFileSync(settings, Buffer.alloc(2_048))
      this.plan = {
        name: `cah-test-${process.pid}`,
        directory,
        processors: 1,
        memoryBytes: 64 * MIB,
        processorPercent: 100,
        image: { kernel: join(image, "kernel"), initrd: join(image, "initrd"), root: join(image, "root"), iso: null },
        imageDigest: "sha256:test",
        kernelCommand: "console=ttyS0",
        settings,
        scratch: { path: join(directory, "scratch.raw"), sizeBytes: 64 * MIB },
        relay: { command: ["false"], socket: "relay.sock", lock: "relay.lock.", refused: "relay.refused" },
        ...change,
      }
      t.after(() => this.machine?.destroy())
    }

    async start(fromSave = false, signal = new AbortController().signal): Promise<Machine> {
      const ears = {
        onLine: (line: string) => {
          this.lines.push(line)
          this.#woken()
        },
        onDiskFull: () => {
          this.diskFull++
          this.#woken()
        },
        onStopped: (reason: string) => {
          this.stopped = reason
          this.#woken()
        },
      }
      this.machine = await qemu.start(this.plan, fromSave, ears, signal)
      return this.machine
    }

    async until(what: () => boolean): Promise<void> {
      const late = AbortSignal.timeout(PATIENCE_MS)
      while (!what()) {
        await new Promise<void>((resolve, reject) => {
          this.#woken = resolve
          late.addEventListener("abort", () =>
            reject(new Error(`not in time; the console says ${this.lines.join("|")}`)),
          )
        })
      }
    }

    /** Letters that the guest has printed, one for each 50 ms of its life. */
    get letters(): string {
      return this.lines.filter(line => line.length === 1).join("")
    }

    pid(): number {
      return Number(readFileSync(join(this.plan.directory, "qemu.pid"), "utf8"))
    }
  }

  const test = (name: string, what: (t: NodeContext) => Promise<void>): void => {
    it(name, async t => {
      if (missing !== null) return t.skip(missing)
      await what(t)
    })
  }

  test("boots, speaks, stands still when paused and goes on where it stood", async t => {
    const bench = new Bench(t)
    const machine = await bench.start()
    await bench.until(() => bench.letters.length > 2)
    assert.deepEqual(bench.lines.slice(0, 2), ["cah: up", "cah: agent hello"])
    await machine.pause()
    const { length } = bench.letters
    await wait(300)
    assert.ok(bench.letters.length <= length + 1, "it went on")
    await machine.resume()
    await bench.until(() => bench.letters.length > length + 2)
    const { letters } = bench
    assert.ok("bcdefghijklmnopabcdefghijklmnopabcdefghijklmnop".startsWith(letters), letters)
  })

  test("is saved and restored where it stood, once, and nothing but its files is left in between", async t => {
    const bench = new Bench(t)
    const machine = await bench.start()
    await bench.until(() => bench.letters.length > 2)
    await machine.save()
    bench.machine = null
    assert.equal(bench.stopped, null)
    assert.deepEqual(readdirSync(bench.plan.directory).sort(), [
      "image",
      "scratch.raw",
      "settings.iso",
      "vm.save",
      "vm.save.json",
    ])
    assert.deepEqual(await qemu.fits(bench.plan), { hasSave: true, why: null })
    const { letters } = bench
    await bench.start(true)
    assert.equal(existsSync(join(bench.plan.directory, "vm.save")), false)
    await bench.until(() => bench.letters.length > letters.length + 2)
    assert.ok("bcdefghijklmnopabcdefghijklmnopabcdefghijklmnop".startsWith(bench.letters), bench.letters)
    assert.equal(bench.lines.filter(line => line === "cah: up").length, 1)
  })

  test("does not go on from a save that does not fit, and removes it", async t => {
    const changes: readonly (readonly [(plan: MachinePlan) => unknown, Partial<MachinePlan>, RegExp])[] = [
      [() => {}, { memoryBytes: 65 * MIB }, /limits or QEMU have changed/],
      [() => {}, { imageDigest: "sha256:other" }, /the image, the limits/],
      [plan => utimesSync(plan.scratch.path, 1, 1), {}, /its disk has changed since/],
      [plan => truncateSync(join(plan.directory, "vm.save"), 10), {}, /it is not whole/],
      [plan => writeFileSync(join(plan.directory, "vm.save.json"), "{"), {}, /is not known/],
    ]
    const bench = new Bench(t)
    for (const [damage, change, why] of changes) {
      await (await bench.start()).save()
      bench.machine = null
      damage(bench.plan)
      const fits = await qemu.fits({ ...bench.plan, ...change })
      assert.equal(fits.hasSave, false)
      assert.match(fits.why ?? "", why)
      assert.deepEqual(await qemu.fits(bench.plan), { hasSave: false, why: null })
    }
  })

  test("says what QEMU says when a saved memory is no such thing, and leaves nothing", async t => {
    const bench = new Bench(t)
    await (await bench.start()).save()
    bench.machine = null
    writeFileSync(join(bench.plan.directory, "vm.save"), Buffer.alloc(100_000, "nonsense"))
    await assert.rejects(bench.start(true), { name: "Failure", message: /^QEMU says: .+/ })
    assert.equal(bench.stopped, null)
    assert.equal(existsSync(join(bench.plan.directory, "qemu.pid")), false)
  })

  test("switches itself off when its power button is pressed", async t => {
    const bench = new Bench(t)
    const machine = await bench.start()
    await bench.until(() => bench.letters.length > 0)
    await machine.powerDown()
    await bench.until(() => bench.stopped !== null)
    assert.equal(bench.stopped, "the virtual machine switched itself off")
  })

  test("is ended at once when it is not wanted, also while it starts and while it stands still", async t => {
    const bench = new Bench(t)
    const machine = await bench.start()
    await machine.pause()
    await machine.destroy()
    assert.equal(bench.stopped, "it was ended")
    assert.deepEqual(readdirSync(bench.plan.directory).sort(), ["image", "scratch.raw", "settings.iso"])
    const off = new AbortController()
    const starting = bench.start(false, off.signal)
    setImmediate(() => off.abort())
    await assert.rejects(starting, /called off/)
    assert.equal(existsSync(join(bench.plan.directory, "qemu.pid")), false)
  })

  test("that is killed is told of, with the signal", async t => {
    const bench = new Bench(t)
    await bench.start()
    await bench.until(() => bench.letters.length > 0)
    process.kill(bench.pid(), "SIGKILL")
    await bench.until(() => bench.stopped !== null)
    assert.equal(bench.stopped, "QEMU was killed (SIGKILL)")
    assert.equal(existsSync(join(bench.plan.directory, "qemu.pid")), false)
  })

  test("that cannot be started is told of in QEMU's words", async t => {
    const bench = new Bench(t, { memoryBytes: 64 * MIB })
    writeFileSync(bench.plan.image.kernel!, "no kernel")
    await assert.rejects(bench.start(), { name: "Failure", message: /QEMU (says|ended)/ })
  })

  test("keeps to its share of a processor, and hears what it is told all the same", async t => {
    const bench = new Bench(t, { processorPercent: 20 })
    const machine = await bench.start()
    await bench.until(() => bench.letters.length > 0)
    const pid = bench.pid()
    const [beganMs, cpuMs] = [performance.now(), cpuMsOf(pid)]
    await wait(3_000)
    const share = (cpuMsOf(pid) - cpuMs) / (performance.now() - beganMs)
    assert.ok(share < 0.3, `${share}`)
    const pausedMs = performance.now()
    await machine.pause()
    assert.ok(performance.now() - pausedMs < 1_000)
    await machine.resume()
    machine.limitProcessor(100)
  })

  test("V6: says how long it was kept from the processor that it wanted, and that is most of it at a tenth", async t => {
    const bench = new Bench(t, { processorPercent: 10 })
    const machine = await bench.start()
    await bench.until(() => bench.letters.length > 0)
    const [pid, beganMs, heldMs] = [bench.pid(), performance.now(), machine.heldMs()]
    const cpuMs = cpuMsOf(pid)
    const { length } = bench.letters
    await bench.until(() => bench.letters.length > length + 8)
    const tookMs = performance.now() - beganMs
    const held = machine.heldMs() - heldMs
    assert.ok(held > tookMs / 2, `${held} of ${tookMs} ms`)
    // What remains is what it had, and what the counting is late.
    assert.ok(tookMs - held < 3 * (cpuMsOf(pid) - cpuMs) + 1_000, `${tookMs - held} ms of its own`)
  })

  test("cannot be saved where there is no room for it, and goes on", async t => {
    const directory = join(scratch(t), "small")
    mkdirSync(directory)
    const { stderr, status } = spawnSync("mount", ["-t", "tmpfs", "-o", "size=16m", "none", directory], {
      encoding: "utf8",
    })
    if (status !== 0) return t.skip(`needs a file system of 16 MiB: ${stderr.trim()}`)
    try {
      const bench = new Bench(t, { directory })
      const machine = await bench.start()
      await bench.until(() => bench.letters.length > 0)
      await assert.rejects(machine.save(), /128 MiB of disk are needed for that, and 1\d MiB are free/)
      await machine.resume()
      const { length } = bench.letters
      await bench.until(() => bench.letters.length > length)
      assert.deepEqual(
        readdirSync(directory).filter(name => name.startsWith("vm.save")),
        [],
      )
      await machine.destroy()
    } finally {
      execFileSync("umount", ["-l", directory])
    }
  })

  test("dies with its launcher, also when that is killed", async t => {
    const bench = new Bench(t)
    const script = join(bench.plan.directory, "launcher.mjs")
    writeFileSync(script, launcherScript(bench.plan))
    const launcher = spawn(process.execPath, ["--import", import.meta.resolve("tsx"), script], {
      stdio: ["ignore", "pipe", "inherit"],
    })
    await once(launcher.stdout, "data")
    const pid = bench.pid()
    assert.ok(existsSync(`/proc/${pid}`))
    launcher.kill("SIGKILL")
    await once(launcher, "exit")
    for (let leftMs = PATIENCE_MS; existsSync(`/proc/${pid}`) && leftMs > 0; leftMs -= 10) await wait(10)
    assert.equal(existsSync(`/proc/${pid}`), false)
  })

  test("that was left running all the same is found by its name and place, ended, and its files removed", async t => {
    const bench = new Bench(t)
    await bench.start()
    const pid = bench.pid()
    assert.deepEqual(await qemu.sweep(bench.plan.directory, "another"), ["qemu.pid"])
    assert.ok(existsSync(`/proc/${pid}`))
    const swept = await qemu.sweep(bench.plan.directory, bench.plan.name)
    assert.deepEqual(swept, [`a virtual machine that still ran (process ${pid})`])
    await bench.until(() => bench.stopped !== null)
    assert.deepEqual(await qemu.sweep(bench.plan.directory, bench.plan.name), [])
  })

  function launcherScript(plan: MachinePlan): string {
    return `import { findQemu, openQemu } from ${JSON.stringify(import.meta.resolve("./qemu.ts"))}
const closed = { acceleration: "tcg", why: "test", atMs: Date.now() }
const qemu = await openQemu(await findQemu(), { kernel: "", initrd: null, command: "" }, { get: () => closed, set() {} })
const ears = { onLine() {}, onStopped() {}, onDiskFull() {} }
await qemu.start(${JSON.stringify(plan)}, false, ears, new AbortController().signal)
console.log("up")
`
  }

  test("says what a guest says that is not well", async t => {
    const bench = new Bench(t, { says: `${working}Kernel panic - not syncing: test\n` })
    await bench.start()
    await bench.until(() => bench.lines.some(line => line.startsWith("Kernel panic")))
  })
})
