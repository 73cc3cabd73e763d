// Mail by the machine's own sendmail, which knows how mail leaves this place and queues what it can't deliver at once.
import { spawn } from "node:child_process"
import type { Post } from "./mail.ts"

/** What sendmail says of itself, at most. */
const SAID_MAX = 500

export function sendmailPost(program: string): Post {
  return async ({ from, to }, message, signal) => {
    // Recipients on the command line and behind "--": an address is never an option, whatever it looks like.
    const child = spawn(program, ["-i", "-f", from, "--", to], { stdio: ["pipe", "ignore", "pipe"], signal })
    let said = ""
    child.stderr.setEncoding("utf8").on("data", (part: string) => {
      said = `${said}${part}`.slice(0, SAID_MAX)
    })
    // It may end before it has read all: its exit code says why.
    child.stdin.on("error", () => {})
    child.stdin.end(message)
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject)
      child.once("close", resolve)
    })
    if (code !== 0) throw new Error(`${program} ended with ${code ?? "a signal"}: ${said.trim() || "it said nothing"}`)
  }
}
