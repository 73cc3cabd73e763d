// Remarks on a command before it is sent: a program that lies here and does not go along, and flags of ours that stand after it. Newcomers
// trip over both, and neither is an error: a node may have such a program, and a program such a flag.
import { open, stat } from "node:fs/promises"
import { basename, extname, join, normalize, resolve } from "node:path"
import type { Option } from "commander"
import type { Context } from "../context.ts"
import { isDigest } from "./input.ts"

export async function remarkOnProgram(
  { cwd, output }: Context,
  command: readonly string[],
  stagein: string | null,
): Promise<void> {
  if (stagein !== null && isDigest(stagein)) return
  const bare = bareProgram(command)
  const sent = bare === null || stagein === null ? null : await inStagein(cwd, stagein, bare)
  if (sent !== null) {
    const mode = (sent.mode & 0o111) === 0 ? `, and may not be executed: chmod +x ${sent.path}` : ""
    output.warn(`${bare} goes along, but is looked for among the node's own programs. Begin it as ./${bare}${mode}`)
    return
  }
  const program = relativeProgram(command)
  const script = program ?? scriptOfShell(command)
  if (script === null) return
  const along = stagein === null ? null : await inStagein(cwd, stagein, script)
  if (along !== null && (await hasCrlf(resolve(cwd, along.path)))) {
    output.warn(
      `${along.path}: its lines end in CRLF, as on Windows, which no shell on a node reads: sed -i 's/\\r$//' ${along.path}`,
    )
  }
  if (program === null) return
  if (along === null) {
    if ((await fileMode(resolve(cwd, program))) === null) return
    const file = normalize(program)
    output.warn(
      `${program} lies here and does not go along. Bring it: -s ${file} -- ./${basename(file)}, or -s with the directory ` +
        `that it is in; a script alone: -S ${file}`,
    )
  } else if (program.includes("/") && (along.mode & 0o111) === 0) {
    output.warn(`${along.path} may not be executed: chmod +x ${along.path}`)
  }
}

/** Whether it is a script whose first line ends so. */
async function hasCrlf(path: string): Promise<boolean> {
  const handle = await open(path).catch(() => null)
  if (handle === null) return false
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(FIRST_LINE_BYTES), 0, FIRST_LINE_BYTES, 0)
    return /^[^\n\0]*\r\n/.test(buffer.toString("latin1", 0, bytesRead))
  } finally {
    await handle.close()
  }
}

/** Linux reads no more of a script's first line. */
const FIRST_LINE_BYTES = 256
const shells = ["sh", "bash", "dash", "ksh", "zsh"]

/** "./prog" or "run.sh": null where it is looked for on the node alone, or where it takes a shell to know. */
function relativeProgram(command: readonly string[]): string | null {
  const [first = "", ...more] = command
  const word = more.length > 0 ? first : /^\s*([\w./+-]+)(?=[\s;&|<>]|$)/.exec(first)?.[1]
  if (word === undefined || word.startsWith("/") || !(word.includes("/") || extname(word) !== "")) return null
  return word
}

/** "prog": a name that is looked for on the PATH of the node. */
function bareProgram(command: readonly string[]): string | null {
  const [first = "", ...more] = command
  const word = more.length > 0 ? first : /^\s*([\w.+-]+)(?=[\s;&|<>]|$)/.exec(first)?.[1]
  return word === undefined || word.includes("/") ? null : word
}

/** "sh run.sh", as a line or as words: the script; null for anything else. */
function scriptOfShell(command: readonly string[]): string | null {
  const [first = "", ...more] = command
  const [shell = "", script = ""] = more.length > 0 ? command : first.trim().split(/\s+/)
  return shells.includes(basename(shell)) && /^[\w.][\w./+-]*$/.test(script) ? script : null
}

/** With the path as it would be typed. */
async function inStagein(
  cwd: string,
  stagein: string,
  program: string,
): Promise<{ path: string; mode: number } | null> {
  const single = await fileMode(resolve(cwd, stagein))
  const path = single === null ? join(stagein, program) : stagein
  const mode = single ?? (await fileMode(resolve(cwd, path)))
  if (mode === null || (single !== null && basename(stagein) !== normalize(program))) return null
  return { path, mode }
}

/** Null: there is no such file. */
async function fileMode(path: string): Promise<number | null> {
  const status = await stat(path).catch(() => null)
  return status?.isFile() === true ? status.mode : null
}

/** What was typed after the command, where `--` did not say that all of it is the command's. */
export function remarkOnFlags(
  { argv, output }: Context,
  words: readonly string[],
  options: readonly Option[],
  what: "command" | "script",
): void {
  if (argv.includes("--")) return
  const typed = words.slice(1).map(word => word.split("=")[0])
  const ours = options.find(({ long, hidden }) => !hidden && typed.includes(long))
  if (ours === undefined) return
  output.warn(
    `${ours.long} stands after the ${what} and is taken as the ${what}'s own. Ours stand before it` +
      `${what === "script" ? `: cah sub ${ours.long}${ours.required ? " …" : ""} -S ${words[0]}` : ""}; if it is not ours, put -- before the ${what}.`,
  )
}
