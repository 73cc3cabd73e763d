// A guest under QEMU without a launcher, for measuring and testing images: three disks, a console that is listened to, a network that leads to
// one hub and nowhere else, and the monitor. Always TCG, which works everywhere. Whatever happens, no machine stays behind.
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { truncateSync, writeFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { join } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { readImage } from "../../appliance/signature.ts"
import { writeIso } from "../../proto/guest/iso.ts"
import { imageDigest } from "../../proto/guest/manifest.ts"
import { printSettings, SETTINGS_FILE } from "../../proto/guest/settings.ts"

export interface GuestOptions {
  /** The image's directory. */
  readonly image: string
  /** A directory for disks and sockets. The scratch disk in it is used again by the next machine. */
  readonly place: string
  /** As the guest is to call it, and where it really is. */
  readonly hubUrl: string
  readonly hubPort: number
  readonly enrolToken: string
  readonly name: string
  readonly memoryMb?: number
  /** A file that an earlier machine was saved to: go on from there. */
  readonly restore?: string
}

export interface ConsoleLine {
  readonly text: string
  /** Since QEMU was started. */
  readonly atMs: number
}

const relay = fileURLToPath(new URL("relay.mjs", import.meta.url))
const SCRATCH_BYTES = 4 * 1024 ** 3
const MONITOR_MS = 10_000

const running = new Set<ChildProcess>()
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL")
})

export class Machine {
  readonly lines: ConsoleLine[] = []
  readonly #child: ChildProcess
  readonly #monitor: string
  readonly #begunMs = performance.now()
  /** Never rejects. */
  readonly ended: Promise<void>
  #isOver = false
  #waiting: (() => void)[] = []

  private constructor(child: ChildProcess, monitor: string) {
    this.#child = child
    this.#monitor = monitor
    running.add(child)
    let rest = ""
    const listen = (bytes: Buffer): void => {
      const texts = (rest + bytes.toString()).split(/\r?\n/)
      rest = texts.pop() ?? ""
      const atMs = performance.now() - this.#begunMs
      for (const text of texts) if (text !== "") this.lines.push({ text, atMs })
      this.#wake()
    }
    child.stdout!.on("data", listen)
    child.stderr!.on("data", listen)
    this.ended = once(child, "close").then(() => {
      running.delete(child)
      this.#isOver = true
      this.#wake()
    })
  }

  static async start(options: GuestOptions): Promise<Machine> {
    const { image, place, restore } = options
    const { manifest, bytes } = await readImage(image)
    const { name, version } = manifest
    const settings = printSettings({
      hub: options.hubUrl,
      via: "10.0.2.100:80",
      enrolToken: options.enrolToken,
      name: options.name,
      slots: 1,
      // All that the guest has.
      memoryBytes: 2 ** 50,
      diskBytes: 2 ** 50,
      image: { name, version, digest: imageDigest(bytes) },
      caPem: null,
    })
    writeFileSync(join(place, "settings.iso"), writeIso({ name: SETTINGS_FILE, bytes: Buffer.from(settings) }))
    writeFileSync(join(place, "scratch"), "", { flag: "a" })
    truncateSync(join(place, "scratch"), SCRATCH_BYTES)
    const monitor = join(place, "monitor")
    const drive = (file: string, more = ""): string[] => ["-drive", `file=${file},if=virtio,format=raw${more}`]
    const forward = `guestfwd=tcp:10.0.2.100:80-cmd:${process.execPath} ${relay} 127.0.0.1 ${options.hubPort}`
    const child = spawn(
      "qemu-system-x86_64",
      [
        ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
        // The kernel panicked now and then until this one instruction was masked.
        ...["-machine", "q35", "-accel", "tcg", "-cpu", "Nehalem,-cx16", "-smp", "1"],
        ...["-m", `${options.memoryMb ?? 512}`],
        ...["-kernel", join(image, "kernel"), "-initrd", join(image, "initrd"), "-append", manifest.kernelCommand],
        ...drive(join(image, "root"), ",readonly=on"),
        ...drive(join(place, "settings.iso"), ",readonly=on"),
        ...drive(join(place, "scratch")),
        ...["-netdev", `user,id=net,restrict=on,${forward}`, "-device", "virtio-net-pci,netdev=net"],
        ...["-device", "virtio-rng-pci", "-serial", "stdio", "-qmp", `unix:${monitor},server=on,wait=off`],
        ...(restore === undefined ? [] : ["-incoming", `exec:cat ${restore}`]),
      ],
      { stdio: ["ignore", "pipe", "pipe"] },
    )
    return new Machine(child, monitor)
  }

  /** The first line that fits, from the given number on; null if the machine ended or the time is over before. */
  async line(fits: RegExp, withinMs: number, from = 0): Promise<ConsoleLine | null> {
    const over = AbortSignal.timeout(withinMs)
    over.addEventListener("abort", () => this.#wake(), { once: true })
    for (let at = from; ; ) {
      for (; at < this.lines.length; at++) if (fits.test(this.lines[at]!.text)) return this.lines[at]!
      if (this.#isOver || over.aborted) return null
      await new Promise<void>(resolve => this.#waiting.push(resolve))
    }
  }

  /** Gives the monitor one command and returns its answer. */
  async command(execute: string, words: Record<string, unknown> = {}): Promise<unknown> {
    const socket = await this.#open()
    try {
      socket.write(`{"execute":"qmp_capabilities"}\n${JSON.stringify({ execute, arguments: words })}\n`)
      let answers = 0
      for await (const { return: answer, error } of messages(socket)) {
        if (error !== undefined) throw new Error(`the monitor refused ${execute}: ${error.desc}`)
        if (answer !== undefined && ++answers === 2) return answer
      }
      throw new Error(`the monitor went away before it answered ${execute}`)
    } finally {
      socket.destroy()
    }
  }

  /** Pauses the machine, writes all of it to a file and ends it. */
  async save(file: string): Promise<void> {
    await this.command("stop")
    await this.command("migrate", { uri: `exec:cat >${file}` })
    for (;;) {
      const { status } = (await this.command("query-migrate")) as { status?: string }
      if (status === "completed") break
      if (status === "failed") throw new Error("the machine could not be saved")
      await pause(50)
    }
    await this.kill()
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL")
    await this.ended
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  async #open(): Promise<Socket> {
    const deadlineMs = performance.now() + MONITOR_MS
    for (;;) {
      const socket = connect(this.#monitor)
      try {
        await once(socket, "connect")
        return socket
      } catch (error) {
        // QEMU makes the socket soon after its start.
        if (this.#isOver || performance.now() > deadlineMs) throw error
        await pause(20)
      }
    }
  }
}

interface Message {
  readonly return?: unknown
  readonly error?: { readonly desc: string }
}

async function* messages(socket: Socket): AsyncGenerator<Message> {
  let rest = ""
  for await (const chunk of socket) {
    const lines = (rest + String(chunk)).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) if (line.trim() !== "") yield JSON.parse(line) as Message
  }
}
