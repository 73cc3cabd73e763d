// What a guest can reach whose root is not on the volunteer's side. The appliance's own kernel, initrd and system boot with another first program: it
// is root in the guest, gives itself a route, and tries the host, its home network, names, a metadata address and the hub's other ports;
// then it opens connections like no agent does; then, in another life, it fills the volunteer's disk. Needs QEMU, root (for a small
// file system), squashfs-tools and dist/appliance/base; exits with 77 and the reason where something is missing.
import { execFileSync, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { createSocket } from "node:dgram"
import { once } from "node:events"
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { type AddressInfo, createServer } from "node:net"
import { networkInterfaces, tmpdir } from "node:os"
import { join } from "node:path"
import { Hub } from "../harness/hub.ts"
import { end } from "../harness/processes.ts"
import { root } from "../scripts/files.ts"
import { whyNoQemu } from "../vmlauncher/fixtures.ts"
import { packageLauncher, releaseKey, Slot, type SlotOptions, signImage } from "./slot.ts"

const MIB = 1024 ** 2
const BOOT_MAX_MS = 90_000
const SOON_MS = 60_000
/** The gate has eight locks. They are counted while they come and go, so a few may be seen twice; without a gate there would be hundreds. */
const RELAYS_MAX = 8 + 8

const key = releaseKey()
const appliance = join(root, "dist", "appliance", "base")

/** Runs in the guest as root, by the guest's own Node. */
function trespasser(targets: readonly string[], hubHost: string): string {
  return `const net = require("node:net"), dgram = require("node:dgram"), fs = require("node:fs")
const { execFileSync } = require("node:child_process")
const say = text => fs.writeSync(1, "trespass: " + text + "\\n")
try { execFileSync("/run/cah/busybox", ["ip", "route", "add", "default", "via", "10.0.2.2"]) } catch (e) { say("route " + e.message) }
const tcp = target => new Promise(resolve => {
  const at = target.lastIndexOf(":")
  const socket = net.connect({ host: target.slice(0, at), port: Number(target.slice(at + 1)), timeout: 4000 })
  const is = what => { socket.destroy(); resolve(what) }
  socket.once("connect", () => is("REACHED")).once("error", e => is(e.code)).once("timeout", () => is("silence"))
})
const udp = (host, port) => new Promise(resolve => {
  const socket = dgram.createSocket("udp4")
  const query = Buffer.from("000101000001000000000000076578616d706c65036f72670000010001", "hex")
  socket.once("message", () => resolve("REACHED"))
  socket.on("error", e => resolve(e.code))
  socket.send(query, port, host, e => { if (e) resolve(e.code) })
  setTimeout(() => resolve("silence"), 4000)
})
const hub = () => new Promise(resolve => {
  const socket = net.connect(80, "10.0.2.100", () => socket.write("GET /healthz HTTP/1.1\\r\\nHost: ${hubHost}\\r\\nConnection: close\\r\\n\\r\\n"))
  let text = ""
  socket.on("data", chunk => text += chunk).on("close", () => resolve(text.split("\\r\\n")[0])).on("error", e => resolve(e.code))
})
;(async () => {
  say("hub " + await hub())
  const targets = ${JSON.stringify(targets)}
  await Promise.all([
    ...targets.map(async target => say("tcp " + target + " " + await tcp(target))),
    ...["10.0.2.3:53", "10.0.2.2:53", "8.8.8.8:53"].map(async t => say("udp " + t + " " + await udp(...t.split(":")))),
  ])
  say("done")
  await new Promise(resolve => setTimeout(resolve, 1000))
  for (let n = 0; n < 400; n++) net.connect(80, "10.0.2.100").on("error", () => {})
})()
`
}

const supervisor = `#!/bin/sh
say() { echo "cah: $*" >/dev/console; }
say up
case $(cat /trespass) in
  net) node /trespass.cjs </dev/null >/dev/console 2>&1 ;;
  disk)
    say agent hello
    /run/cah/busybox dd if=/dev/urandom of=/scratch/full bs=1048576 count=120 conv=fsync 2>/dev/console
    echo "trespass: wrote $(/run/cah/busybox stat -c %s /scratch/full)" >/dev/console ;;
esac
/run/cah/busybox sleep 1000
`

/** The appliance with another first program. Its root file system is packed without compression: it lives for a minute. */
function variant(place: string, what: "net" | "disk", program: string): string {
  const image = join(place, what)
  cpSync(appliance, image, { recursive: true })
  const tree = join(place, "tree")
  if (!existsSync(tree)) execFileSync("unsquashfs", ["-q", "-n", "-d", tree, join(image, "root")], { stdio: "pipe" })
  writeFileSync(join(tree, "usr/lib/cah/supervisor"), supervisor, { mode: 0o755 })
  writeFileSync(join(tree, "trespass"), what)
  writeFileSync(join(tree, "trespass.cjs"), program)
  rmSync(join(image, "root"))
  rmSync(join(image, "appliance.iso"), { force: true })
  execFileSync("mksquashfs", [tree, join(image, "root"), "-quiet", "-no-progress", "-noI", "-noD", "-noF", "-noX"], {
    stdio: "pipe",
  })
  const manifest = JSON.parse(readFileSync(join(image, "manifest.json"), "utf8"))
  const bytes = readFileSync(join(image, "root"))
  manifest.files.root = { sizeBytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") }
  delete manifest.files["appliance.iso"]
  writeFileSync(join(image, "manifest.json"), JSON.stringify(manifest))
  signImage(image, key)
  return image
}

async function main(place: string): Promise<void> {
  const launcher = packageLauncher(place, key.publicPem)
  const hub = await Hub.start(join(place, "hub"), join(place, "hub.log"))
  // Somebody who would answer, on the loopback and on every address of this host.
  const neighbour = createServer(socket => socket.end("hello")).listen(0, "0.0.0.0")
  await once(neighbour, "listening")
  const names = createSocket("udp4", (message, from) => names.send(message, from.port, from.address))
  names.bind(0)
  const bounds = { rsc_memory_bound: (448 + 256) * MIB, rsc_disk_bound: 1_500 * MIB }
  const options = { launcher, hub: hub.url, enrolToken: "x", name: "e2e", init: bounds }
  try {
    await walls(place, hub, (neighbour.address() as AddressInfo).port, options)
    await fullDisk(place, options)
  } finally {
    neighbour.close()
    names.close()
    await end([hub.program])
  }
}

async function walls(place: string, hub: Hub, port: number, options: Omit<SlotOptions, "image">): Promise<void> {
  const { host, port: hubPort } = new URL(hub.url)
  const own = Object.values(networkInterfaces())
    .flatMap(list => list ?? [])
    .filter(one => one.family === "IPv4" && !one.internal)
  const targets = [
    ...[`10.0.2.2:${port}`, `10.0.2.2:${hubPort}`, "10.0.2.2:22"],
    ...own.flatMap(({ address }) => [`${address}:${port}`, `${address}:${hubPort}`]),
    ...["10.0.2.100:81", "10.0.2.100:443", `10.0.2.100:${hubPort}`, "10.0.2.3:53"],
    ...["169.254.169.254:80", "192.168.0.1:80", "192.168.1.1:80", "10.0.0.1:80", "8.8.8.8:53"],
  ]
  const slot = new Slot(join(place, "a"), { ...options, image: variant(place, "net", trespasser(targets, host)) })
  try {
    slot.start()
    await slot.until(() => slot.console.includes("trespass: done"), BOOT_MAX_MS, "the trespasser's word")
    const said = [...slot.console.matchAll(/^trespass: (.*)$/gm)].map(match => match[1]!)
    if (!said.includes("hub HTTP/1.1 200 OK"))
      throw new Error(`the one thing that should be reachable is not: ${said[0]}`)
    const reached = said.filter(line => line.endsWith("REACHED"))
    if (reached.length > 0) throw new Error(`the guest's root reached ${reached.join(", ")}`)
    console.log(`the guest's root reaches the hub, and none of ${said.length - 2} other places`)

    let most = 0
    await slot.until(
      () => {
        most = Math.max(most, slot.relays())
        return slot.count("opened far more connections than its work needs") > 0
      },
      SOON_MS,
      "word of the flood",
    )
    if (most > RELAYS_MAX) throw new Error(`${most} relays ran at once`)
    slot.client.send("control", "<quit/>\n")
    await slot.ended()
    await slot.until(() => slot.processes().length === 0, SOON_MS, "the end of all that it started")
    console.log(`a guest that opened 400 connections was ended; ${most} relays ran at most`)
  } catch (error) {
    console.error(slot.stderr, slot.console.slice(-3_000))
    throw error
  } finally {
    slot.close()
  }
}

async function fullDisk(place: string, options: Omit<SlotOptions, "image">): Promise<void> {
  const small = join(place, "small")
  mkdirSync(small)
  const image = variant(place, "disk", "")
  // Room for the check at the start, and not for what the guest writes.
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=340m", "none", small])
  const slot = new Slot(small, { ...options, image })
  try {
    slot.start()
    await slot.until(() => slot.count("the virtual machine starts") === 1, BOOT_MAX_MS, "a start")
    // The volunteer fills it meanwhile.
    writeFileSync(join(small, "film"), Buffer.alloc(260 * MIB, 1))
    await slot.until(
      () => slot.count("the disk of this computer is full; the virtual machine waits for room") === 1,
      BOOT_MAX_MS,
      "a full disk",
    )
    if (slot.console.includes("trespass: wrote")) throw new Error("the guest wrote more than there was room for")
    rmSync(join(small, "film"))
    await slot.until(
      () => slot.console.includes(`trespass: wrote ${120 * MIB}`),
      SOON_MS * 2,
      "the guest's file, whole",
    )
    console.log("a full disk made the machine wait; with room again it went on, and the guest's file is whole")
    slot.client.send("control", "<abort/>\n")
    if ((await slot.ended()) !== 194) throw new Error("abort must end with 194")
  } catch (error) {
    console.error(slot.stderr, slot.console.slice(-3_000))
    throw error
  } finally {
    slot.close()
    execFileSync("umount", ["-l", small])
  }
}

async function whyNot(): Promise<string | null> {
  const qemu = await whyNoQemu()
  if (qemu !== null) return qemu
  if (!existsSync(appliance))
    return "there is no dist/appliance/base: npm run appliance -- build appliance/recipes/base.yaml"
  if (process.getuid?.() !== 0) return "needs root, for a small file system and the files of the appliance"
  for (const tool of ["unsquashfs", "mksquashfs"])
    if (spawnSync(tool, ["-version"]).error) return `needs ${tool} (squashfs-tools)`
  return null
}

const missing = await whyNot()
if (missing !== null) {
  console.log(missing)
  process.exit(77)
}
const place = mkdtempSync(join(tmpdir(), "cah-walls-"))
try {
  await main(place)
} finally {
  rmSync(place, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
}
process.exit(0)
