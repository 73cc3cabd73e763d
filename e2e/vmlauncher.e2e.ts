// The packaged launcher in a BOINC slot, against the real QEMU, with a guest so small that it boots at once: the client's words and what becomes of
// them; bad days; and SIGKILL of launcher, QEMU and client at random moments, after each of which nothing may run and the next start must be
// clean. Prints the times. Needs QEMU; exits with 77 and the reason where that is missing.
import { execFileSync, spawn } from "node:child_process"
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import { whyNoQemu, writeAppliance } from "../vmlauncher/fixtures.ts"
import { packageLauncher, releaseKey, Slot, type SlotOptions, signImage } from "./slot.ts"

const KILLS = 10
/** Where in a life the kill falls: the launcher takes 0.6 s to have its guest running, a save 0.3 s. */
const KILL_WITHIN_MS = 1_500
/** A start, a stop or a save, on a machine with two busy cores. */
const SOON_MS = 30_000
const GONE_MS = 5_000
/** The client's own patience. */
const QUIT_MS = 60_000

const key = releaseKey()
const times: [string, number][] = []

function check(isTrue: boolean, what: string): void {
  if (!isTrue) throw new Error(what)
}

async function main(place: string): Promise<void> {
  const launcher = packageLauncher(place, key.publicPem)
  const image = writeAppliance(join(place, "image"))
  signImage(image, key)
  const says = execFileSync(launcher, ["verify", image], { encoding: "utf8" })
  check(says === "tiny 1: whole, and signed with the key inside this launcher\n", `verify says "${says}"`)
  const options: SlotOptions = { launcher, image, hub: "http://127.0.0.1:9", enrolToken: "x", name: "e2e" }
  let slots = 0
  const slot = (change: Partial<SlotOptions> = {}): Slot =>
    new Slot(join(place, `boinc${slots++}`), { ...options, ...change })
  await protocol(slot())
  await badDays(place, launcher, slot)
  await kills(slot())
  for (const [what, ms] of times) console.log(`${what.padEnd(48)} ${ms.toFixed(1)} ms`)
}

/** Nothing of the machine runs; a saved one and its disk may lie there. */
async function isClean(slot: Slot, mayStay: readonly string[]): Promise<void> {
  await slot.until(() => slot.processes().length === 0, GONE_MS, `the end of ${slot.processes().join(", ")}`)
  const left = slot.leftovers().filter(name => !mayStay.includes(name))
  check(left.length === 0, `left in the slot: ${left.join(", ")}`)
}

const saved = ["scratch.raw", "network.json", "vm.save", "vm.save.json"]

/** Letters on the console, each 50 ms of the guest's life. */
const letters = (slot: Slot): number => slot.console.split("\n").filter(line => line.length === 1).length

// ---- the client's words -----------------------------------------------------------------------------------------

async function protocol(slot: Slot): Promise<void> {
  const tell = async (word: string): Promise<void> => {
    await slot.until(() => slot.client.send("control", `<${word}/>\n`), SOON_MS, `room for ${word}`)
  }
  slot.start()
  times.push([
    "from the client's start to the guest's first word",
    await slot.until(() => letters(slot) > 0, SOON_MS, "a guest"),
  ])

  await tell("suspend")
  await slot.until(() => slot.count("stands still") === 1, SOON_MS, "a pause")
  const stood = letters(slot)
  await wait(1_000)
  check(letters(slot) <= stood + 1, "the guest went on while it was suspended")
  await tell("resume")
  await slot.until(() => letters(slot) > stood + 2, SOON_MS, "a guest that goes on")
  times.push(["pause", slot.newestMs("stands still")], ["continue", slot.newestMs("goes on")])

  for (let n = 0; n < 2; n++) {
    const before = letters(slot)
    await tell("quit")
    const beganMs = performance.now()
    check((await slot.ended()) === 0, "quit must end with 0")
    times.push(["from quit to the launcher's end", performance.now() - beganMs])
    check(performance.now() - beganMs < QUIT_MS, "quit took longer than the client waits")
    await isClean(slot, saved)
    check(existsSync(join(slot.directory, "vm.save")), "nothing was saved")
    check(!existsSync(join(slot.directory, "boinc_finish_called")), "a quit is no finish")
    slot.start()
    times.push([
      "from the client's start to a restored guest",
      await slot.until(() => letters(slot) > before + 1, SOON_MS, "a restored guest"),
    ])
  }
  check(slot.console.split("cah: up").length === 2, "the guest was booted again instead of restored")

  await tell("abort")
  check((await slot.ended()) === 194, "abort must end with 194")
  await isClean(slot, ["scratch.raw", "network.json"])

  slot.start()
  await slot.until(() => slot.count("the virtual machine starts") > 1, SOON_MS, "a start")
  writeFileSync(join(slot.directory, "trickle_down_1"), "<finish/>\n")
  slot.client.send("trickleDown", "<have_trickle_down/>\n")
  check((await slot.ended()) === 0, "finish must end with 0")
  check(readFileSync(join(slot.directory, "boinc_finish_called"), "utf8") === "0\n", "finish must say so to the client")
  rmSync(join(slot.directory, "boinc_finish_called"))
  await isClean(slot, ["network.json"])
  slot.close()
  console.log("suspend, resume, quit, restore, abort and finish do what they should")
}

// ---- bad days ---------------------------------------------------------------------------------------------------

async function badDays(place: string, launcher: string, slot: (change?: Partial<SlotOptions>) => Slot): Promise<void> {
  const guest = (says: string): string => {
    const image = writeAppliance(mkdtempSync(join(place, "image-")), says)
    signImage(image, key)
    return image
  }
  const damaged = guest("cah: up\n")
  appendFileSync(join(damaged, "root"), "x")
  const unsigned = writeAppliance(mkdtempSync(join(place, "image-")))
  const small = { init: { rsc_memory_bound: 272_000_000 } }
  const cases: readonly (readonly [string, Partial<SlotOptions>, number, RegExp])[] = [
    ["a damaged image", { image: damaged }, 1, /its root has 4097 bytes .* not 4096/],
    ["an image that somebody else signed", { image: unsigned }, 1, /its signature is wrong/],
    ["a workunit without sense", { name: "no name at all" }, 1, /volunteer\.json: name must be 1 to 64/],
    ["limits too tight", small, 0, /stopped for 3600 s: the limits leave 3 MiB of memory/],
  ]
  for (const [what, change, code, words] of cases) {
    const one = slot(change)
    one.start()
    const ended = await one.ended()
    check(ended === code, `${what}: ended with ${ended} instead of ${code}\n${one.stderr}`)
    check(words.test(one.stderr), `${what}: these are not the words: ${one.stderr}`)
    check(existsSync(join(one.directory, "boinc_temporary_exit")) === (code === 0), `${what}: temporary exit`)
    rmSync(join(one.directory, "boinc_temporary_exit"), { force: true })
    await isClean(one, ["network.json", "scratch.raw"])
    one.close()
  }

  const panics = slot({ image: guest("cah: up\nKernel panic - not syncing: test\n") })
  panics.start()
  await panics.until(
    () => panics.count("kernel panicked (test); it is started again in 10 s") === 1,
    SOON_MS * 2,
    "two panics",
  )
  panics.client.send("control", "<quit/>\n")
  check((await panics.ended()) === 0, "a quit between two tries must end with 0")
  await isClean(panics, ["network.json", "scratch.raw"])
  panics.close()

  const two = slot()
  two.start()
  await two.until(() => letters(two) > 0, SOON_MS, "a guest")
  const second = spawn(launcher, [], { cwd: two.directory, stdio: "ignore" })
  await wait(1_000)
  check(
    second.exitCode === null && two.processes().length === 2,
    "a second launcher in one slot must wait for the first",
  )
  second.kill("SIGKILL")
  two.client.send("control", "<abort/>\n")
  await two.ended()
  two.close()
  console.log(`${cases.length + 2} bad days end with plain words and a clean slot`)
}

// ---- kills ------------------------------------------------------------------------------------------------------

async function kills(slot: Slot): Promise<void> {
  const stays = [
    ...saved,
    "boinc_lockfile",
    "qemu.pid",
    "relay.sock",
    "relay.refused",
    "settings.iso",
    "vm.save.part",
    // Killed between the writing of a message and its renaming: the next one takes its place.
    "trickle_up.xml.part",
    "save.sock",
    "qmp.sock",
  ]
  const locks = Array.from({ length: 8 }, (_, n) => `relay.lock.${n}`)
  for (let n = 0; n < KILLS; n++) {
    slot.start()
    await wait(Math.random() * KILL_WITHIN_MS)
    // Every other one in the middle of a quit.
    if (n % 2 === 1) {
      slot.client.send("control", "<quit/>\n")
      await wait(Math.random() * 200)
    }
    slot.kill()
    await slot.ended()
    await isClean(slot, [...stays, ...locks, "boinc_lockfile.old"])
  }
  console.log(`the launcher was killed ${KILLS} times; nothing ran on`)

  slot.start()
  await slot.until(() => slot.qemuPid !== null && letters(slot) > 0, SOON_MS, "a guest after that")
  // In a restore the save is given up; else it is another try.
  const words = (): number => slot.count("it is started again in") + slot.count("cannot be continued")
  for (let n = 0; n < KILLS; n++) {
    const before = words()
    await slot.until(() => slot.qemuPid !== null, SOON_MS, "a machine")
    await wait(Math.random() * 500)
    const pid = slot.qemuPid
    if (pid !== null) process.kill(pid, "SIGKILL")
    await slot.until(() => words() > before, SOON_MS, "word of the kill")
    // The waits between tries double; a new launcher begins a new row.
    slot.client.send("control", "<quit/>\n")
    check((await slot.ended()) === 0, "a quit after QEMU was killed must end with 0")
    await isClean(slot, saved)
    slot.start()
  }
  console.log(`QEMU was killed ${KILLS} times; each time it was told of, and a new start was clean`)
  await slot.until(() => slot.qemuPid !== null, SOON_MS, "a machine")
  slot.client.send("control", "<abort/>\n")
  await slot.ended()

  const client = spawn("sleep", ["60"])
  const path = join(slot.directory, "init_data.xml")
  writeFileSync(
    path,
    readFileSync(path, "utf8").replace(/<client_pid>.*<\/client_pid>/, `<client_pid>${client.pid}</client_pid>`),
  )
  slot.start()
  await slot.until(() => slot.qemuPid !== null, SOON_MS, "a machine")
  client.kill("SIGKILL")
  const beganMs = performance.now()
  check((await slot.ended()) === 0, "a client that is gone has said quit")
  times.push(["from the client's death to the launcher's end", performance.now() - beganMs])
  await isClean(slot, saved)
  slot.close()
  console.log("the client was killed; the launcher saved its machine and went")
}

const missing = await whyNoQemu()
if (missing !== null) {
  console.log(missing)
  process.exit(77)
}
const place = mkdtempSync(join(tmpdir(), "cah-vmlauncher-"))
try {
  await main(place)
} finally {
  rmSync(place, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
}
