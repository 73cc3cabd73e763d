// Notices as mail. The message is made here, header by header, so that nothing in a campaign's name can become one; how it leaves this place
// is the post's: the machine's own sendmail, or a mail server that the operator named.
import type { Notice } from "../core/model.ts"
import type { Carrier, News } from "./deliver.ts"
import { headline, text } from "./text.ts"

/** Takes one message to one address. Rejects with what went wrong, in words, and then nothing of it goes on. */
export type Post = (envelope: Envelope, message: string, signal: AbortSignal) => Promise<void>

export interface Envelope {
  readonly from: string
  readonly to: string
}

/** Without a post this hub sends no mail. */
export function mailCarrier({ post, from }: { readonly post: Post | null; readonly from: string }): Carrier {
  return {
    async carry(target: Notice["target"], news, signal) {
      if (target.kind !== "mail") throw new Error("not an address of mail")
      if (post === null)
        throw new Error("this hub sends no mail: its operator has named no sendmail and no mail server")
      await post({ from, to: target.address }, message(from, target.address, news), signal)
    },
  }
}

/** RFC 5322. Lines end with a newline alone, as sendmail wants them; SMTP has its own ends. */
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
