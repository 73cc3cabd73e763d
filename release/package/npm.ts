// The packages for npm: the client with its library (`clouds-at-home`), the hub and the agent. `npm run package -- npm`. Each holds what was built
// and the files of bin/ at the paths that they have here, so that both start alike. All that can be inside is inside: the client and the agent
// install without a network and without a compiler, and the hub takes better-sqlite3 alone.
import { execFile } from "node:child_process"
import { copyFile, mkdir, rm, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { promisify } from "node:util"
import manifest from "../../package.json" with { type: "json" }
import { root } from "../../scripts/files.ts"
import { buildProgram, type Program, type ProgramName, programs, TYPES } from "../build.ts"
import { licencesOf } from "../bundle.ts"
import { writeTypes } from "../types.ts"

const run = promisify(execFile)

interface Package {
  readonly name: string
  readonly description: string
  readonly program: ProgramName
  readonly bin: Readonly<Record<string, string>>
  /** The first lines of what npm shows. */
  readonly use: string
  readonly library?: boolean
}

const { cah, oarsub, oarstat, oardel, oarhold, oarresume, oarnodes } = manifest.bin

export const packages: readonly Package[] = [
  {
    name: "clouds-at-home",
    description: "cah, the scientist's client of a clouds-at-home hub, and the same as a library",
    program: "cah",
    bin: { cah, oarsub, oarstat, oardel, oarhold, oarresume, oarnodes },
    use: `    npm install --global clouds-at-home
    cah login --hub https://hub.example.org --token-file ada.token
    cah sub --array 3 --wait --get out 'echo "job $CAH_ARRAY_INDEX" > hello.txt'

As a library, from JavaScript and from strict TypeScript (with @types/node):

    import { Hub } from "clouds-at-home/client"
    const hub = new Hub({ url: "https://hub.example.org", token: process.env.CAH_TOKEN })
    const { campaign } = await hub.submit({ spec: { name: "hello", command: ["echo", "hello"], array: 3 } })
    await hub.wait(campaign)
`,
    library: true,
  },
  {
    name: "clouds-at-home-hub",
    description: "cah-hub, a volunteer-computing hub: one process, one port, one data directory",
    program: "cah-hub",
    bin: { "cah-hub": manifest.bin["cah-hub"] },
    use: `    npm install --global clouds-at-home-hub
    cah-hub --data /var/lib/cah

It says where it listens, where the first admin token lies, and how an agent is started.
`,
  },
  {
    name: "clouds-at-home-agent",
    description: "cah-agent, which runs the jobs of a clouds-at-home hub on this machine",
    program: "cah-agent",
    bin: { "cah-agent": manifest.bin["cah-agent"] },
    use: `    npm install --global clouds-at-home-agent
    cah-agent --hub https://hub.example.org --enroll TOKEN

Jobs run behind bubblewrap, which it needs: \`cah-agent --help\` tells the rest.
`,
  },
]

/** Writes NAME-VERSION.tgz of each, or of the one that is named, into the directory. */
export async function packageNpm(directory: string, names: readonly string[]): Promise<void> {
  for (const one of packages) {
    if (names.length > 0 && !names.includes(one.name)) continue
    const place = join(directory, "packages", one.name)
    await rm(place, { recursive: true, force: true })
    await layOut(one, place)
    const { stdout } = await run("npm", ["pack", place, "--silent", "--pack-destination", directory], {
      cwd: directory,
    })
    console.log(join(directory, stdout.trim()))
  }
}

async function layOut(one: Package, place: string): Promise<void> {
  const made = join(place, "dist")
  await mkdir(made, { recursive: true })
  const { packages: inside } = await buildProgram(one.program, made)
  // For clones: here are no sources to compare with.
  await rm(join(made, `${one.program}.inputs.json`))
  if (one.library === true) await writeTypes(join(made, TYPES))
  const licences = await licencesOf(inside)
  await writeFile(join(made, "LICENCES.txt"), `What is inside these files besides clouds-at-home.\n\n${licences}`)
  for (const path of ["LICENSE", "release/launch.mjs", ...new Set(Object.values(one.bin))]) {
    await mkdir(dirname(join(place, path)), { recursive: true })
    await copyFile(join(root, path), join(place, path))
  }
  await writeFile(join(place, "README.md"), `# ${one.name}\n\n${one.description}.\n\n${one.use}`)
  await writeFile(join(place, "package.json"), `${JSON.stringify(await manifestOf(one), null, 2)}\n`)
}

async function manifestOf({ name, description, program, bin, library }: Package): Promise<object> {
  const { version, license, engines, dependencies } = manifest
  const { external = [] } = programs[program] as Program
  const needed = external.map(other => [other, dependencies[other as keyof typeof dependencies]])
  const exported = library === true ? { "./client": { types: `./dist/${TYPES}`, default: "./dist/client.mjs" } } : {}
  return {
    ...{ name, version, description, license, type: "module", engines, bin },
    exports: { ...exported, "./package.json": "./package.json" },
    files: ["dist", "release", ...new Set(Object.values(bin))],
    ...(needed.length === 0 ? {} : { dependencies: Object.fromEntries(needed) }),
  }
}
