import assert from "node:assert/strict"
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, test } from "node:test"
import fc from "fast-check"
import { resolveWithin } from "./links.ts"
import { ArchiveError } from "./rules.ts"

const home = realpathSync(mkdtempSync(join(tmpdir(), "cah-links-")))
after(() => rmSync(home, { recursive: true }))
const base = join(home, "work")

/** Files f at the top, in a and in a/b, and links of any name to anywhere. */
function tangle(targets: readonly string[]): string[] {
  rmSync(base, { recursive: true, force: true })
  mkdirSync(join(base, "a", "b"), { recursive: true })
  for (const folder of ["", "a", "a/b"]) writeFileSync(join(base, folder, "f"), "")
  return targets.map((target, i) => {
    const link = join(base, ["", "a", "a/b"][i % 3]!, `l${i}`)
    symlinkSync(target, link)
    return link
  })
}

/** Where the kernel would end; null: nowhere, or outside. */
function kernel(link: string): string | null {
  try {
    // Not the one written in JavaScript, which shortens "link/.." before it looks at the link.
    const found = realpathSync.native(link)
    return found === base || found.startsWith(`${base}/`) ? found : null
  } catch {
    return null
  }
}

const part = fc.constantFrom("..", "..", "a", "b", "f", "l0", "l1", "l2", "l3", ".", "work", "")
const relative = fc.array(part, { minLength: 1, maxLength: 6 }).map(parts => parts.join("/"))
const target = fc
  .oneof(
    relative,
    relative.map(path => `${base}/${path}`),
  )
  .filter(path => path !== "" && path !== "/")

test("F8: a link that stays in the tree leads where the kernel says, and none is followed out of it", async () => {
  const check = fc.asyncProperty(fc.array(target, { minLength: 4, maxLength: 4 }), async targets => {
    for (const link of tangle(targets)) {
      const found = await resolveWithin(base, [base], link, "it").catch(error => {
        assert.ok(error instanceof ArchiveError)
        return null
      })
      // A path that leaves the tree and comes back by its root's name may be given up: the caller asks the kernel then.
      if (found !== null) assert.equal(found, kernel(link), `${link} -> ${readlinkSync(link)}`)
      else if (targets.every(one => !one.includes(".."))) assert.equal(kernel(link), null)
    }
  })
  await fc.assert(check, {
    numRuns: 300,
    examples: [[["..", "..", `${base}/../work/work/../.`, `${base}/../a/../work/f`]]],
  })
  assert.deepEqual(readdirSync(home), ["work"])
})

test("F8: links of a job are followed by the name that its directory had, which is nothing here", async () => {
  const [one, two, three, four] = tangle(["/work/a/f", "/work/a/../l0", "/workshop/f", "/work"])
  const follow = (link: string | undefined) => resolveWithin(base, ["/work"], link!, "it")
  assert.equal(await follow(one), join(base, "a/f"))
  assert.equal(await follow(two), join(base, "a/f"))
  assert.equal(await follow(three), null)
  assert.equal(await follow(four), base)
})
