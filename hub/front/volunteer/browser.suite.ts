// For tests: a volunteer with a browser, logged in, and a computer of theirs that works. Nothing else imports this.
import assert from "node:assert/strict"
import { passwordHash } from "../../auth/password.ts"
import type { NodeId } from "../../core/model.ts"
import type { VolunteerId } from "../../core/volunteers.ts"
import { call, joinFrom, online } from "../boinc/project.suite.ts"
import type { Element } from "../boinc/xml.ts"
import type { TestFront } from "../front.suite.ts"

export const email = "vera@example.org"
export const password = "correct horse"

/** A volunteer with a browser that keeps cookies and follows nothing by itself. */
export class Browser {
  readonly front: TestFront
  cookie = ""
  headers: Record<string, string> = {}

  constructor(front: TestFront) {
    this.front = front
  }

  async get(path = "/volunteer"): Promise<{ status: number; text: string }> {
    const answer = await fetch(`${this.front.url}${path}`, {
      headers: { ...this.headers, cookie: this.cookie },
      redirect: "manual",
    })
    return { status: answer.status, text: await answer.text() }
  }

  async post(
    path: string,
    fields: Record<string, string>,
  ): Promise<{ status: number; text: string; location: string | null }> {
    const answer = await fetch(`${this.front.url}/volunteer/${path}`, {
      method: "POST",
      body: new URLSearchParams(fields),
      headers: { ...this.headers, cookie: this.cookie },
      redirect: "manual",
    })
    const set = answer.headers.get("set-cookie")
    if (set !== null) {
      assert.match(set, /; Path=\/volunteer; Max-Age=\d+; HttpOnly; SameSite=Strict$/)
      this.cookie = set.split(";")[0]!
    }
    return { status: answer.status, text: await answer.text(), location: answer.headers.get("location") }
  }

  /** With the token of the page's forms, as a form has it. */
  async submit(path: string, fields: Record<string, string> = {}) {
    const token = /name="token" value="([0-9a-f]{64})"/.exec((await this.get()).text)?.[1] ?? ""
    return this.post(path, { token, ...fields })
  }
}

export async function loggedIn(front: TestFront): Promise<{ browser: Browser; key: string; id: VolunteerId }> {
  const { key, volunteer } = await front.accounts.create({
    email,
    password: passwordHash(password, email),
    name: "Vera",
  })
  const browser = new Browser(front)
  const { status, location } = await browser.post("login", { email: " Vera@example.org ", password })
  assert.deepEqual([status, location], [303, "/volunteer"])
  return { browser, key, id: volunteer.id }
}

/** Plain text, as a reader has it. */
export function words(text: string): string {
  return text
    .replace(/<(style|script)>[\s\S]*?<\/\1>/g, "")
    .replace(/<[^>]*>/g, " ")
    .replace(/&#39;/g, "'")
    .replace(/\s+/g, " ")
}

/** A computer with a launch whose virtual machine has joined. */
export async function working(front: TestFront, key: string): Promise<{ reply: Element; node: NodeId }> {
  const reply = await call(front, { key })
  const joined = await joinFrom(front, reply, "vm-1")
  await online(front, "vm-1", joined!.account)
  return { reply, node: "vm-1" as NodeId }
}
