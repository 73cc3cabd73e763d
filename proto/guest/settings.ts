// What a launcher tells the guest that it boots: which hub, by which way, as whom, with how much room. One JSON object, carried by the tiny
// ISO of iso.ts, which the agent reads straight from the block device. The guest's owner can read it, and so can whoever owns the machine:
// it holds a token that is good for one enrolment, and never a volunteer's account key.
import { NODE_SLOTS_MAX } from "../wire/bounds.ts"
import type { Digest } from "../wire/digest.ts"
import { checkFields, object, orNull, parseForm, type Rules, refuse, text, wholeNumber } from "./fields.ts"
import { imageNames } from "./manifest.ts"

/** Of the JSON text. Room for a bundle of certificates; what is larger is not ours. */
export const SETTINGS_MAX_BYTES = 256 * 1024
/** The only form there is. Another number means that launcher and appliance do not fit. */
export const SETTINGS_FORMAT = 1
/** The file's name on the ISO. */
export const SETTINGS_FILE = "CAH.JSON"

export interface GuestSettings {
  /** "https://host:port" or "http://host:port", as the TLS certificate and the Host header call it. */
  readonly hub: string
  /** Where to connect instead of the hub's own address, "10.0.2.100:80"; null: to the hub itself. */
  readonly via: string | null
  /** One-use; empty if the node is enrolled already. */
  readonly enrolToken: string
  /** How people call this node. */
  readonly name: string
  readonly slots: number
  /** For jobs, at most: the guest gives less if it has less. */
  readonly memoryBytes: number
  readonly diskBytes: number
  readonly image: GuestImage
  /** Certificates to trust instead of the system's, PEM. */
  readonly caPem: string | null
}

/** The appliance that was booted, as its manifest says. */
export interface GuestImage {
  readonly name: string
  readonly version: string
  /** Of the manifest's exact bytes. */
  readonly digest: Digest
}

const form = { what: "the guest's settings", format: SETTINGS_FORMAT, maxBytes: SETTINGS_MAX_BYTES }

/** The JSON text, with its format. FieldError for what parseSettings would not take. */
export function printSettings(settings: GuestSettings): string {
  const printed = `${JSON.stringify({ format: SETTINGS_FORMAT, ...settings }, null, 2)}\n`
  parseSettings(printed)
  return printed
}

/** The settings in a JSON text of at most SETTINGS_MAX_BYTES. FieldError says what is wrong, and never repeats the token. */
export function parseSettings(printed: string): GuestSettings {
  return checkFields(parseForm(printed, form), settingsRules, form.what)
}

/** For others who are told the same things about a hub and a node. */
export const settingsRules: Rules<GuestSettings> = {
  hub: text('a URL like "https://hub.example.org:8080"', isHub),
  via: orNull(text('an address like "10.0.2.100:80"', value => addressOf(value) !== null)),
  enrolToken(value, where) {
    if (typeof value === "string" && /^[\x21-\x7e]{0,512}$/.test(value)) return value
    return refuse(where, "up to 512 characters without spaces", "what it is")
  },
  name: text("1 to 64 letters, digits, dots or dashes", value => /^[\w.-]{1,64}$/.test(value)),
  slots: wholeNumber(1, NODE_SLOTS_MAX),
  memoryBytes: wholeNumber(1),
  diskBytes: wholeNumber(1),
  image: object(imageNames),
  caPem: orNull(text("certificates in PEM", value => value.includes("-----BEGIN CERTIFICATE-----"))),
}

function isHub(value: string): boolean {
  if (!URL.canParse(value)) return false
  const url = new URL(value)
  return /^https?:$/.test(url.protocol) && url.username === "" && url.password === "" && url.search + url.hash === ""
}

/** "10.0.2.100:80" or "[fd00::2]:80" in its parts; null if it is no address with a port. Never a name: nobody is asked for it. */
export function addressOf(value: string): { readonly host: string; readonly port: number } | null {
  const [, host, digits] = /^(\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:]+\]):(\d{1,5})$/i.exec(value) ?? []
  const port = Number(digits)
  if (host === undefined || port < 1 || port > 65_535 || !URL.canParse(`http://${host}`)) return null
  return { host: host.replace(/^\[|\]$/g, ""), port }
}
