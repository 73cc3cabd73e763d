// One of our programs and all that it needs as one file of JavaScript, for machines without npm: the guest, the Debian package, the
// executable. The same sources give the same bytes. Knows how to bundle; what is bundled and where it goes is the caller's.
import { writeFile } from "node:fs/promises"
import { build } from "esbuild"
import { root } from "./files.ts"

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

/** Writes the program to a file. Throws with the bundler's words if it cannot be made. */
export async function writeBundle({ entry, format, target }: Bundle, outFile: string): Promise<void> {
  const { outputFiles } = await build({
    stdin: { contents: entry, resolveDir: root, loader: "ts", sourcefile: "start.ts" },
    bundle: true,
    platform: "node",
    format,
    target,
    // Comments and spaces are a third of it, and every byte is parsed at each start. Names stay, for stack traces.
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: "none",
    // Libraries in the older format ask for what Node gives modules no more.
    ...(format === "esm" ? { banner: { js: requireForModules } } : {}),
    logLevel: "silent",
    write: false,
  })
  await writeFile(outFile, outputFiles[0]!.contents)
}

const requireForModules = 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);'
