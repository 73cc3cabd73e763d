// Remarks on a command before it is sent: a program that lies here and does not go along, and flags of ours that stand after it. Newcomers
// trip over both, and neither is an error: a node may have such a program, and a program such a flag.
import { stat } from "node:fs/promises"
import { basename, extname, join, normalize, resolve } from "node:path"
import type { Option } from "commander"
import type { Context } from "../context.ts"
import { isDigest } from "./send.ts"

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
  if (program === null) return
  const along = stagein === null ? null : await inStagein(cwd, stagein, program)
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
