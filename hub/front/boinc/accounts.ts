// What BOINC's programs ask before there is an account: the project's description, and accounts by address and password. Errors have
// BOINC's numbers, so that the Manager shows its own words for them, and ours beside.
import type { Accounts } from "../../auth/accounts.ts"
import type { Failures } from "../../auth/failures.ts"
import { CahError } from "../../core/errors.ts"
import { BOINC_CLIENT_MIN, PASSWORD_CHARACTERS_MIN } from "../../limits.ts"
import type { Request } from "../../port.ts"
import { isWithin, turnOf } from "../http.ts"
import type { Release } from "./release.ts"
import { element, nested } from "./xml.ts"

/** BOINC's error numbers, as its clients know them. */
const errors = {
  notFound: -136,
  notUnique: -137,
  down: -183,
  badEmail: -205,
  badPassword: -206,
  retry: -187,
} as const

export interface AccountRpcParts {
  readonly accounts: Accounts
  readonly logins: Failures
  readonly signups: Failures
  readonly release: Release | null
  readonly projectName: string
}

export const TERMS =
  "Your computer will run jobs of scientists in a virtual machine: a computer within your computer, which sees none of your files and " +
  "reaches nothing on your network but this hub. It uses what you allow in BOINC's preferences, and you can stop it at any time. " +
  "The hub keeps your e-mail address to let you in, and what your computers did; on its page you can delete both. " +
  "It sends no mail."

export function projectConfig({ release, projectName }: AccountRpcParts, masterUrl: string): string {
  const stopped = release === null
  const platforms = (release?.appVersions ?? []).map(({ platform, planClass }) =>
    nested("platform", element("platform_name", platform), element("plan_class", planClass)),
  )
  return nested(
    "project_config",
    element("name", projectName),
    element("master_url", masterUrl),
    element("web_rpc_url_base", masterUrl),
    element("web_stopped", 0),
    element("sched_stopped", stopped ? 1 : 0),
    element("min_passwd_length", PASSWORD_CHARACTERS_MIN),
    element("account_creation_disabled", stopped),
    element("min_client_version", BOINC_CLIENT_MIN[0] * 10_000 + BOINC_CLIENT_MIN[1] * 100 + BOINC_CLIENT_MIN[2]),
    element("terms_of_use", TERMS),
    nested("platforms", ...platforms),
  )
}

export async function lookUpAccount(parts: AccountRpcParts, query: URLSearchParams, request: Request): Promise<string> {
  const email = query.get("email_addr") ?? ""
  const password = query.get("passwd_hash") ?? ""
  if (email === "") return failure(errors.badEmail, "No e-mail address was given.")
  if (!isWithin(parts.logins, request)) return tooMany()
  if (password === "") {
    const isThere = parts.accounts.exists(email)
    return isThere ? nested("account_out", element("success", true)) : nobody()
  }
  const found = await parts.accounts.logIn(email, password.toLowerCase(), turnOf(request, email))
  if (found === "unknown") return nobody()
  if (found === "wrong password") return failure(errors.badPassword, "That is not the password of this account.")
  return account(found.key)
}

export async function createAccount(parts: AccountRpcParts, query: URLSearchParams, request: Request): Promise<string> {
  if (parts.release === null)
    return failure(errors.down, "This hub has nothing for volunteers yet: please come back another day.")
  const email = query.get("email_addr") ?? ""
  const password = (query.get("passwd_hash") ?? "").toLowerCase()
  if (!/^[0-9a-f]{32}$/.test(password)) return failure(errors.badPassword, "No password was given.")
  if (!isWithin(parts.signups, request)) return tooMany()
  try {
    const given = { email, password, name: query.get("user_name") ?? "" }
    return account((await parts.accounts.create(given, turnOf(request, email))).key)
  } catch (thrown) {
    const error = CahError.from(thrown)
    if (error.code === "already_exists") return failure(errors.notUnique, `${error.message}.`)
    if (error.code === "invalid_argument") return failure(errors.badEmail, error.message)
    throw thrown
  }
}

function account(key: string): string {
  return nested("account_out", element("authenticator", key))
}

function nobody(): string {
  return failure(errors.notFound, "There is no account with this e-mail address on this hub.")
}

function tooMany(): string {
  return failure(errors.retry, "Too many tries from your address: please wait a minute and try again.")
}

export function failure(number: number, message: string): string {
  return nested("error", element("error_num", number), element("error_msg", message))
}

/** Of a hub that cannot answer now. */
export function unavailable(message: string): string {
  return failure(errors.down, message)
}
