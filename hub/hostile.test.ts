// Every reader of strangers' text on the hub, given texts that are made to be slow: the work may grow with the text, and not faster.
import assert from "node:assert/strict"
import { test } from "node:test"
import { parseRequirement } from "../proto/wire/where.ts"
import { emailOf, nameOf } from "./auth/accounts.ts"
import { HubKey } from "./auth/key.ts"
import { idOfSecret } from "./auth/secret.ts"
import { rangeOf } from "./front/boinc/download.ts"
import { launchIdOf } from "./front/boinc/launch.ts"
import { globalPreferences } from "./front/boinc/preferences.ts"
import { authenticatorOf, parseSchedulerRequest } from "./front/boinc/request.ts"
import { readXml } from "./front/boinc/xml.ts"
import { escapeHtml } from "./front/html.ts"
import { disproportionate, type Hostile } from "./growth.suite.ts"
import { isPrivate } from "./notify/webhook.ts"

const chosen = { when: "always", processorPercent: 50, memoryPercent: 50, networkKiBps: null, savedAt: 1e12 } as const
const key = new HubKey(Buffer.alloc(32))

function texts(begins: readonly string[], again: readonly string[]): Hostile[] {
  return begins.flatMap(begin => again.map(each => ({ begin, again: each })))
}

const tags = [
  "<stderr_out>",
  "<stderr_out><![CDATA[",
  "<stderr_out><core_client_version>",
  "<stderr_out></stderr_out>",
  "<stderr_out></stderr_out></result>",
  "<stderr_out>]]></stderr_out></result>",
  "</stderr_out>",
  "</stderr_out></result>",
  "</stderr_out> ",
  "<![CDATA[",
  "<![CDATA[]]>",
  "]]>",
  "<!--",
  "<?x",
  "<a>",
  "<a/>",
  "</a>",
  '<a b="',
  "<a b='c' ",
  "<result><name>",
  "&amp;",
  "&",
  "<",
  " ",
  "\n",
]

test("V1: no scheduler request, whatever is in it, costs more than in proportion to its bytes", () => {
  const result = "<scheduler_request><result>"
  const begins = [
    "<scheduler_request>",
    "<scheduler_request><global_preferences>",
    `${result}<stderr_out>`,
    `${result}<stderr_out>\n<![CDATA[`,
  ]
  assert.deepEqual(disproportionate(parseSchedulerRequest, texts(begins, tags)), [])
  assert.deepEqual(disproportionate(authenticatorOf, texts(["", "<authenticator>"], ["<authenticator>", " ", "x"])), [])
})

test("V1: no text of a stranger's costs its reader on the hub more than in proportion to its length", () => {
  const plain = [
    " ",
    "\t",
    "\n",
    "a",
    "0",
    "a ",
    "a@",
    "@",
    ".",
    "a.",
    ":",
    "f:",
    "1.",
    "-",
    "=",
    "; ",
    "\\",
    "'",
    '"',
    "(",
    "%",
    "_",
    "\u0000",
  ]
  const readers: readonly (readonly [name: string, read: (text: string) => unknown, begins: readonly string[]])[] = [
    ["preferences", text => globalPreferences(chosen, text), ["", "<global_preferences>"]],
    ["XML", text => readXml(text, "r"), ["<r>"]],
    ["address", emailOf, ["", "a@", "a"]],
    ["name", nameOf, ["", "a"]],
    ["token", text => idOfSecret("cah", text), ["", "cah_"]],
    ["range", text => rangeOf(text, 1_000), ["", "bytes=", "bytes=1-"]],
    ["name of a result", launchIdOf, ["", "vm_"]],
    ["leave to upload", text => key.isUploadLeave("a", 1, text), [""]],
    ["HTML", escapeHtml, [""]],
    ["address of a webhook", isPrivate, ["", "::ffff:", "2002:"]],
    ["condition", parseRequirement, ["", "a = '", "a LIKE '", "a = ", "(", "a IN (1,"]],
  ]
  for (const [name, read, begins] of readers) {
    assert.deepEqual(disproportionate(read, texts(begins, [...plain, ...tags])), [], name)
  }
})
