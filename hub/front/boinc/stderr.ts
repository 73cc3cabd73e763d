// What programs said is the one part of a scheduler request that is not the client's own text and may look like anything, also like
// the request's own tags. It is taken out before the rest is read. Each character is looked at a bounded number of times: a search
// that finds nothing is the last one, and no expression runs over this text before it is cut to what is kept.
import { BOINC_STDERR_CHARACTERS } from "../../limits.ts"

const BEGIN = "<stderr_out>"
const END = "</stderr_out>"
const CDATA = "<![CDATA["
const CDATA_END = "]]>"
const VERSION_END = "</core_client_version>"
/** The client's version, in tags, before the program's own text: a guess with room. */
const VERSION_CHARACTERS_MAX = 200
/** What surrounds the text that is kept: the client's own tags. */
const WRAPPING_CHARACTERS = 100

export interface Taken {
  /** The request, with a number in place of each text. */
  readonly rest: string
  readonly said: readonly string[]
}

/** Each text ends where the client would end it: with its CDATA, and before what can follow in a result. */
export function takeOut(text: string): Taken {
  const said: string[] = []
  const pieces: string[] = []
  let at = 0
  for (let begin = text.indexOf(BEGIN); begin >= 0; begin = text.indexOf(BEGIN, at)) {
    const end = endOf(text, begin + BEGIN.length)
    if (end < 0) break
    pieces.push(text.slice(at, begin), BEGIN, String(said.length), END)
    said.push(tailOf(text.slice(begin + BEGIN.length, end)))
    at = end + END.length
  }
  return { rest: pieces.join("") + text.slice(at), said }
}

/**
 * Everything from the first beginning to the last end is one text: for a program that said the client's own tags, line by line. Results
 * after it are in that text too, and come again with the next request, when this one has been acknowledged. Null: there is none.
 */
export function takeOutWhole(text: string): Taken | null {
  const begin = text.indexOf(BEGIN)
  const end = text.lastIndexOf(END)
  if (begin < 0 || end < begin) return null
  const rest = `${text.slice(0, begin)}${BEGIN}0${END}${text.slice(end + END.length)}`
  return { rest, said: [tailOf(text.slice(begin + BEGIN.length, end))] }
}

/** Where the closing tag is, or -1. */
function endOf(text: string, from: number): number {
  const isWrapped = text.startsWith(CDATA, afterBlanks(text, afterVersion(text, afterBlanks(text, from))))
  for (let end = text.indexOf(END, from); end >= 0; end = text.indexOf(END, end + END.length)) {
    const next = afterBlanks(text, end + END.length)
    const isFollowed = text.startsWith("</result>", next) || text.startsWith("<file_info>", next)
    if (isFollowed && (!isWrapped || text.endsWith(CDATA_END, beforeBlanks(text, end)))) return end
  }
  return -1
}

function afterVersion(text: string, at: number): number {
  if (!text.startsWith("<core_client_version>", at)) return at
  const end = text.slice(at, at + VERSION_CHARACTERS_MAX).indexOf(VERSION_END)
  return end < 0 ? at : at + end + VERSION_END.length
}

function isBlank(code: number): boolean {
  return code === 32 || (code >= 9 && code <= 13)
}

function afterBlanks(text: string, at: number): number {
  let next = at
  while (isBlank(text.charCodeAt(next))) next++
  return next
}

function beforeBlanks(text: string, at: number): number {
  let last = at
  while (isBlank(text.charCodeAt(last - 1))) last--
  return last
}

/** Without the client's own wrapping; the end of it, as much as is kept. */
function tailOf(wrapped: string): string {
  const begin = wrapped.indexOf(CDATA)
  const end = wrapped.lastIndexOf(CDATA_END)
  const inner = begin >= 0 && end > begin ? wrapped.slice(begin + CDATA.length, end) : wrapped
  const plain = inner
    .slice(-BOINC_STDERR_CHARACTERS - WRAPPING_CHARACTERS)
    .replace(/<core_client_version>[^<]*<\/core_client_version>/, "")
    .replace(/<\/?(?:message|stderr_txt)>/g, "")
    .replace(/[^\P{Cc}\n]/gu, "")
  return plain.trim().slice(-BOINC_STDERR_CHARACTERS)
}
