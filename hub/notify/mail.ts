// Notices as mail, handed to the machine's own sendmail, which knows how mail leaves this place and queues what it can't deliver
// at once. The message is made here, header by header, so that nothing in a campaign's name can become one.
import { spawn } from "node:child_process"
import type { Notice } from "../core/model.ts"
import type { Carrier, News } from "./deliver.ts"
import { headline, text } from "./words.ts"

export interface MailParts {
  /** The program; null: this hub sends no mail. */
  readonly sendmail: string | null
  readonly from: string
}

/** What sendmail says of itself, at most. */
const SAID_MAX = 500

export function mailCarrier({ sendmail, from }: MailParts): Carrier {
  return {
    async carry(target: Notice["target"], news, signal) {
      if (target.kind !== "mail") throw new Error("not an address of mail")
      if (sendmail === null) throw new Error("this hub sends no mail: its operator has named no sendmail")
      // Recipients on the command line and behind "--": an address is never an option, whatever it looks like.
      const child = spawn(sendmail, ["-i", "-f", from, "--", target.address], {
        stdio: ["pipe", "ignore", "pipe"],
        signal,
      })
      let said = ""
      child.stderr.setEncoding("utf8").on("data", (part: string) => {
        said = `${said}${part}`.slice(0, SAID_MAX)
      })
      // It may end before it has read all: its exit code says why.
      child.stdin.on("error", () => {})
      child.stdin.end(message(from, target.address, news))
      const code = await new Promise<number | null>((resolve, reject) => {
        child.once("error", reject)
        child.once("close", resolve)
      })
      if (code !== 0)
        throw new Error(`${sendmail} ended with ${code ?? "a signal"}: ${said.trim() || "it said nothing"}`)
    },
  }
}

/** RFC 5322. Lines end as sendmail wants them, with a newline. */
export function message(from: string, to: string, news: News): string {
  return [
    `From: ${from}`,
    `To: ${to}`,
    `Subject: ${encodedWords(headline(news))}`,
    `Date: ${new Date(news.at).toUTCString().replace("GMT", "+0000")}`,
    `Message-ID: <${news.id}@clouds-at-home>`,
    // RFC 3834: no holiday replies, please.
    "Auto-Submitted: auto-generated",
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=utf-8",
    "Content-Transfer-Encoding: base64",
    "",
    wrapped(Buffer.from(text(news)).toString("base64")),
    "",
  ].join("\n")
}

/** RFC 2047, each word within its 75 characters: what is not plain ASCII, or too long for a line. */
function encodedWords(line: string): string {
  if (/^[\x20-\x7e]{1,200}$/.test(line)) return line
  const words: string[] = []
  let word = ""
  for (const character of line) {
    if (Buffer.byteLength(word + character) > 42) {
      words.push(word)
      word = ""
    }
    word += character
  }
  return [...words, word].map(part => `=?utf-8?B?${Buffer.from(part).toString("base64")}?=`).join("\n ")
}

function wrapped(base64: string): string {
  return base64.replace(/.{76}(?=.)/g, "$&\n")
}
