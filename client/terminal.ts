// Questions to a person at a terminal: yes or no, and a secret that is not shown. Asked on stderr, since stdout is data.
// Callers check that somebody is there. Leaves the terminal as it found it, also after Ctrl-C.
import { StringDecoder } from "node:string_decoder"
import type { Context } from "./context.ts"
import { ClientError } from "./errors.ts"
import { TOKEN_MAX_BYTES } from "./limits.ts"

const CTRL_C = "\u0003"
const CTRL_D = "\u0004"
const ERASE = ["\b", "\u007f"]

export async function askYesNo(context: Context, question: string): Promise<boolean> {
  context.output.stderr.write(`${question} [y/N] `)
  let line = ""
  for await (const chunk of context.stdin) {
    line += chunk.toString()
    if (line.includes("\n")) break
  }
  return /^\s*y(es)?\s*$/i.test(line.split("\n")[0] ?? "")
}

export async function askSecret(context: Context, question: string): Promise<string> {
  const { stdin, output } = context
  output.stderr.write(question)
  stdin.setRawMode?.(true)
  try {
    const decoder = new StringDecoder("utf8")
    let secret = ""
    for await (const chunk of stdin) {
      for (const character of typeof chunk === "string" ? chunk : decoder.write(chunk)) {
        if (character === CTRL_C) throw new ClientError("interrupted", "Interrupted.")
        if (character === "\r" || character === "\n" || character === CTRL_D) return secret
        if (ERASE.includes(character)) secret = secret.slice(0, -1)
        else if (secret.length < TOKEN_MAX_BYTES) secret += character
      }
    }
    return secret
  } finally {
    stdin.setRawMode?.(false)
    output.stderr.write("\n")
  }
}
