// A script that is submitted (-S, or "-" for stdin): its #OAR and #CAH lines are flags, and its text travels with the campaign. Nodes
// share no disk with the scientist, so that the text becomes the command, by the interpreter that its first line names.
import { basename } from "node:path"
import { Command, CommanderError } from "commander"
import { at, ClientError, usage } from "../errors.ts"
import { SCRIPT_MAX_BYTES } from "../limits.ts"
import { campaignFlags, type Wishes, wishesOf } from "./flags.ts"
import { textOf } from "./input.ts"
import { refuseSet } from "./refused.ts"
import { splitWords, WordError } from "./shellwords.ts"

export interface Script {
  readonly wishes: Wishes
  /** With which the script is run; the caller's arguments follow. */
  readonly command: readonly string[]
  /** Lines of another system that are not read: "#SBATCH". Null: there are none. */
  readonly foreign: string | null
  /** Its lines ended in CRLF, as on Windows, and were taken as if they ended in LF: no shell on a node reads the others. */
  readonly hadCrlf: boolean
}

/** How each takes a program as an argument. */
const programFlag: Readonly<Record<string, string>> = {
  sh: "-c",
  bash: "-c",
  dash: "-c",
  ksh: "-c",
  zsh: "-c",
  python: "-c",
  python3: "-c",
  perl: "-e",
  ruby: "-e",
  node: "-e",
  Rscript: "-e",
}
const shells = ["sh", "bash", "dash", "ksh", "zsh"]

export function parseScript(name: string, bytes: Buffer): Script {
  if (bytes.length > SCRIPT_MAX_BYTES) {
    throw usage(`${name} is larger than ${SCRIPT_MAX_BYTES} bytes, too large to travel as a command.`, ownStagein(name))
  }
  const written = textOf(name, bytes)
  const text = written.replaceAll("\r\n", "\n")
  if (text.trim() === "") throw usage(`${name} is empty.`)
  if (text.includes("\0")) throw usage(`${name} holds a NUL character: it is no script.`, ownStagein(name))
  const wishes = directives(name, text)
  return { wishes, command: commandOf(name, text), foreign: foreignLines(text), hadCrlf: text !== written }
}

function foreignLines(text: string): string | null {
  return /^#(?:SBATCH|PBS|BSUB|HQ)(?=\s)/m.exec(text)?.[0] ?? null
}

/** All directive lines, wherever they stand, as OAR reads them. A later line goes on where an earlier one of the same flag ended. */
function directives(name: string, text: string): Wishes {
  let values: Record<string, unknown> = {}
  for (const [index, line] of text.split("\n").entries()) {
    const form = /^(#(?:OAR|CAH)\s)(.*)$/.exec(line)
    if (form === null) continue
    const place = `${name}, line ${index + 1}`
    values = parseLine(place, form[2] ?? "", form[1]?.length ?? 0, values)
  }
  return wishesOf(values)
}

function parseLine(
  place: string,
  text: string,
  indent: number,
  before: Record<string, unknown>,
): Record<string, unknown> {
  const command = new Command()
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
    .allowExcessArguments(true)
  for (const option of campaignFlags("file")) {
    const known = before[option.attributeName()]
    command.addOption(known === undefined ? option : option.default(known))
  }
  command.helpOption(false)
  try {
    command.parse(unquotedProperty(text) ?? splitWords(text), { from: "user" })
    refuseSet(command.opts())
  } catch (thrown) {
    if (thrown instanceof WordError) throw usage(`${place}, column ${indent + thrown.column}: ${thrown.message}.`)
    if (thrown instanceof CommanderError) {
      const [first = "", ...more] = thrown.message.replace(/^error: /, "").split("\n")
      throw usage(
        `${place}: ${first}.`,
        more.join(" ").replace(/[()]/g, "") ||
          "A directive takes the flags that describe a campaign: see cah sub --help",
      )
    }
    if (thrown instanceof ClientError) throw at(place, thrown)
    throw thrown
  }
  const [extra] = command.args
  if (extra !== undefined) {
    throw usage(`${place}: "${extra}" is not a flag.`, "Directives are flags; the command is the script itself.")
  }
  return command.opts()
}

/** OAR takes the rest of the line as the condition, quotes and all: #OAR -p switch = 'sw3' or switch = 'sw5'. */
function unquotedProperty(text: string): string[] | null {
  const rest = /^(?:-p|--property)(?:\s+|=)([^"'].*)$/.exec(text.trim())?.[1]
  if (rest === undefined || !/\s/.test(rest) || /\s-/.test(rest)) return null
  return ["-p", rest]
}

function commandOf(name: string, text: string): string[] {
  const shebang = /^#![ \t]*(.*?)[ \t]*(?:\n|$)/.exec(text)?.[1]
  const words = shebang === undefined || shebang === "" ? ["/bin/sh"] : shebang.split(/[ \t]+/)
  const viaEnv = basename(words[0] ?? "") === "env"
  const [program = "", ...flags] = viaEnv ? words.slice(words[1] === "-S" ? 2 : 1) : words
  const flag = programFlag[basename(program).replace(/^(python3|python|perl|ruby)[\d.]+$/, "$1")]
  if (flag === undefined) {
    throw usage(`${name}, line 1: how "${shebang}" takes a program as an argument is not known here.`, ownStagein(name))
  }
  // After the program a shell wants its $0, then the arguments; the others begin with the arguments.
  return [program, ...flags, flag, text, ...(shells.includes(basename(program)) ? [basename(name)] : [])]
}

function ownStagein(name: string): string {
  return `Send it as a file: cah sub --stagein ${name} -- ./${basename(name)}`
}
