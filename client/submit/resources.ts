// One -l of oarsub's: "/nodes=1/core=4,walltime=2:00:00", and ours: mem=8G, disk=20G. A job here runs on one node, so that a path
// of resources comes down to a number of slots; what asks for more than a node is refused in words, never made smaller.
// Every refusal names the column.
import { ClientError, usage } from "../errors.ts"
import { SLOTS_MAX, WALLTIME_MAX_MS } from "../limits.ts"
import { parseDuration, parseSize } from "../quantities.ts"

/** What -l says; the rest is left to other flags and to the hub. */
export interface Shape {
  readonly slots: number | null
  readonly memoryBytes: bigint | null
  readonly diskBytes: bigint | null
  readonly walltimeSeconds: number | null
}

/** OAR's names for "one machine". */
const machines = ["nodes", "node", "network_address", "host", "nodename", "hostname"]
/** OAR's names for parts of a machine; ours is slots. Numbers on a path multiply. */
const parts = ["core", "cores", "cpu", "cpus", "slots", "slot", "thread", "threads", "resource_id"]

export function parseShape(text: string, flag = "-l"): Shape {
  let shape: Shape = { slots: null, memoryBytes: null, diskBytes: null, walltimeSeconds: null }
  if (text.trim() === "") throw usage(`${flag}: it is empty.`, example)
  let column = 1
  for (const part of text.split(",")) {
    const leading = part.length - part.trimStart().length
    shape = add(shape, part.trim(), place(flag, text, column + leading))
    column += part.length + 1
  }
  return shape
}

const example = "Write it like -l /nodes=1/core=4,walltime=2:00:00 or -l core=4,mem=8G,disk=20G."

type Refuse = (offset: number, message: string, hint?: string) => Error

function place(flag: string, text: string, column: number): Refuse {
  return (offset, message, hint = example) =>
    usage(`${flag} ${JSON.stringify(text)}, column ${column + offset}: ${message}`, hint)
}

function add(shape: Shape, part: string, refuse: Refuse): Shape {
  if (part === "") throw refuse(0, "there is nothing between the commas.")
  if (part.startsWith("{")) {
    throw refuse(0, "a property in braces is not taken here.", "Give it to -p: -p \"arch = 'x86_64'\"")
  }
  const plus = part.indexOf("+")
  if (plus !== -1) {
    throw refuse(plus, "several groups of resources would be several nodes, and a job has one.", example)
  }
  const form = /^(walltime|mem|memory|disk)=(.*)$/s.exec(part)
  if (form === null) return withSlots(shape, part, refuse)
  const [, name = "", value = ""] = form
  const offset = name.length + 1
  const once = (known: unknown) => {
    if (known !== null) throw refuse(0, `${name} is given twice.`)
  }
  if (name === "walltime") {
    once(shape.walltimeSeconds)
    return {
      ...shape,
      walltimeSeconds: walltimeOf(value, (message, hint = walltimeHint) => refuse(offset, message, hint)),
    }
  }
  // OAR has megabytes here and we have bytes: a bare number would be read differently by different people.
  if (/^[\d_]+$/.test(value)) throw refuse(offset, `${value} of what?`, `Write it like ${name}=8G or ${name}=512M.`)
  const bytes = parsed(
    () => parseSize(value, name),
    message => refuse(offset, message, "Write it like 512M or 8G."),
  )
  if (name === "disk") {
    once(shape.diskBytes)
    return { ...shape, diskBytes: bytes }
  }
  once(shape.memoryBytes)
  return { ...shape, memoryBytes: bytes }
}

function withSlots(shape: Shape, path: string, refuse: Refuse): Shape {
  if (shape.slots !== null) throw refuse(0, "resources are given twice.")
  let slots = 1
  let offset = 0
  for (const [index, step] of path.split("/").entries()) {
    const at = offset
    offset += step.length + 1
    // "/nodes=1" begins with an empty step.
    if (step === "" && index === 0 && path.length > 1) continue
    const [, name = "", count = ""] = /^([^=]*)=?(.*)$/s.exec(step) ?? []
    const known = machines.includes(name) || parts.includes(name)
    if (!known) throw refuse(at, `${JSON.stringify(name)} is not a resource that is known here.`, knownHint)
    const atCount = at + name.length + 1
    if (/^(ALL|BEST)$/i.test(count)) throw refuse(atCount, `${count} has no meaning here: say how many.`)
    if (!/^\d{1,9}$/.test(count) || Number(count) < 1) {
      throw refuse(count === "" ? at : atCount, `${name} takes a whole number from 1 on.`)
    }
    if (!machines.includes(name)) slots *= Number(count)
    else if (count !== "1") {
      throw refuse(atCount, `a job runs on one node, not on ${count}.`, "For independent work, submit an array.")
    }
    if (slots > SLOTS_MAX) throw refuse(at, `${slots} slots are too many for one job: ${SLOTS_MAX} at most.`)
  }
  return { ...shape, slots }
}

const knownHint = "Known are nodes (1), core, cpu and slots; mem, disk and walltime stand after a comma."
const walltimeHint = "Write it like 2 (hours, as OAR has it), 2:30:00, 90s or 1h 15m."

/** A span as everywhere, and OAR's whole hours. */
function walltimeOf(text: string, refuse: (message: string, hint?: string) => Error): number {
  const hours = /^\d{1,6}$/.test(text.trim()) ? Number(text) : null
  if (hours === 0) throw refuse(`"${text}" is no time at all.`)
  const seconds = hours === null ? parsed(() => parseDuration(text, "walltime"), refuse) : hours * 3_600
  if (seconds * 1_000 > WALLTIME_MAX_MS) throw refuse(`walltime ${text} is more than 30 days.`)
  return seconds
}

/** The other parsers' refusals, with our place. */
function parsed<T>(parse: () => T, refuse: (message: string, hint?: string) => Error): T {
  try {
    return parse()
  } catch (thrown) {
    const { message, hint } = ClientError.from(thrown)
    throw refuse(message, hint === "" ? undefined : hint)
  }
}
