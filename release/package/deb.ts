// The agent as a Debian package, for clusters and labs that want no virtual machine: one bundle, the Node.js that it was tested with, a user of its
// own, a service for systemd and for what came before it. `npm run package -- deb`. Node.js comes from npm, by version and digest;
// --node FILE takes another. The same sources give the same package.
import { execFile } from "node:child_process"
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs, promisify } from "node:util"
import { gzipSync } from "node:zlib"
import manifest from "../../package.json" with { type: "json" }
import { root } from "../../scripts/files.ts"
import { agentManual } from "../../scripts/man.ts"
import { agentBundle, licencesOf, writeBundle } from "../bundle.ts"
import { nodeFromNpm } from "../node.ts"

const run = promisify(execFile)

/** What goes where, from release/package/debian. */
const files: readonly (readonly [from: string, to: string, mode: number])[] = [
  ["cah-agent", "usr/bin/cah-agent", 0o755],
  ["cah-agent.service", "usr/lib/systemd/system/cah-agent.service", 0o644],
  ["cah-agent.init", "etc/init.d/cah-agent", 0o755],
  ["logrotate", "etc/logrotate.d/cah-agent", 0o644],
  ["agent.toml", "etc/cah/agent.toml", 0o644],
  ["postinst", "DEBIAN/postinst", 0o755],
  ["prerm", "DEBIAN/prerm", 0o755],
  ["postrm", "DEBIAN/postrm", 0o755],
]

/** Writes cah-agent_<version>_amd64.deb into the directory, or into that of --out. */
export async function packageDeb(directory: string, flags: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...flags],
    options: {
      node: { type: "string" },
      out: { type: "string" },
      // For tests, which need not wait for a small file.
      fast: { type: "boolean", default: false },
    },
  })
  const out = join(values.out ?? directory, `cah-agent_${manifest.version}_amd64.deb`)
  const place = await mkdtemp(join(tmpdir(), "cah-deb-"))
  try {
    const tree = join(place, "tree")
    const given = values.node === undefined ? null : { binary: values.node, licence: null }
    await layOut(tree, given ?? (await nodeFromNpm()))
    await writeFile(join(tree, "DEBIAN", "control"), control(await installedKilobytes(tree)))
    await writeFile(join(tree, "DEBIAN", "conffiles"), conffiles())
    const compression = values.fast ? ["-Zgzip", "-z1"] : ["-Zxz"]
    const environment = { ...process.env, SOURCE_DATE_EPOCH: await lastChange() }
    await run("dpkg-deb", ["--root-owner-group", ...compression, "--build", tree, out], { env: environment })
    console.log(`${out}: ${((await stat(out)).size / 1e6).toFixed(1)} MB`)
  } finally {
    await rm(place, { recursive: true, force: true })
  }
}

interface Runtime {
  readonly binary: string
  readonly licence: string | null
}

async function layOut(tree: string, runtime: Runtime): Promise<void> {
  const library = join(tree, "usr/lib/cah-agent")
  const documentation = join(tree, "usr/share/doc/cah-agent")
  const manual = join(tree, "usr/share/man/man1")
  for (const path of [library, documentation, manual, join(tree, "DEBIAN")]) await mkdir(path, { recursive: true })
  for (const [from, to, mode] of files) {
    await mkdir(join(tree, to, ".."), { recursive: true })
    await copyFile(join(root, "release/package/debian", from), join(tree, to))
    await chmod(join(tree, to), mode)
  }
  const inside = await writeBundle(agentBundle, join(library, "cah-agent.mjs"))
  await copyFile(runtime.binary, join(library, "node"))
  await chmod(join(library, "node"), 0o755)
  await strip(join(library, "node"))
  const { stdout } = await run(join(library, "node"), [join(library, "cah-agent.mjs"), "--version"])
  if (stdout.trim() !== manifest.version) throw new Error(`the packaged agent says that it is version ${stdout}`)
  const licence = await readFile(join(root, "LICENSE"), "utf8")
  await writeFile(join(documentation, "copyright"), copyright(licence, await licencesOf(inside)))
  if (runtime.licence !== null) {
    await writeFile(join(documentation, "copyright.node.gz"), gzipSync(await readFile(runtime.licence)))
  }
  await writeFile(join(documentation, "changelog.gz"), gzipSync(await readFile(join(root, "CHANGELOG.md"))))
  await writeFile(join(manual, "cah-agent.1.gz"), gzipSync(agentManual()))
}

function control(kilobytes: number): string {
  return `Package: cah-agent
Version: ${manifest.version}
Architecture: amd64
Maintainer: The clouds-at-home developers <developers@clouds-at-home.invalid>
Installed-Size: ${kilobytes}
Depends: libc6 (>= 2.28), libstdc++6 (>= 9), libgcc-s1, adduser, bubblewrap, util-linux
Section: science
Priority: optional
Description: run the jobs of a clouds-at-home hub on this machine
 Dials out to a hub, takes jobs that fit into what this machine gives, runs
 each behind bubblewrap as nobody and without a network, and returns what it
 made. Nothing ever connects to it. It brings the Node.js that it runs on.
`
}

/** Kept when the package is removed, asked about when both sides changed it. */
function conffiles(): string {
  return files.flatMap(([, to]) => (to.startsWith("etc/") ? [`/${to}\n`] : [])).join("")
}

function copyright(own: string, others: string): string {
  const line = "=".repeat(78)
  return `clouds-at-home\n\n${own.trim()}\n\n${line}\nInside /usr/lib/cah-agent/cah-agent.mjs\n${line}\n\n${others}\n${line}
/usr/lib/cah-agent/node is Node.js: copyright.node.gz beside this file, or https://github.com/nodejs/node/blob/main/LICENSE
`
}

/** What a debugger would want is a seventh of it. */
async function strip(path: string): Promise<void> {
  await run("strip", [path]).catch(() => {
    console.log("strip is not installed (binutils): the package is larger than it need be")
  })
}

async function installedKilobytes(tree: string): Promise<number> {
  const { stdout } = await run("du", ["-sk", "--apparent-size", "--exclude=DEBIAN", tree])
  return Number(stdout.split("\t")[0])
}

/** Of the sources, in seconds: goes into the package in place of the clock. */
async function lastChange(): Promise<string> {
  const given = process.env.SOURCE_DATE_EPOCH
  if (given !== undefined && given !== "") return given
  const { stdout } = await run("git", ["log", "-1", "--format=%ct"], { cwd: root }).catch(() => ({ stdout: "" }))
  return stdout.trim() || `${Math.floor((await stat(join(root, "package.json"))).mtimeMs / 1_000)}`
}
