// One job without a hub, by the program itself: what it prints, what it leaves in its directory, and how it ends when it is told to.
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import {
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, describe, test } from "node:test"
import { fileURLToPath } from "node:url"
import { create, type MessageInitShape, toBinary, toJsonString } from "@bufbuild/protobuf"
import { listTree, packToFile } from "../archive/pack.ts"
import { roomFor, unpack } from "../archive/unpack.ts"
import { CampaignSpecSchema } from "../proto/gen/cah/v1/job_pb.ts"
import { OfferSchema } from "../proto/gen/cah/v1/link_pb.ts"
import type { TryResult } from "../proto/wire/trial.ts"

const program = fileURLToPath(new URL("bin/cah-agent.mjs", import.meta.url))
const root = mkdtempSync(join(tmpdir(), "cah-try-test-"))
after(() => rmSync(root, { recursive: true, force: true }))
let number = 0

interface Told {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  readonly out: string
  readonly result: TryResult | null
}

function start(spec: MessageInitShape<typeof CampaignSpecSchema>, more: readonly string[] = [], line = "") {
  const out = join(root, String(number++))
  mkdirSync(out)
  const offer = create(OfferSchema, {
    attempt: { campaign: 0n, index: 3, attempt: 1 },
    spec: toBinary(CampaignSpecSchema, create(CampaignSpecSchema, spec)),
    parameters: { line },
    arraySize: 10,
  })
  writeFileSync(join(out, "offer.json"), toJsonString(OfferSchema, offer))
  const args = [program, "try", "--spec", join(out, "offer.json"), "--out", out, ...more]
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "pipe"] })
  let [stdout, stderr] = ["", ""]
  child.stderr.on("data", chunk => {
    stderr += chunk
  })
  const begun = new Promise<void>(resolve => {
    child.stdout.on("data", chunk => {
      stdout += chunk
      resolve()
    })
  })
  const done = new Promise<Told>(resolve => {
    child.once("close", code => {
      const file = join(out, "result.json")
      const result = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as TryResult) : null
      resolve({ code, stdout, stderr, out, result })
    })
  })
  return { child, done, begun }
}

describe("cah-agent try", { concurrency: 2 }, () => {
  test("runs the job as an agent would, prints what it prints, and leaves what would be sent back", async () => {
    const input = join(root, "input")
    mkdirSync(input)
    writeFileSync(join(input, "a.txt"), "content")
    const packed = join(root, "stagein.tar")
    const { digest, sizeBytes } = await packToFile(await listTree(input), packed)
    const spec = {
      command: [
        'echo "$CAH_JOB_ID of $CAH_ARRAY_SIZE: $(cat a.txt) $1"; echo grumble >&2; echo made > b.txt; exit 3 #',
      ],
      stagein: { digest, sizeBytes: BigInt(sizeBytes) },
    }
    const told = await start(spec, ["--stagein", packed]).done
    assert.deepEqual([told.code, told.stdout, told.stderr], [0, "0.3 of 10: content \n", "grumble\n"])
    const { outcome, exitCode, hasStageout, droppedBytes } = told.result ?? assert.fail("no result.json")
    assert.deepEqual([outcome, exitCode, hasStageout, droppedBytes.stdout], ["failed", 3, true, 0])
    const { files } = await unpack(createReadStream(join(told.out, "stageout.tar")), join(told.out, "files"), {
      room: roomFor(99),
    })
    assert.deepEqual(files, [{ path: "b.txt", sizeBytes: 5 }])
    assert.deepEqual(readdirSync(told.out).sort(), ["files", "offer.json", "result.json", "stageout.tar"])
  })

  test("F6: a stageout that matches nothing is a warning, and a failure where it is required", async () => {
    const spec = { command: ["echo hi > result.txt"], stageout: ["result.csv"] }
    const [lenient, strict] = [await start(spec).done, await start({ ...spec, requireStageout: true }).done]
    const { outcome, message, warnings } = lenient.result ?? assert.fail("no result.json")
    assert.deepEqual([outcome, message, warnings], ["finished", "", "result.csv matched nothing"])
    assert.deepEqual([strict.result?.outcome, strict.result?.message], ["failed", "result.csv matched nothing"])
  })

  test("F8: in the sandbox too, links come back as what they led to for the job", async () => {
    const command = ['echo hi > f; ln -s "$PWD/f" l; mkdir d; echo x > d/y; ln -s "$PWD/d" ld; ln -s nowhere q']
    const told = await start({ command }).done
    const { outcome, warnings } = told.result ?? assert.fail("no result.json")
    assert.deepEqual(
      [outcome, warnings],
      ["finished", 'left out: "q": a symbolic link that leads nowhere (is not there)'],
    )
    const archive = createReadStream(join(told.out, "stageout.tar"))
    const { files } = await unpack(archive, join(told.out, "files"), { room: roomFor(1e5) })
    assert.deepEqual(
      files.map(({ path }) => path),
      ["d/y", "f", "l", "ld/y"],
    )
  })

  test("ends it at its walltime", async () => {
    const { code, result } = await start({ command: ["sleep 60"], walltime: { seconds: 1n } }).done
    assert.deepEqual([code, result?.outcome, result?.hasStageout], [0, "timedout", false])
  })

  test("is as good without a sandbox, and says that there was none", async () => {
    const { code, stdout, result } = await start({ command: ["printf", "%s|"] }, ["--sandbox", "none"], "a b").done
    assert.deepEqual([code, stdout, result?.sandbox, result?.whyNone], [0, "a|b|", "none", "so asked for"])
  })

  test("a signal ends the job, and what is left is what was given", async () => {
    const running = start({ command: ["echo begun; sleep 60"] }, ["--while-asked"])
    await running.begun
    running.child.kill("SIGINT")
    const { code, result, out } = await running.done
    assert.deepEqual([code, result, readdirSync(out)], [130, null, ["offer.json"]])
  })

  test("the end of its stdin ends it too, with all that was there: whoever asked is gone", async () => {
    const running = start({ command: ["echo begun; sleep 60"] }, ["--while-asked"])
    await running.begun
    running.child.stdin.end()
    const { code, result, out } = await running.done
    assert.deepEqual([code, result, existsSync(out)], [130, null, false])
  })

  test("says what it cannot do, in a line, and what was typed wrong with 2", async () => {
    const blob = { digest: `sha256:${"0".repeat(64)}`, sizeBytes: 1n }
    for (const [spec, more, code, error] of [
      [{ command: ["true"], stagein: blob }, [], 1, /the stagein sha256:0+ was not given/],
      [{ command: ["true"], stagein: blob }, ["--stagein", program], 1, /is not the stagein: \d+ bytes/],
      [{ command: ["true"], gather: 4n }, [], 1, /what is to be gathered is at the hub/],
      [{ command: [] }, [], 2, /the job has no command/],
      [{ command: ["true"] }, ["--sandbox", "jail"], 2, /'jail' is invalid/],
      [{ command: ["true"] }, ["--frob"], 2, /unknown option '--frob'/],
    ] as const) {
      const told = await start({ ...spec, command: [...spec.command] }, more).done
      assert.deepEqual([told.code, told.stdout, told.result], [code, "", null])
      assert.match(told.stderr, /^cah-agent try: [^\n]*\n$/)
      assert.match(told.stderr, error)
    }
    assert.ok(statSync(program).isFile())
  })
})
