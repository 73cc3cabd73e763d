// The documentation does what it says. Each ```console block of the pages below is typed into bash, against a hub and an agent
// of its own, and must print what stands there: times, sizes and ids may differ. ```sh blocks that name a file write it. Of
// docs/properties.md every example is parsed, and every refusal compared with its words.
import assert from "node:assert/strict"
import { spawn, spawnSync } from "node:child_process"
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { after, before, describe, it } from "node:test"
import { Desk } from "../harness/desk.ts"
import { matches } from "../proto/wire/property.ts"
import { parseRequirement, RequirementError } from "../proto/wire/where.ts"
import { root } from "./files.ts"

/** One block of commands. */
const BLOCK_MAX_MS = 60_000

interface Block {
  readonly language: string
  /** The rest of the line that opens it. */
  readonly name: string
  readonly text: string
  readonly line: number
}

async function blocksOf(page: string): Promise<Block[]> {
  const text = await readFile(join(root, page), "utf8")
  const blocks = [...text.matchAll(/^```(\w+) ?(.*)\n([\s\S]*?)^```$/gm)].map(match => ({
    language: match[1]!,
    name: match[2]!,
    text: match[3]!,
    line: text.slice(0, match.index).split("\n").length,
  }))
  assert(blocks.length > 0, `${page} shows nothing that could be tried`)
  return blocks
}

for (const [page, title, isLoggedIn] of [
  ["docs/scientist.md", "the first campaign in docs/scientist.md", false],
  ["docs/job-files.md", "F14: the graph in docs/job-files.md", true],
] as const) {
  describe(title, async () => {
    let desk: Desk

    before(async () => {
      desk = await Desk.start()
      if (isLoggedIn) await desk.says(`cah login --hub ${desk.hub.url} --token-file token`)
    })

    after(() => desk.end())

    for (const { language, name, text, line } of await blocksOf(page)) {
      if ((language === "sh" || language === "yaml") && name !== "") {
        it(`line ${line}: ${name} is written`, async () => {
          await mkdir(dirname(join(desk.directory, name)), { recursive: true })
          await writeFile(join(desk.directory, name), text)
        })
      }
      if (language === "console") {
        it(`line ${line}: ${text.split("\n")[0]}`, async () => {
          assert.equal(alike(await typed(text)), alike(text), "what is printed is no longer what the page shows")
        })
      }
    }

    /** The block as it comes out: its commands, each followed by what it printed. */
    function typed(block: string): Promise<string> {
      const commands = block
        .split("\n")
        .filter(line => /^[$>] /.test(line))
        .join("\n")
        .split(/^\$ /m)
        .slice(1)
        .map(command => command.trimEnd())
      const port = new URL(desk.hub.url).port
      const script = commands.map(command => {
        const real = command.replace(/^> /gm, "").replaceAll("127.0.0.1:8080", `127.0.0.1:${port}`)
        return `code=$?; cat <<'COMMAND'\n$ ${command}\nCOMMAND\n(exit $code)\n${real}\n`
      })
      const bash = spawn("bash", ["-c", `exec 2>&1\n${script.join("")}`], {
        cwd: desk.directory,
        env: desk.environment,
        stdio: ["ignore", "pipe", "inherit"],
        timeout: BLOCK_MAX_MS,
      })
      let printed = ""
      bash.stdout.setEncoding("utf8").on("data", (more: string) => (printed += more))
      return new Promise((resolve, reject) => {
        bash.once("error", reject)
        bash.once("close", () => resolve(printed.replaceAll(`127.0.0.1:${port}`, "127.0.0.1:8080")))
      })
    }
  })
}

describe("what pages for newcomers tell to type", () => {
  const helps = new Map<string, string>()
  /** Of the longest path of verbs that the words begin with: "admin token create". */
  function helpOf(words: string): string {
    const known = helps.get(words)
    if (known !== undefined) return known
    const path = words.split(" ")
    const args = [join(root, "client/bin/cah.mjs"), "help", ...path]
    const { status, stdout } = spawnSync(process.execPath, args)
    const isIt = status === 0 && stdout.includes(`Usage: cah ${words} `)
    const shorter = path.slice(0, -1).join(" ")
    const help = isIt ? stdout.toString() : shorter === "" ? "" : helpOf(shorter)
    helps.set(words, help)
    return help
  }

  const everyVerb = "-o, --output --hub "

  for (const page of ["docs/scientist.md", "docs/from-sbatch.md", "docs/from-condor.md"]) {
    it(`is what cah takes: ${page}`, async () => {
      const unknown: string[] = []
      for (const line of (await readFile(join(root, page), "utf8")).split("\n")) {
        // In a table the first column is what was typed elsewhere.
        const here = line.startsWith("| ")
          ? line
              .split(/(?<!\\)\|/)
              .slice(2)
              .join("|")
          : line
        const spans = [...here.matchAll(/`([^`]+)`/g)].flatMap(([, span = ""]) => span.split(/ (?:&&|;|\|) /))
        for (const span of spans) {
          const verb = /^cah ([a-z]+(?: [a-z]+)*)/.exec(span)?.[1]
          if (verb === undefined && !span.startsWith("-")) continue
          const flags = [...(span.split(" -- ")[0] ?? "").matchAll(/(?<=^|\s)--?[a-zA-Z][a-z-]*/g)].map(
            ([flag]) => flag,
          )
          const help =
            verb === undefined
              ? ["sub", "wait", "get", "ls", "logs", "resub", "try"].map(helpOf).join("\n")
              : helpOf(verb)
          const missing = flags.filter(flag => !new RegExp(`(^|\\s)${flag}[ ,\\n]`, "m").test(help + everyVerb))
          if (help === "" || missing.length > 0) unknown.push(`${span}: ${missing.join(" ") || `no verb ${verb}`}`)
        }
      }
      assert.deepEqual(unknown, [])
    })
  }
})

/** Without what differs between two runs. */
function alike(text: string): string {
  return text
    .replace(/sha256:[0-9a-f]{64}/g, "sha256:DIGEST")
    .replace(/\bn[0-9a-f]{16}\b|\bhome-\d\b/g, "NODE")
    .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ/g, "TIME")
    .replace(/\b\d+(\.\d+)? (B|kB|MB|GB|TB)\b/g, "SIZE")
    .replace(/\b\d+(\.\d+)?(s|m|h)( ago)?\b/g, "WHILE")
    .replace(/[ \t]+/g, " ")
    .trim()
}

describe("docs/properties.md", async () => {
  const blocks = await blocksOf("docs/properties.md")
  const node = {
    os: "linux",
    arch: "x86_64",
    cores: "8",
    kernel: "6.1.0-13-amd64",
    cpu_model: "AMD Ryzen 7",
    cpu_flags: "sse4_2 avx avx2 fma aes sha_ni",
    has_povray: "yes",
    has_ffmpeg: "no",
    mem: 32 * 1024 ** 3,
    disk: 100 * 1024 ** 3,
  }

  for (const { language, name, text, line } of blocks) {
    if (language === "sql") {
      it(`line ${line}: every example ${name === "" ? "is taken" : name}`, () => {
        for (const example of text.trim().split("\n")) {
          const isMatch = matches(parseRequirement(example), node)
          if (name !== "") assert.equal(isMatch, name === "matches", example)
        }
      })
    }
    if (language === "console") {
      it(`line ${line}: is refused in these words`, () => {
        for (const [, typed, says] of text.matchAll(/^\$ cah sub -p "(.*)" .*\n(.*)$/gm)) {
          assert.throws(
            () => parseRequirement(typed!),
            (error: unknown) => error instanceof RequirementError && says!.endsWith(error.message),
            `${typed} → ${says}`,
          )
        }
      })
    }
  }
})

describe("what documents and programs tell people to type", () => {
  it("F13: is never fetched by npx, which would ask npm for a stranger's package of that name", () => {
    const { stdout } = spawnSync(
      "git",
      ["grep", "-nE", "npx +(cah|oar|vmlauncher)", "--", "*.md", "*.ts", "*.sh", "*.mjs"],
      {
        cwd: root,
        encoding: "utf8",
      },
    )
    const told = stdout
      .split("\n")
      .filter(line => line !== "" && !/Never `npx cah`|^CHANGELOG|docs\.test\.ts/.test(line))
    assert.deepEqual(told, [])
  })
})
