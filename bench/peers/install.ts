// Whether a peer can be measured here, and how it gets here: Debian's packages by apt where we are root, client libraries by npm ci from the
// lock file beside this. Installs only when it is allowed to; says why not otherwise. No service of an installed package is started.
import { spawnSync } from "node:child_process"
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Peer } from "./peer.ts"

const folder = fileURLToPath(new URL(".", import.meta.url))
/** By it Debian's packages learn whether they may start their services. */
const POLICY = "/usr/sbin/policy-rc.d"
const isRoot = process.getuid?.() === 0

/** Null: it is here. Else the reason why not. */
export function missing(peer: Peer, mayInstall: boolean): string | null {
  if (peer.needsRoot === true && !isRoot) return "it needs root"
  if (!existsSync(join(folder, "node_modules"))) {
    if (!mayInstall) return "its client is not installed (npm ci in bench/peers)"
    const { status, stderr } = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--ignore-scripts"], {
      cwd: folder,
      encoding: "utf8",
    })
    if (status !== 0) return `its client cannot be installed: ${lastLine(stderr)}`
  }
  const absent = peer.programs.filter(program => !isInstalled(program))
  if (absent.length === 0) return null
  if (!mayInstall) return `${absent.join(", ")} not installed (Debian's ${peer.packages.join(", ")})`
  if (!isRoot)
    return `${absent.join(", ")} not installed, and only root can install Debian's ${peer.packages.join(", ")}`
  const trouble = install(peer.packages)
  if (trouble !== null) return `Debian's ${peer.packages.join(", ")} cannot be installed: ${trouble}`
  return peer.programs.every(isInstalled) ? null : `${absent.join(", ")} not there after installing`
}

/** Of its server, as Debian calls it, and of its libraries. */
export function versionsOf({ packages, libraries }: Peer): string[] {
  const [server] = packages
  const { status, stdout } = spawnSync("dpkg-query", ["--show", server!], { encoding: "utf8" })
  return [
    // Its name and its version, with a tab between.
    status === 0 ? stdout.trim().replace("\t", " ") : `${server}, not from a package`,
    ...libraries.map(name => {
      const text = readFileSync(join(folder, "node_modules", name, "package.json"), "utf8")
      return `${name} ${(JSON.parse(text) as { version: string }).version}`
    }),
  ]
}

/** A name in the PATH, or a path of which one part may be anything. */
function isInstalled(program: string): boolean {
  const [before, after] = program.split("/*/")
  if (after !== undefined) {
    return existsSync(before!) && readdirSync(before!).some(one => existsSync(join(before!, one, after)))
  }
  return (process.env.PATH ?? "").split(":").some(path => existsSync(join(path, program)))
}

/** Null, or what went wrong. */
function install(packages: readonly string[]): string | null {
  if (!isInstalled("apt-get")) return "there is no apt-get"
  const mayServicesStart = !existsSync(POLICY)
  if (mayServicesStart) writeFileSync(POLICY, "#!/bin/sh\nexit 101\n", { mode: 0o755 })
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" }
    spawnSync("apt-get", ["update", "-qq"], { env })
    const flags = ["install", "-y", "-qq", "--no-install-recommends"]
    const { status, stderr } = spawnSync("apt-get", [...flags, ...packages], { env, encoding: "utf8" })
    return status === 0 ? null : lastLine(stderr)
  } finally {
    if (mayServicesStart) rmSync(POLICY, { force: true })
  }
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? ""
}
