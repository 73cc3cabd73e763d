// volunteer.json, the workunit's input: which hub the guest works for, and the token by which it joins. Comes from the hub through the client;
// read with the rules that check the guest's own settings, to which most of it goes.
import { readFileSync, statSync } from "node:fs"
import { checkFields, FieldError, orNull, parseObject, type Rules, refuse, text } from "../../proto/guest/fields.ts"
import { Failure } from "../core/ports.ts"
import { VOLUNTEER_MAX_BYTES } from "../limits.ts"

export const VOLUNTEER_FILE = "volunteer.json"
const FORMAT = 1
const what = "the workunit's volunteer.json"

export interface Volunteer {
  /** "https://host:port". */
  readonly hub: string
  /** Good for one enrolment. */
  readonly enrolToken: string
  /** How the hub's people call this computer. */
  readonly name: string
  readonly caPem: string | null
}

const rules: Rules<Volunteer> = {
  hub: text('a URL like "https://hub.example.org:8080"', isHub),
  enrolToken(value, where) {
    if (typeof value === "string" && /^[\x21-\x7e]{0,512}$/.test(value)) return value
    return refuse(where, "up to 512 characters without spaces", "what it is")
  },
  name: text("1 to 64 letters, digits, dots or dashes", value => /^[\w.-]{1,64}$/.test(value)),
  caPem: orNull(text("certificates in PEM", value => value.includes("-----BEGIN CERTIFICATE-----"))),
}

/** Failure says what is wrong; a new workunit is needed then. */
export function readVolunteer(path: string): Volunteer {
  try {
    const { size } = statSync(path)
    if (size > VOLUNTEER_MAX_BYTES) throw new FieldError(`${what}: ${size} bytes are more than ${VOLUNTEER_MAX_BYTES}`)
    return parseVolunteer(readFileSync(path, "utf8"))
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === "ENOENT"
    if (!isMissing && !(error instanceof FieldError)) throw error
    throw new Failure(isMissing ? `${what} is not there` : (error as Error).message, {
      laterSeconds: null,
      cause: error,
    })
  }
}

export function parseVolunteer(printed: string): Volunteer {
  const { format, ...fields } = parseObject(printed, what, VOLUNTEER_MAX_BYTES)
  if (format !== FORMAT) throw new FieldError(`${what}: its format must be ${FORMAT}, not ${JSON.stringify(format)}`)
  return checkFields(fields, rules, what)
}

function isHub(value: string): boolean {
  if (!URL.canParse(value)) return false
  const url = new URL(value)
  return /^https?:$/.test(url.protocol) && url.username === "" && url.password === "" && url.search + url.hash === ""
}
