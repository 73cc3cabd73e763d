// The slot directory: soft links instead of files, and the small files by which an application says how it ended, sends a trickle, or finds one.
// (BOINC: lib/app_ipc.cpp, api/boinc_api.cpp)
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs"
import { join, resolve } from "node:path"
import { LINK_MAX_BYTES, REASON_MAX_CHARS, TRICKLE_MAX_BYTES } from "../limits.ts"

/** Where a logical name leads: a file that begins with <soft_link> names another; anything else is the thing itself. */
export function resolveLink(slot: string, name: string): string {
  const path = join(slot, name)
  const target = /^<soft_link>(.+)<\/soft_link>/.exec(firstLine(path))?.[1]
  return target === undefined ? path : resolve(slot, target)
}

function firstLine(path: string): string {
  let fd: number
  try {
    fd = openSync(path, "r")
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return ""
    throw error
  }
  try {
    const buffer = Buffer.alloc(LINK_MAX_BYTES)
    const length = readSync(fd, buffer, 0, buffer.length, 0)
    return buffer.toString("latin1", 0, length).split("\n", 1)[0]!
  } finally {
    closeSync(fd)
  }
}

/** "Postponed for so long, because": the client starts us again afterwards. */
export function writeTemporaryExit(slot: string, seconds: number, reason: string): void {
  const whole = Math.min(86_400, Math.max(0, Math.ceil(seconds)))
  writeWhole(slot, "boinc_temporary_exit", `${whole}\n${oneLine(reason)}\n`)
}

/** The task is over, with this exit code. */
export function writeFinish(slot: string, exitCode: number): void {
  writeWhole(slot, "boinc_finish_called", `${exitCode}\n`)
}

/** Then <have_new_trickle_up/> on its channel. */
export function writeTrickle(slot: string, variety: string, text: string): void {
  writeWhole(slot, "trickle_up.xml", `<variety>${variety}</variety>\n${text}`)
}

/** Trickles that the project sent down, oldest first; they are gone afterwards. */
export function takeTrickles(slot: string): string[] {
  const names = readdirSync(slot).filter(name => /^trickle_down_\d+$/.test(name))
  return names.sort().map(name => {
    const path = join(slot, name)
    const text = statSync(path).size > TRICKLE_MAX_BYTES ? "" : readFileSync(path, "utf8")
    rmSync(path, { force: true })
    return text
  })
}

/** Never half a file: the client may look at any moment. */
function writeWhole(slot: string, name: string, text: string): void {
  const part = join(slot, `${name}.part`)
  writeFileSync(part, text)
  renameSync(part, join(slot, name))
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").slice(0, REASON_MAX_CHARS)
}
