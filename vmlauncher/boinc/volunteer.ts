// volunteer.json, the workunit's input: which hub the guest works for, and the token by which it joins. Comes from the hub through the client;
// read with the rules that check the guest's own settings, to which most of it goes.
import { readFileSync, statSync } from "node:fs"
import { checkFields, FieldError, parseObject, type Rules } from "../../proto/guest/fields.ts"
import { settingsRules } from "../../proto/guest/settings.ts"
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

const { hub, enrolToken, name, caPem } = settingsRules
const rules: Rules<Volunteer> = { hub, enrolToken, name, caPem }

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
