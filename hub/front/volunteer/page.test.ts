// The volunteer's pages in a real browser: Debian's Chromium, driven by playwright-core, looked through by axe-core. Without Chromium it
// says so and skips; in CI it is there.
import assert from "node:assert/strict"
import { existsSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { after, before, describe, it } from "node:test"
import type { AxeResults } from "axe-core"
import { type Browser, chromium, type Page } from "playwright-core"
import { passwordHash } from "../../auth/password.ts"
import { VOLUNTEER_LOOK_MS } from "../../limits.ts"
import { call, projects } from "../boinc/project.suite.ts"
import type { TestFront } from "../front.suite.ts"

const program = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find(path => existsSync(path))
const skip = program === undefined ? "there is no Chromium here: apt install chromium" : false
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")
const standards = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

const email = "vera@example.org"
const password = "correct horse"
/** As through a proxy: the hub's own machine would see the operator's page at the hub's address. */
const elsewhere = { via: "1.1 test" }

const open = projects()

describe("the volunteer's pages in a browser", { skip }, () => {
  let browser: Browser
  before(async () => {
    browser = await chromium.launch({ executablePath: program!, args: ["--no-sandbox"] })
  })
  after(() => browser?.close())

  async function prepared(): Promise<TestFront> {
    const front = await open()
    const { key } = await front.accounts.create({ email, password: passwordHash(password, email), name: "Vera" })
    const name = (await call(front, { key })).one("result").text("name")
    await call(front, { key, cpid: "d".repeat(32), name: "laptop" })
    const stderr = "There is neither QEMU nor VirtualBox here."
    await call(front, { key, hostId: 1, sequence: 1, wants: 0, results: [{ name, state: 3, exit: 5, stderr }] })
    return front
  }

  async function logIn(page: Page, front: TestFront): Promise<void> {
    await page.goto(`${front.url}/volunteer`)
    await page.fill("#email", email)
    await page.fill("#password", password)
    await page.press("#password", "Enter")
    await page.waitForURL(`${front.url}/volunteer`)
    await page.getByRole("heading", { name: "Your computers" }).waitFor()
  }

  async function complaints(page: Page): Promise<string[]> {
    await page.evaluate(axe)
    const run = `axe.run({ runOnly: ${JSON.stringify(standards)} })`
    const { violations } = (await page.evaluate(run)) as AxeResults
    return violations.map(
      ({ id, nodes }) => `${page.url()}: ${id}: ${nodes.map(node => node.target.join(" ")).join(", ")}`,
    )
  }

  for (const colorScheme of ["light", "dark"] as const) {
    it(`have nothing that hinders people with other eyes or hands, in ${colorScheme} colours and on a narrow screen`, async () => {
      const front = await prepared()
      const context = await browser.newContext({
        colorScheme,
        viewport: { width: 320, height: 640 },
        extraHTTPHeaders: elsewhere,
      })
      const page = await context.newPage()
      const failed: string[] = []
      page.on("console", message => failed.push(message.text()))
      const found: string[] = []
      const look = async () => {
        found.push(...(await complaints(page)))
        const wide = await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        if (wide === true) found.push(`${page.url()} must be scrolled sideways`)
      }
      await page.goto(front.url)
      await look()
      await page.goto(`${front.url}/volunteer`)
      await look()
      await logIn(page, front)
      await look()
      await page.goto(`${front.url}/volunteer/forget`)
      await look()
      assert.deepEqual([found, failed], [[], []])
      await context.close()
    })
  }

  it("do all they do without script, and by keyboard alone", async () => {
    const front = await prepared()
    const context = await browser.newContext({ javaScriptEnabled: false, extraHTTPHeaders: elsewhere })
    const page = await context.newPage()
    await logIn(page, front)
    const stop = page.getByRole("button", { name: "Stop now: laptop" })
    await stop.focus()
    await page.keyboard.press("Enter")
    await page.getByRole("status").waitFor()
    assert.match(
      (await page.getByRole("status").textContent()) ?? "",
      /Stopped\. What it worked on goes to other computers/,
    )
    await page.getByRole("button", { name: "Start again: laptop" }).press("Space")
    await page.waitForURL(/said=started/)
    assert.equal(
      front.store.volunteers.hostsOf(1 as never).some(host => host.stopped),
      false,
    )

    await page.getByLabel("How much of the processor, in per cent").fill("50")
    await page.getByLabel("When I am not using the computer").check()
    await page.getByLabel("How much of the processor, in per cent").press("Enter")
    await page.waitForURL(/said=saved/)
    assert.match(front.store.volunteers.byEmail(email)?.preferences ?? "", /"when":"away","processorPercent":50/)

    await page.getByRole("link", { name: "forget me" }).press("Enter")
    await page.getByLabel("Yes, delete my account").check()
    await page.getByRole("button", { name: "Forget me" }).press("Enter")
    await page.getByRole("heading", { name: "Your account is deleted" }).waitFor()
    assert.equal(front.store.volunteers.byEmail(email), null)
    await context.close()
  })

  it("V19: keep up with the hub while they are looked at, and not under somebody's hands", async () => {
    const front = await prepared()
    const context = await browser.newContext({ extraHTTPHeaders: elsewhere })
    const page = await context.newPage()
    await page.clock.install()
    await logIn(page, front)
    const failed: string[] = []
    page.on("console", message => failed.push(message.text()))
    const rename = async (title: string) => {
      const host = front.store.volunteers.hostsOf(1 as never).find(({ name }) => name === "laptop")!
      await front.engine.commit([{ kind: "host", row: { ...host, title } }])
    }
    const looked = () => page.waitForResponse(`${front.url}/volunteer`)
    await rename("in the kitchen")
    await page.clock.runFor(VOLUNTEER_LOOK_MS)
    await page.getByRole("heading", { name: "in the kitchen" }).waitFor()
    await page.locator("summary").first().click()
    await page.getByLabel("Your name for it (empty: its own)").first().fill("half a na")
    await rename("in the cellar")
    const look = looked()
    await page.clock.runFor(VOLUNTEER_LOOK_MS)
    await look
    assert.equal(await page.getByLabel("Your name for it (empty: its own)").first().inputValue(), "half a na")
    assert.deepEqual(failed, [])
    await context.close()
  })

  it("reach everything by Tab, in the order in which it stands, and show where one is", async () => {
    const front = await prepared()
    const context = await browser.newContext({ extraHTTPHeaders: elsewhere })
    const page = await context.newPage()
    await logIn(page, front)
    const reached: string[] = []
    const count = Number(await page.evaluate("document.querySelectorAll('a, button, input:not([type=hidden])').length"))
    for (let at = 0; at < count; at++) {
      await page.keyboard.press("Tab")
      const seen = await page.evaluate(`(() => {
        const at = document.activeElement
        if (at === document.body) return null
        return [at.textContent || at.name, getComputedStyle(at).outlineStyle]
      })()`)
      if (seen === null) break
      const [name, outline] = seen as [string, string]
      assert.equal(outline, "solid", name)
      reached.push(name)
    }
    assert.deepEqual(reached, [
      "Log out",
      "Stop now",
      "Rename, merge or remove laptop",
      "Stop now",
      "Rename, merge or remove attic",
      "Look again",
      // One of the three is a stop for Tab; arrows choose among them.
      "when",
      "processor",
      "memory",
      "network",
      "Save",
      "name",
      "shown",
      "Save",
      "current",
      "new",
      "Change it",
      "forget me",
    ])
    await context.close()
  })
})
