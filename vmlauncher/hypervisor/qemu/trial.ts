// Will this QEMU do? What counts is not its number but whether it knows all that our machines are made of: distributions build it with some parts
// left out (Red Hat's has no emulation, and newer ones no user network). So a machine is put together, stopped before its first
// instruction, asked how it is, and ended; a quarter of a second, once for each QEMU.
import { spawn } from "node:child_process"
import { once } from "node:events"
import { ASK_MS } from "../../limits.ts"
import type { Memory } from "../../place.ts"
import { type Acceleration, trialArguments, wrapper } from "./arguments.ts"
import { said } from "./probe.ts"

export interface Trial {
  readonly isKvmOnly: boolean
  /** Null: it will do. */
  readonly why: string | null
}

const orders = ["qmp_capabilities", "query-status", "quit"].map(execute => JSON.stringify({ execute })).join("\n")
/** The machine is whole then, and waits for its first instruction. */
const IS_WHOLE = /"status": *"(prelaunch|paused)"/

export async function tryQemu(path: string, version: string, memory: Memory | null): Promise<Trial> {
  const key = `${path} ${version}`
  const known = memory?.get(key) as Partial<Trial> | undefined
  // A no is found out anew: packages are added.
  if (known?.why === null && typeof known.isKvmOnly === "boolean") return { isKvmOnly: known.isKvmOnly, why: null }
  const emulated = await assemble(path, "tcg")
  const isKvmOnly = emulated !== null && /accelerator/.test(emulated)
  const why = isKvmOnly ? await assemble(path, "kvm") : emulated
  // That KVM may not be used, and what to do, is said by whoever asks for it.
  if (why !== null) return { isKvmOnly, why: isKvmOnly && /KVM/.test(why) ? null : why }
  memory?.set(key, { isKvmOnly, why })
  return { isKvmOnly, why }
}

/** Null: it could be put together. */
async function assemble(path: string, acceleration: Acceleration): Promise<string | null> {
  const args = [...wrapper.slice(1), path, ...trialArguments(acceleration)]
  const child = spawn(wrapper[0], args, { cwd: "/", stdio: "pipe", timeout: ASK_MS, killSignal: "SIGKILL" })
  let [answer, complaint] = ["", ""]
  child.stdout.on("data", (chunk: Buffer) => {
    answer = (answer + chunk.toString("latin1")).slice(-2_000)
  })
  child.stderr.on("data", (chunk: Buffer) => {
    complaint = (complaint + chunk.toString("latin1")).slice(-2_000)
  })
  // One that ends at once reads no orders.
  child.stdin.on("error", () => {})
  child.stdin.write(`${orders}\n`)
  try {
    await once(child, "close")
  } catch (error) {
    return (error as Error).message
  }
  return IS_WHOLE.test(answer) ? null : said(complaint)
}
