// A graph is mended: a real hub and a real agent, typed into bash. One job of an array fails for a reason outside it, and what needed
// the array is cancelled; tried again in its own campaign it goes well, and what needed it goes on by itself.
import assert from "node:assert/strict"
import { after, before, describe, test } from "node:test"
import { Desk } from "../harness/desk.ts"

describe("a scientist with a graph of which a part failed", () => {
  let desk: Desk
  before(async () => {
    desk = await Desk.start()
    await desk.says(`cah login --hub ${desk.hub.url} --token-file token`)
  })
  after(() => desk.end())

  test("M5: has the failed job tried again in its campaign, and what was cancelled for it goes on", async () => {
    const { says, type } = { says: desk.says.bind(desk), type: desk.type.bind(desk) }
    // As if a server had been down at the first try of one job.
    const line = 'echo "try $CAH_ATTEMPT of $CAH_ARRAY_INDEX"; test $CAH_ARRAY_INDEX -ne 3 -o $CAH_ATTEMPT -gt 1'
    const first = (await says(`cah sub --hold --array 5 -o quiet '${line}'`)).trim()
    const next = (await says(`cah sub --after-ok ${first} -o quiet 'echo gathered'`)).trim()
    await says(`cah resume ${first}`)
    assert.equal((await type(`cah wait ${first},${next}`)).code, 1)
    assert.match(await says(`cah show ${next}`), /1 of 1 ended: 1 cancelled/)
    assert.match(
      await says(`cah resub --failed --into ${first}`),
      new RegExp(`^1 job of campaign ${first} is queued again; campaign ${next} waits for it again\\.\n$`),
    )
    assert.match(await says(`cah wait ${first},${next}`), /5 jobs, all finished[\s\S]*1 job, all finished/)
    assert.equal(await says(`cah logs ${next}`), "gathered\n")
    assert.equal(await says(`cah logs ${first}.3`), "try 2 of 3\n")
    assert.equal(await says(`cah logs ${first}.3#1`), "try 1 of 3\n")
    assert.match(await says(`cah show ${first}`), /Resubmitted +1 time into this campaign/)
    assert.match(await says(`cah show ${first}.3`), /queued again by admin/)
    const again = await type(`cah resub --failed --into ${first}`)
    assert.deepEqual([again.code, again.stdout], [6, ""])
    assert.match(again.stderr, /finished well: there is nothing to try again/)
  })
})
