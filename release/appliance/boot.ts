// How long an image takes from the start of QEMU to the agent's welcome by a real hub, and whether its kernel ever panics: boots it so many
// times, each with a disk that is new, so that formatting and enrolling are in it. One after the other, under TCG.
import { mkdir, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { nodeState } from "../../harness/agents.ts"
import { Hub } from "../../harness/hub.ts"
import { end } from "../../harness/processes.ts"
import { type ConsoleLine, Machine } from "./machine.ts"

/** A loaded machine needs a minute; more means that the guest hangs. */
const BOOT_MAX_MS = 180_000

export type Boot =
  | { readonly kind: "hello"; readonly upMs: number; readonly helloMs: number }
  | { readonly kind: "panic" | "silent"; readonly lastLines: readonly string[] }

export interface BootSeries {
  readonly image: string
  readonly times: number
  readonly memoryMb: number
  onBoot(number: number, boot: Boot): void
}

export async function bootSeries({ image, times, memoryMb, onBoot }: BootSeries): Promise<Boot[]> {
  const place = await mkdtemp(join(tmpdir(), "cah-boot-"))
  const hub = await Hub.start(join(place, "hub"), join(place, "hub.log"))
  try {
    const boots: Boot[] = []
    for (let number = 1; number <= times; number++) {
      const here = join(place, `boot${number}`)
      await mkdir(here)
      const boot = await bootOnce(hub, { image, place: here, name: `boot${number}`, memoryMb })
      await rm(here, { recursive: true })
      boots.push(boot)
      onBoot(number, boot)
    }
    return boots
  } finally {
    await end([hub.program])
    await rm(place, { recursive: true, force: true })
  }
}

async function bootOnce(
  hub: Hub,
  guest: { readonly image: string; readonly place: string; readonly name: string; readonly memoryMb: number },
): Promise<Boot> {
  const enrolToken = await enrolment(hub)
  const machine = await Machine.start({ ...guest, hubUrl: hub.url, hubPort: Number(new URL(hub.url).port), enrolToken })
  try {
    const told = await machine.line(/^cah: agent hello$|^cah: fatal |Kernel panic/, BOOT_MAX_MS)
    const lastLines = machine.lines.slice(-20).map(line => line.text)
    if (told?.text.includes("panic")) return { kind: "panic", lastLines }
    if (told === null || told.text.includes("fatal")) return { kind: "silent", lastLines }
    const state = await nodeState(hub, guest.name)
    if (state !== "NODE_STATE_ONLINE") throw new Error(`the agent says hello, and to the hub it is ${state}`)
    return { kind: "hello", upMs: momentOf(machine.lines, "cah: up"), helloMs: told.atMs }
  } finally {
    await machine.kill()
  }
}

export async function enrolment(hub: Hub): Promise<string> {
  const { secret } = await hub.ask<{ secret: string }>("OperatorService/CreateEnrolment", { account: "guest" })
  return secret
}

function momentOf(lines: readonly ConsoleLine[], text: string): number {
  return lines.find(line => line.text === text)?.atMs ?? Number.NaN
}

/** "n=20 median 12.1 s (11.0–14.2), 0 panics, 0 silent". */
export function describeBoots(boots: readonly Boot[]): string {
  const hellos = boots.flatMap(boot => (boot.kind === "hello" ? [boot.helloMs] : [])).sort((one, other) => one - other)
  const count = (kind: Boot["kind"]): number => boots.filter(boot => boot.kind === kind).length
  const seconds = (ms: number | undefined): string => (ms === undefined ? "-" : `${(ms / 1_000).toFixed(1)}`)
  const median = hellos[Math.floor((hellos.length - 1) / 2)]
  return `n=${boots.length}, median ${seconds(median)} s (${seconds(hellos[0])}–${seconds(hellos.at(-1))}), ${count("panic")} panics, ${count("silent")} silent`
}
