// `npm run check -- --node 24`: tests and simulator on the long-term release that release/node.ts pins, in a copy of the tree whose better-sqlite3 is
// compiled for it, because a compiled package is for one Node. What is compiled is kept in dist/cache. Types, format and protocol do not depend on Node.
import { type SpawnSyncOptions, spawnSync } from "node:child_process"
import { cpSync, existsSync, mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync } from "node:fs"
import { dirname, join } from "node:path"
import { cache, headers, node, nodeFromNpm, type Runtime } from "../release/node.ts"
import { projectFiles, root } from "./files.ts"

const DRIVER = "better-sqlite3"
const ADDON = "build/Release/better_sqlite3.node"

/** With `filters` only the tests whose path contains one. True if all is well. Throws in words where it cannot be done. */
export async function checkOn(version: string, filters: readonly string[]): Promise<boolean> {
  if (!node.version.startsWith(`${version}.`) && node.version !== version) {
    throw new Error(`--node: there is Node ${node.version}, and no ${version}`)
  }
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new Error(`--node: ${node.package} does not run on ${process.platform} ${process.arch}`)
  }
  const runtime = await nodeFromNpm()
  const compiled = driverFor(runtime, (await nodeFromNpm(headers)).directory)
  const tree = mkdtempSync(join(cache, "tree-"))
  try {
    copyTree(tree, compiled)
    const env = { ...process.env, PATH: `${dirname(runtime.binary)}:${process.env.PATH ?? ""}` }
    const whole = [
      "scripts/check.ts",
      "--without",
      "format and lint",
      "--without",
      "types",
      "--without",
      "generated code is fresh",
    ]
    const what = filters.length === 0 ? whole : ["scripts/test.ts", ...filters]
    console.log(`Node ${node.version}, in a copy of this tree`)
    const { status } = spawnSync(runtime.binary, ["--import", "tsx", ...what], { cwd: tree, env, stdio: "inherit" })
    return status === 0
  } finally {
    rmSync(tree, { recursive: true, force: true })
  }
}

/** The folder of the package, compiled with the headers below `nodedir`. */
function driverFor({ binary }: Runtime, nodedir: string): string {
  const place = join(cache, `${DRIVER}-${versionOf(DRIVER)}-node-${headers.version}`)
  if (existsSync(place)) return place
  console.log(`compiling ${DRIVER} for Node ${node.version}, once: some minutes, with g++, make and python3`)
  const making = `${place}.${process.pid}`
  const from = join(root, "node_modules", DRIVER)
  cpSync(from, making, { recursive: true, filter: path => path !== join(from, "build") })
  const gyp = join(npmFolder(), "node_modules/node-gyp/bin/node-gyp.js")
  // npm gives its own configuration to what it runs, and node-gyp takes that before its arguments.
  const env = { ...process.env, npm_config_nodedir: nodedir }
  must(binary, [gyp, "rebuild", "--release"], { cwd: making, env })
  must(binary, ["--eval", `process.dlopen(module, ${JSON.stringify(join(making, ADDON))})`], {})
  // Only the addon is wanted, and it may have been made twice at once.
  rmSync(join(making, "build/Release/obj.target"), { recursive: true, force: true })
  if (existsSync(place)) rmSync(making, { recursive: true })
  else renameSync(making, place)
  return place
}

function versionOf(name: string): string {
  return must(process.execPath, ["--print", `require("${name}/package.json").version`], { cwd: root }).trim()
}

/** npm brings node-gyp along. */
function npmFolder(): string {
  const running = process.env.npm_execpath
  if (running !== undefined) return join(dirname(realpathSync(running)), "..")
  return join(must("npm", ["root", "--global"], {}).trim(), "npm")
}

/** All files of the project, and what is installed by links, but for the driver. A repository of its own, as tests ask git what is there. */
function copyTree(tree: string, driver: string): void {
  for (const path of projectFiles()) {
    mkdirSync(dirname(join(tree, path)), { recursive: true })
    cpSync(join(root, path), join(tree, path), { verbatimSymlinks: true })
  }
  must("git", ["init", "--quiet"], { cwd: tree })
  must("cp", ["-al", join(root, "node_modules"), join(tree, "node_modules")], {})
  rmSync(join(tree, "node_modules", DRIVER), { recursive: true })
  must("cp", ["-a", driver, join(tree, "node_modules", DRIVER)], {})
}

function must(program: string, args: readonly string[], options: SpawnSyncOptions): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    ...options,
    encoding: "utf8",
    maxBuffer: 1 << 26,
  })
  if (status === 0) return stdout
  throw new Error(`${program} ${args.join(" ")} ended with ${status}: ${error?.message ?? stderr.trim().slice(-2_000)}`)
}
