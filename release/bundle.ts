// Programs of ours and all that they need as JavaScript: one file for machines without npm (the guest, the Debian package, the executable), or the
// files of dist/. The same sources give the same bytes. Knows how to bundle; what is bundled and where it goes is the caller's.
import { readdir, readFile, writeFile } from "node:fs/promises"
import { basename, join } from "node:path"
import { type BuildOptions, build, type Plugin } from "esbuild"
import { root } from "../scripts/files.ts"

export interface Bundle {
  /** What the program does when it is started, as the text of a module whose imports are relative to the project's root. */
  readonly entry: string
  readonly format: "esm" | "cjs"
  /** The oldest Node that is to run it, like "node20.19". */
  readonly target: string
}

/** The agent, as a module that runs when it is loaded. */
export const agentBundle: Bundle = {
  entry: `import { main } from "./agent/main.ts"\nprocess.exit(await main())`,
  format: "esm",
  target: "node20.19",
}

/** Writes the program to a file. Returns the names of the packages that went into it. Throws with the bundler's words if it cannot be made. */
export async function writeBundle({ entry, format, target }: Bundle, outFile: string): Promise<readonly string[]> {
  const stdin = { contents: entry, resolveDir: root, loader: "ts", sourcefile: "start.ts" } as const
  const { files, inputs } = await bundle({ stdin, format, target, plugins: [onlyTheVersion] })
  await writeFile(outFile, files[0]!.contents)
  return packagesIn(inputs)
}

export interface Bundled {
  readonly files: readonly { readonly name: string; readonly contents: Uint8Array }[]
  /** Everything that was read, relative to the root. */
  readonly inputs: readonly string[]
}

export async function bundle(options: BuildOptions): Promise<Bundled> {
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    bundle: true,
    platform: "node",
    // Comments and spaces are a third of it, and every byte is parsed at each start. Names stay, for stack traces.
    minifyWhitespace: true,
    minifySyntax: true,
    // Node shows the line of an error.
    lineLimit: 200,
    legalComments: "none",
    // Libraries in the older format ask for what Node gives modules no more.
    ...(options.format === "esm" ? { banner: { js: requireForModules } } : {}),
    logLevel: "silent",
    ...options,
    write: false,
    metafile: true,
  })
  const files = outputFiles.map(({ path, contents }) => ({ name: basename(path), contents }))
  return { files, inputs: Object.keys(metafile.inputs) }
}

export function packagesIn(inputs: readonly string[]): string[] {
  const inside = inputs.flatMap(path => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.slice(1) ?? [])
  return [...new Set(inside)].sort()
}

/** Of our package.json programs read their version. The rest would make another image, which all volunteers fetch, of each new chore. */
export const onlyTheVersion: Plugin = {
  name: "only the version",
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]package\.json$/ }, async ({ path }) => {
      if (path !== join(root, "package.json")) return null
      const { version } = JSON.parse(await readFile(path, "utf8")) as { version: string }
      return { contents: JSON.stringify({ version }), loader: "json" }
    })
  },
}

/** The licences of packages that are handed out inside a bundle, as they ask for. */
export async function licencesOf(packages: readonly string[]): Promise<string> {
  const texts = await Promise.all(
    packages.map(async name => {
      const directory = join(root, "node_modules", name)
      const { version, license } = JSON.parse(await readFile(join(directory, "package.json"), "utf8"))
      const file = (await readdir(directory)).find(one => /^(licen[cs]e|copying)/i.test(one))
      const text = file === undefined ? `Licence: ${license}` : await readFile(join(directory, file), "utf8")
      return `${name} ${version}\n\n${text.trim()}\n`
    }),
  )
  return texts.join(`\n${"-".repeat(78)}\n\n`)
}

const requireForModules =
  'import { createRequire as requireOfModule } from "node:module"; const require = requireOfModule(import.meta.url);'
