// `npm run build`: our programs and the client's library as JavaScript in dist/, which files in bin/ run instead of the sources as long as it is of
// these very sources (launch.mjs), and the library's types. `npm run build -- cah-agent` builds one program. What runs meanwhile keeps what it has.
import { mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Plugin } from "esbuild"
import { root } from "../scripts/files.ts"
import { bundle, onlyTheVersion, packagesIn } from "./bundle.ts"
import { type Input, readInput } from "./launch.mjs"

export const dist = join(root, "dist")

export interface Program {
  /** Files of dist/, without .mjs, and the module of each. */
  readonly entries: Readonly<Record<string, string>>
  /** Modules that are asked for later stand in files of their own: `cah` loads those of one verb. */
  readonly splitting?: boolean
  /** Packages that stay packages: what is compiled for a processor. */
  readonly external?: readonly string[]
  /** Folders whose files the program finds beside itself. */
  readonly folders?: readonly string[]
}

/** By the name of dist/NAME.mjs, which is launch()'s. */
export const programs = {
  cah: { entries: { cah: "client/main.ts", client: "client/library.ts" }, splitting: true },
  "cah-hub": {
    entries: {
      "cah-hub": "hub/main.ts",
      "writer-thread": "hub/store/sqlite/writer.ts",
      "snapshot-thread": "hub/store/sqlite/snapshot-thread.ts",
    },
    external: ["better-sqlite3"],
    folders: ["hub/store/sqlite/migrations"],
  },
  "cah-agent": { entries: { "cah-agent": "agent/main.ts" } },
  vmlauncher: { entries: { vmlauncher: "vmlauncher/main.ts" } },
} as const satisfies Record<string, Program>

/** Of dist/client.mjs. */
export const TYPES = "client.d.mts"

export type ProgramName = keyof typeof programs

/** Of every program: what is installed, and how it is built. */
const ALWAYS = ["node_modules/.package-lock.json", "package.json", "release/build.ts", "release/bundle.ts"]
/** A part of `cah` that a verb under way has yet to load may be of the build before. */
const OLD_PARTS_MS = 24 * 60 * 60_000

export interface Built {
  /** Relative to dist/. */
  readonly files: readonly string[]
  /** Names of the packages inside. */
  readonly packages: readonly string[]
}

export async function buildProgram(name: ProgramName, directory: string = dist): Promise<Built> {
  const program: Program = programs[name]
  const inputs: Record<string, Input["entry"]> = {}
  const note = (path: string): Input["contents"] => {
    const { contents, entry } = readInput(path)
    inputs[path] = entry
    return contents
  }
  for (const path of ALWAYS) note(path)
  const { files, inputs: read } = await bundle({
    entryPoints: { ...program.entries },
    format: "esm",
    target: "node20.19",
    splitting: program.splitting ?? false,
    chunkNames: `${name}-[hash]`,
    external: [...(program.external ?? [])],
    outdir: directory,
    outExtension: { ".js": ".mjs" },
    sourcemap: "linked",
    plugins: [onlyTheVersion, noting(note)],
  })
  const made = files.map(({ name, contents }): [string, Uint8Array | string] => [name, contents])
  for (const folder of program.folders ?? []) {
    const within = folder.slice(folder.lastIndexOf("/") + 1)
    for (const file of String(note(`${folder}/`)).split("\n")) {
      made.push([`${within}/${file}`, note(`${folder}/${file}`)])
    }
  }
  // Last, so that what is there of another build is never taken for this one.
  made.push([`${name}.inputs.json`, JSON.stringify(inputs)])
  for (const [path, contents] of made) place(join(directory, path), contents)
  if (program.splitting) removeOldParts(directory, name, new Set(made.map(([path]) => path)))
  return { files: made.map(([path]) => path), packages: packagesIn(read) }
}

/** Our own files are read by us, so that it is known of which bytes a program was built. Those of packages change with what is installed. */
function noting(note: (path: string) => Input["contents"]): Plugin {
  return {
    name: "what it is built of",
    setup({ onLoad }) {
      onLoad({ filter: /\.ts$/ }, ({ path }) => {
        const own = path.slice(root.length + 1)
        if (own.startsWith("node_modules/")) return null
        return { contents: String(note(own)), loader: "ts" }
      })
    },
  }
}

/** Whole or not at all, for whoever starts a program meanwhile. */
function place(path: string, contents: Uint8Array | string): void {
  mkdirSync(join(path, ".."), { recursive: true })
  const made = `${path}.${process.pid}`
  writeFileSync(made, contents)
  renameSync(made, path)
}

function removeOldParts(directory: string, name: string, made: ReadonlySet<string>): void {
  const before = Date.now() - OLD_PARTS_MS
  for (const file of readdirSync(directory)) {
    const isPart = new RegExp(`^${name}-[A-Z0-9]{8}\\.mjs`).test(file)
    if (isPart && !made.has(file) && statSync(join(directory, file)).mtimeMs < before) rmSync(join(directory, file))
  }
}

async function main(names: readonly string[]): Promise<number> {
  const unknown = names.find(name => !Object.hasOwn(programs, name))
  if (unknown !== undefined) {
    console.error(`build: "${unknown}" is no program of ours; there are ${Object.keys(programs).join(", ")}`)
    return 2
  }
  const wanted = (names.length === 0 ? Object.keys(programs) : names) as ProgramName[]
  for (const name of wanted) {
    const startedMs = performance.now()
    await buildProgram(name)
    tell(`${name}.mjs`, startedMs)
  }
  if (names.length === 0) {
    const startedMs = performance.now()
    // Loaded only here: it brings all of TypeScript.
    const { writeTypes } = await import("./types.ts")
    await writeTypes(join(dist, TYPES))
    tell(TYPES, startedMs)
  }
  return 0
}

function tell(file: string, startedMs: number): void {
  console.log(`dist/${file}: ${((performance.now() - startedMs) / 1_000).toFixed(1)} s`)
}

if (import.meta.filename === process.argv[1]) process.exitCode = await main(process.argv.slice(2))
