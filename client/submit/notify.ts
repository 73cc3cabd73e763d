// --notify in OAR's grammar, "[END,ERROR]mail:me@example.org", with a webhook and a command here besides. What the hub tells becomes its notices;
// a command is run on this machine and only while cah waits, for the hub runs nothing on anybody's machine but jobs.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { type NoticeSchema, Occasion } from "../../proto/gen/cah/v1/scientist_pb.ts"
import type { Context } from "../context.ts"
import { readSecretFile } from "../credentials.ts"
import { usage } from "../errors.ts"
import { SECRET_FILE_MAX_BYTES, WEBHOOK_SECRET_CHARACTERS_MAX, WEBHOOK_SECRET_CHARACTERS_MIN } from "../limits.ts"

export type Notice = MessageInitShape<typeof NoticeSchema>

export interface NotifyWish {
  readonly occasions: readonly Occasion[]
  readonly target:
    | { readonly kind: "mail"; readonly address: string }
    | { readonly kind: "webhook"; readonly url: string }
    | { readonly kind: "exec"; readonly command: string }
}

/** OAR's tags. */
export const occasionWords: Readonly<Record<number, string>> = {
  [Occasion.RUNNING]: "RUNNING",
  [Occasion.ERROR]: "ERROR",
  [Occasion.END]: "END",
}

const hint =
  "Write it like mail:me@example.org, https://example.org/hook or exec:./done.sh, [END,ERROR] before it for some occasions."

export function parseNotify(text: string): NotifyWish {
  const refuse = (column: number, message: string) =>
    usage(`--notify ${JSON.stringify(text)}, column ${column}: ${message}`, hint)
  const [, tags, blank = "", rest = ""] = /^\s*(?:\[([^\]]*)\])?(\s*)(.*)$/s.exec(text) ?? []
  if (tags === undefined && rest.startsWith("[")) throw refuse(text.indexOf("[") + 1, "this [ is never closed.")
  const column = text.length - rest.length + 1
  const occasions = tags === undefined ? allOccasions : occasionsOf(tags, text.indexOf("[") + 2, refuse)
  if (rest === "") throw refuse(column - blank.length, "whom to tell?")
  return { occasions, target: targetOf(rest.trim(), message => refuse(column, message)) }
}

const allOccasions = [Occasion.RUNNING, Occasion.ERROR, Occasion.END]
const neverHere = ["INFO", "SUSPENDED", "RESUMING"]

function occasionsOf(tags: string, column: number, refuse: (column: number, message: string) => Error): Occasion[] {
  const known = Object.values(occasionWords).join(", ")
  let at = column
  return tags.split(",").map(tag => {
    const word = tag.trim().toUpperCase()
    const found = Object.entries(occasionWords).find(([, name]) => name === word)
    if (found === undefined) {
      const why = neverHere.includes(word) ? "never happens here" : "is not an occasion"
      throw refuse(at + (tag.length - tag.trimStart().length), `"${tag.trim()}" ${why}: take some of ${known}.`)
    }
    at += tag.length + 1
    return Number(found[0]) as Occasion
  })
}

function targetOf(text: string, refuse: (message: string) => Error): NotifyWish["target"] {
  const [, scheme = "", rest = ""] = /^([a-z]+)\s*:\s*(.*)$/is.exec(text) ?? []
  switch (scheme.toLowerCase()) {
    case "mail":
      if (/^[^\s@,;<>]+@[^\s@,;<>]+$/.test(rest)) return { kind: "mail", address: rest }
      throw refuse(`"${rest}" is not a mail address.`)
    case "exec":
      if (rest !== "") return { kind: "exec", command: rest }
      throw refuse("which command?")
    case "https":
    case "http":
      if (URL.canParse(text) && new URL(text).username === "") return { kind: "webhook", url: text }
      throw refuse(`"${text}" is not a URL that could be called.`)
    default:
      throw refuse(`"${text}" is neither mail:, https:// nor exec:.`)
  }
}

/** A command here needs somebody here. */
export function checkWaits(wishes: readonly NotifyWish[], waits: boolean): void {
  const exec = wishes.find(({ target }) => target.kind === "exec")
  if (waits || exec?.target.kind !== "exec") return
  throw usage(
    `--notify exec:${exec.target.command}: it is run on this machine, and only while cah waits.`,
    "Add --wait, or be told by mail: or https:// whether you wait or not.",
  )
}

/** What the hub is told to tell. Webhooks are signed, so that their receiver can know who calls. */
export async function noticesOf(
  context: Context,
  wishes: readonly NotifyWish[],
  secretFile: string | null,
): Promise<Notice[]> {
  const notices: Notice[] = []
  for (const { occasions, target } of wishes) {
    if (target.kind === "exec") continue
    if (target.kind === "mail") {
      notices.push({ occasions: [...occasions], target: { case: "mail", value: target.address } })
      continue
    }
    const secret = await secretOf(context, secretFile)
    notices.push({ occasions: [...occasions], target: { case: "webhook", value: { url: target.url, secret } } })
  }
  return notices
}

async function secretOf({ config }: Context, file: string | null): Promise<string> {
  const [secret, origin] =
    file !== null
      ? [(await readSecretFile(file, "--notify-secret-file", SECRET_FILE_MAX_BYTES)).trim(), file]
      : [config.notifySecret, "CAH_NOTIFY_SECRET"]
  if (secret === null) {
    throw usage(
      "--notify: a webhook is signed, and there is no secret to sign it with.",
      "Give one of your own: --notify-secret-file FILE (mode 0600), or CAH_NOTIFY_SECRET. Make one: openssl rand -hex 32",
    )
  }
  // Never the secret itself, only how long it is.
  if (secret.length < WEBHOOK_SECRET_CHARACTERS_MIN || secret.length > WEBHOOK_SECRET_CHARACTERS_MAX) {
    throw usage(
      `${origin} holds ${secret.length} characters: a secret has ${WEBHOOK_SECRET_CHARACTERS_MIN} to ${WEBHOOK_SECRET_CHARACTERS_MAX}.`,
    )
  }
  return secret
}
