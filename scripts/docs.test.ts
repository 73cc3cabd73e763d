// The documentation does what it says. Each ```console block of the pages below is typed into bash, against a hub and an agent
// of its own, and must print what stands there: times, sizes and ids may differ. ```sh blocks that name a file write it. Of
// docs/properties.md every example is parsed, and every refusal compared with its words.
import assert from "node:assert/strict"
import { spawn, spawnSync } from "node:child_process"
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { after, before, describe, it } from "node:test"
import { matches, PropertyError, parseProperty } from "../proto/wire/property.ts"
import { Hub } from "./demo/hub.ts"
import { end, type Program, ready, start } from "./demo/processes.ts"
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

describe("the first campaign in docs/scientist.md", async () => {
  const page = "docs/scientist.md"
  let place: string
  let hub: Hub
  let agent: Program

  before(async () => {
    place = await mkdtemp(join(tmpdir(), "cah-docs-"))
    hub = await Hub.start(join(place, "hub"), join(place, "hub.log"))
    const { secret } = await hub.ask<{ secret: string }>("OperatorService/CreateEnrolment", { account: "me", uses: 1 })
    const flags = ["--hub", hub.url, "--enroll", secret, "--state", join(place, "agent"), "--name", "home-1"]
    agent = start("agent", ["agent/bin/cah-agent.mjs", ...flags, "--slots", "2"], {}, join(place, "agent.log"))
    await ready(agent, async () => {
      const { nodes = [] } = await hub.ask<{ nodes?: { state: string }[] }>("ScientistService/ListNodes", {})
      return nodes.some(node => node.state === "NODE_STATE_ONLINE") ? true : null
    })
    await mkdir(join(place, "bin"))
    await mkdir(join(place, "desk"))
    await writeFile(join(place, "bin/cah"), `#!/bin/sh\nexec '${process.execPath}' '${root}/client/bin/cah.mjs' "$@"\n`)
    await chmod(join(place, "bin/cah"), 0o755)
    await copyFile(join(place, "hub/admin.token"), join(place, "desk/token"))
    await chmod(join(place, "desk/token"), 0o600)
  })

  after(async () => {
    await end([agent])
    await end([hub.program])
    await rm(place, { recursive: true, force: true })
  })

  for (const { language, name, text, line } of await blocksOf(page)) {
    if (language === "sh" && name !== "") {
      it(`line ${line}: ${name} is written`, async () => {
        await mkdir(dirname(join(place, "desk", name)), { recursive: true })
        await writeFile(join(place, "desk", name), text)
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
    const port = new URL(hub.url).port
    const script = commands.map(command => {
      const real = command.replace(/^> /gm, "").replaceAll("127.0.0.1:8080", `127.0.0.1:${port}`)
      return `code=$?; cat <<'COMMAND'\n$ ${command}\nCOMMAND\n(exit $code)\n${real}\n`
    })
    const env = {
      PATH: `${join(place, "bin")}:${process.env.PATH}`,
      HOME: join(place, "home"),
      LANG: "C.UTF-8",
    }
    const bash = spawn("bash", ["-c", `exec 2>&1\n${script.join("")}`], {
      cwd: join(place, "desk"),
      env,
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

describe("what pages for newcomers tell to type", () => {
  const helps = new Map<string, string>()
  function helpOf(verb: string): string {
    const known = helps.get(verb)
    if (known !== undefined) return known
    const { status, stdout } = spawnSync(process.execPath, [join(root, "client/bin/cah.mjs"), verb, "--help"])
    const help = status === 0 && stdout.includes(`cah ${verb} `) ? stdout.toString() : ""
    helps.set(verb, help)
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
        for (const [, span = ""] of here.matchAll(/`([^`]+)`/g)) {
          const verb = /^cah ([a-z]+)/.exec(span)?.[1]
          if (verb === undefined && !span.startsWith("-")) continue
          const flags = [...(span.split(" -- ")[0] ?? "").matchAll(/(?<=^|\s)--?[a-zA-Z][a-z-]*/g)].map(
            ([flag]) => flag,
          )
          const help = verb === undefined ? ["sub", "wait", "get", "ls", "logs"].map(helpOf).join("\n") : helpOf(verb)
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
    .replace(/\bn[0-9a-f]{16}\b/g, "NODE")
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
          const isMatch = matches(parseProperty(example), node)
          if (name !== "") assert.equal(isMatch, name === "matches", example)
        }
      })
    }
    if (language === "console") {
      it(`line ${line}: is refused in these words`, () => {
        for (const [, typed, says] of text.matchAll(/^\$ cah sub -p "(.*)" .*\n(.*)$/gm)) {
          assert.throws(
            () => parseProperty(typed!),
            (error: unknown) => error instanceof PropertyError && says!.endsWith(error.message),
            `${typed} → ${says}`,
          )
        }
      })
    }
  }
})
