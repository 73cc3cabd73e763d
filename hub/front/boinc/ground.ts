// What a computer's virtual machine runs on, as its launcher tells it by way of the client (a trickle of the variety "vmstatus"). A
// stranger's words, for the eyes of the computer's own volunteer: kept among the computer's facts, and nothing is decided by them. Pure.
import type { Ground, SchedulerRequest } from "./request.ts"

const VARIETY = "vmstatus"
const names = { hypervisor: "vm_hypervisor", acceleration: "vm_acceleration", why: "vm_acceleration_why" } as const

/** The facts to keep: the last that was told holds until something else is. */
export function groundFacts(before: Record<string, string>, { messages }: SchedulerRequest): Record<string, string> {
  const told = messages.findLast(({ variety, ground }) => variety === VARIETY && ground !== null)?.ground
  const facts: Record<string, string> = {}
  for (const [part, name] of Object.entries(names) as [keyof Ground, string][]) {
    const value = told?.[part] ?? before[name]
    if (value !== undefined && value !== "") facts[name] = value
  }
  return facts
}

/** For the volunteer's page; null: it is as fast as it can be, or has not said. */
export function whySlow(facts: Readonly<Record<string, string>>): string | null {
  if (facts[names.acceleration] !== "tcg") return null
  const why = facts[names.why] ?? "its launcher does not say why"
  return `Its virtual machine is emulated, and works about ten times slower than it could: ${why}.`
}
