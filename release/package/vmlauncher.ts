// The launcher as one executable file: its modules joined into one, put into a copy of the Node that node.ts pins (a single executable application);
// `--node FILE` takes another. The
// public half of the release key goes in with it, so that nothing around the file decides whose images it starts.
// `--release-key FILE` says which; without it the executable asks for one when it is run, which is for development.
import { execFileSync } from "node:child_process"
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { parseArgs } from "node:util"
import manifest from "../../package.json" with { type: "json" }
import { root } from "../../scripts/files.ts"
import { RELEASE_KEY_ASSET } from "../../vmlauncher/release.ts"
import { writeBundle } from "../bundle.ts"
import { nodeFromNpm } from "../node.ts"
import { PackageError } from "./errors.ts"

/** Node's own names for where it looks for an application inside itself. */
const BLOB = "NODE_SEA_BLOB"
const FUSE = "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2"

const entry = `import { main } from "./vmlauncher/main.ts"
main(process.argv.slice(2)).then(code => process.exit(code))`

/** Writes vmlauncher-<version>-linux-x64 into the directory, or into that of --out. */
export async function packageLauncher(directory: string, flags: readonly string[]): Promise<void> {
  const options = { "release-key": { type: "string" }, out: { type: "string" }, node: { type: "string" } } as const
  const { values } = parseArgs({ args: [...flags], options })
  // Node looks for it from another directory.
  const key = values["release-key"] === undefined ? undefined : resolve(values["release-key"])
  if (key !== undefined) needPublicKey(key)
  const node = values.node ?? (await nodeFromNpm()).binary
  const place = mkdtempSync(join(tmpdir(), "cah-package-"))
  const out = join(values.out ?? directory, `vmlauncher-${manifest.version}-${process.platform}-${process.arch}`)
  try {
    await writeBundle({ entry, format: "cjs", target: "node20.19" }, join(place, "main.cjs"))
    const config = {
      main: "main.cjs",
      output: "blob",
      disableExperimentalSEAWarning: true,
      // Made for this very Node, so that it need not be compiled at each start.
      useCodeCache: true,
      assets: key === undefined ? {} : { [RELEASE_KEY_ASSET]: key },
    }
    writeFileSync(join(place, "sea.json"), JSON.stringify(config))
    execFileSync(node, ["--experimental-sea-config", "sea.json"], { cwd: place, stdio: "pipe" })
    const made = join(place, "vmlauncher")
    copyFileSync(node, made)
    chmodSync(made, 0o755)
    strip(made)
    const postject = join(root, "node_modules", ".bin", "postject")
    execFileSync(postject, [made, BLOB, join(place, "blob"), "--sentinel-fuse", FUSE], { stdio: "pipe" })
    copyFileSync(made, out)
    chmodSync(out, 0o755)
    const says = execFileSync(out, ["--version"], { encoding: "utf8" }).trim()
    if (says !== manifest.version) throw new Error(`${out} says that it is version ${says}`)
  } finally {
    rmSync(place, { recursive: true, force: true })
  }
  const megabytes = (path: string): string => `${(statSync(path).size / 1e6).toFixed(1)} MB`
  console.log(
    `${out}: ${megabytes(out)}, ${key === undefined ? "without a release key, so for development only (--release-key FILE)" : "with the release key inside"}`,
  )
}

function needPublicKey(path: string): void {
  let text: string
  try {
    text = readFileSync(path, "utf8")
  } catch (error) {
    throw new PackageError(`--release-key: ${path} cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
  if (text.includes("-----BEGIN PUBLIC KEY-----")) return
  const advice = text.includes("PRIVATE KEY") ? "the public half lies beside it, with .pub at its end" : "PEM is needed"
  throw new PackageError(`--release-key: ${path} is no public key: ${advice}`)
}

/** What a debugger would want is an eighth of it. Where the tool is missing the file is only larger. */
function strip(path: string): void {
  try {
    execFileSync("strip", [path], { stdio: "pipe" })
  } catch {
    console.log("strip is not installed (binutils): the executable stays larger than it need be")
  }
}
