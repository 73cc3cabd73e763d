// What must not happen on a hub: making the key that signs what volunteers' computers run, and signing a release with it.
//   npm run boinc -- key --out DIRECTORY
//   npm run boinc -- sign --key FILE --out DIRECTORY [--dist dist] [--appliance base] [--virtualbox]
//   npm run boinc -- sign --key FILE --out DIRECTORY --program FILE [--file NAME=FILE]…
// The release is the directory that `cah-hub --release` takes. Files get names that hold their own digest: what did not
// change keeps its name, and nobody downloads it twice.
import { execFile } from "node:child_process"
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto"
import { constants, createReadStream, createWriteStream, existsSync } from "node:fs"
import { chmod, copyFile, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises"
import { basename, extname, join, resolve } from "node:path"
import { pipeline } from "node:stream/promises"
import { parseArgs, promisify } from "node:util"
import { createGzip } from "node:zlib"
import {
  digestsOf,
  openRelease,
  packedName,
  RELEASE_FILE,
  RELEASE_FOLDER,
  type ReleaseJson,
} from "../hub/front/boinc/release.ts"
import { codeKeyText, makeCodeKey, signMd5 } from "../hub/front/boinc/signature.ts"
import { version } from "../hub/version.ts"

const run = promisify(execFile)
const PLATFORM = "x86_64-pc-linux-gnu"
/** What the guest needs beside its memory: QEMU itself, as the client counts the whole process. A guess with room. */
const HYPERVISOR_BYTES = 256 * 1024 ** 2
/** Scratch disk and saved memory, at the least. A guess: a job that needs more asks for more. */
const DISK_BYTES = 3 * 1024 ** 3
/** Packing is for what is large, and shrinks by a tenth at least: an appliance's files are packed already. */
const PACKED_MIN_BYTES = 1024 ** 2
const PACKED_WORTH = 0.9
/** A guest without a manifest that says otherwise. */
const MEMORY_MB = 512
/** The files of an appliance by plan class: see the hub's scheduler for who gets which. */
const APPLIANCE_FILES: Readonly<Record<string, readonly string[]>> = {
  qemu: ["manifest.json", "manifest.json.sig", "kernel", "initrd", "root"],
  vbox: ["manifest.json", "manifest.json.sig", "appliance.iso"],
}

interface Source {
  readonly openName: string | null
  readonly path: string
}

class Misuse extends Error {}

async function makeKey(out: string): Promise<void> {
  await mkdir(out, { recursive: true, mode: 0o700 })
  const path = join(out, "code-sign.pem")
  if (existsSync(path))
    throw new Misuse(`${path} is there already: volunteers' computers know its public half, keep it`)
  const { privateKey, publicKey } = makeCodeKey()
  await writeFile(path, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 })
  await writeFile(join(out, "code-sign.pub"), codeKeyText(publicKey))
  console.log(
    `the private key is ${path}: keep it off the hub, and keep a copy; without it no release can follow the first`,
  )
}

async function readKey(path: string): Promise<KeyObject> {
  const { mode } = await stat(path)
  if ((mode & 0o077) !== 0) throw new Misuse(`${path} can be read by others: chmod 600 ${path}`)
  return createPrivateKey(await readFile(path))
}

/** From dist/: the launcher, and the appliance's files for QEMU; for VirtualBox too if that is wanted. */
async function fromDist(
  dist: string,
  appliance: string,
  planClasses: readonly string[],
): Promise<{ program: string; sets: Map<string, Source[]> }> {
  const names = await readdir(dist).catch(() => [])
  const program = names.find(name => /^vmlauncher-.*-linux-x64$/.test(name))
  if (program === undefined) throw new Misuse(`there is no vmlauncher in ${dist}: run \`npm run package\` first`)
  const folder = join(dist, "appliance", appliance)
  const sets = new Map<string, Source[]>()
  for (const planClass of planClasses) {
    const sources = APPLIANCE_FILES[planClass]!.map(name => ({ openName: name, path: join(folder, name) }))
    const lacks = sources.find(({ path }) => !existsSync(path))
    if (lacks !== undefined) {
      throw new Misuse(`${lacks.path} is not there: build and sign the appliance first (\`npm run appliance\`)`)
    }
    sets.set(planClass, sources)
  }
  await needAgreement(join(dist, program), folder)
  return { program: join(dist, program), sets }
}

/** The launcher itself says whether it would boot this appliance. Else every volunteer's computer would find out that it does not. */
async function needAgreement(program: string, folder: string): Promise<void> {
  try {
    await run(resolve(program), ["verify", resolve(folder)])
  } catch (error) {
    const { stderr = "", message } = error as Error & { stderr?: string }
    throw new Misuse(`${program} would not boot ${folder}: ${stderr.trim().replace(/^vmlauncher: /, "") || message}`)
  }
}

async function sign(options: {
  readonly key: KeyObject
  readonly out: string
  readonly program: string
  readonly sets: ReadonlyMap<string, readonly Source[]>
}): Promise<void> {
  const { key, out, sets } = options
  const folder = join(out, RELEASE_FOLDER)
  await mkdir(folder, { recursive: true })
  const files = new Map<string, ReleaseJson["files"][number]>()
  const keep = async (path: string, executable: boolean) => {
    const { md5, sha256 } = await digestsOf(path)
    // A version's last number is none.
    const extension = /^\.[a-z]+$/.test(extname(path)) ? extname(path) : ""
    const stem = basename(path, extension).replace(/[^A-Za-z0-9._-]/g, "_")
    const name = `${stem}_${sha256.slice(0, 12)}${extension}`
    if (!files.has(name)) {
      await copyFile(path, join(folder, `${name}.new`), constants.COPYFILE_FICLONE)
      await chmod(join(folder, `${name}.new`), executable ? 0o755 : 0o644)
      await rename(join(folder, `${name}.new`), join(folder, name))
      const { size: sizeBytes } = await stat(join(folder, name))
      const gzip = await packed(join(folder, name), sizeBytes)
      files.set(name, { name, sizeBytes, md5, sha256, executable, signature: signMd5(key, md5), gzip })
    }
    return name
  }
  const program = await keep(options.program, true)
  const appVersions: ReleaseJson["appVersions"] = []
  for (const [planClass, sources] of sets) {
    const named = [{ name: program, openName: null as string | null }]
    for (const { openName, path } of sources) named.push({ name: await keep(path, false), openName })
    appVersions.push({ platform: PLATFORM, planClass, files: named })
  }
  const manifest = [...sets.values()].flat().find(({ openName }) => openName === "manifest.json")
  const asked =
    manifest === undefined ? {} : (JSON.parse(await readFile(manifest.path, "utf8")) as { minMemoryMb?: number })
  const release: ReleaseJson = {
    format: 1,
    name: "vmlauncher",
    title: "Work in a virtual machine",
    version,
    versionNumber: await nextNumber(out, appVersions),
    minMemoryBytes: (asked.minMemoryMb ?? MEMORY_MB) * 1024 ** 2 + HYPERVISOR_BYTES,
    minDiskBytes: DISK_BYTES,
    codeSignKey: codeKeyText(createPublicKey(key)),
    files: [...files.values()],
    appVersions,
  }
  const path = join(out, RELEASE_FILE)
  await writeFile(`${path}.new`, `${JSON.stringify(release, null, 2)}\n`)
  await rename(`${path}.new`, path)
  await removeOthers(folder, files)
  await openRelease(out)
  console.log(`release ${release.version} as number ${release.versionNumber}, for ${[...sets.keys()].join(" and ")}:`)
  for (const { name, sizeBytes, gzip } of release.files) {
    console.log(
      `  ${String(gzip?.sizeBytes ?? sizeBytes).padStart(12)} bytes  ${name}${gzip === null ? "" : ", packed"}`,
    )
  }
}

/** A packed copy beside the file, where that is worth a volunteer's waiting. */
async function packed(path: string, sizeBytes: number): Promise<ReleaseJson["files"][number]["gzip"]> {
  if (sizeBytes < PACKED_MIN_BYTES) return null
  const out = packedName(path)
  await pipeline(createReadStream(path), createGzip({ level: 9 }), createWriteStream(`${out}.new`))
  const { size } = await stat(`${out}.new`)
  if (size > sizeBytes * PACKED_WORTH) {
    await rm(`${out}.new`)
    return null
  }
  await rename(`${out}.new`, out)
  return { sizeBytes: size, sha256: (await digestsOf(out)).sha256 }
}

/** A client never takes other files under a number that it knows, so another set of files gets the next one. */
async function nextNumber(out: string, appVersions: ReleaseJson["appVersions"]): Promise<number> {
  const before = await readFile(join(out, RELEASE_FILE), "utf8").catch(() => null)
  if (before === null) return 100
  const { versionNumber, appVersions: known } = JSON.parse(before) as ReleaseJson
  return JSON.stringify(known) === JSON.stringify(appVersions) ? versionNumber : versionNumber + 1
}

/** What no version names any more. A client that is just fetching it gets the new one the next time it asks. */
async function removeOthers(folder: string, files: ReadonlyMap<string, ReleaseJson["files"][number]>): Promise<void> {
  for (const name of await readdir(folder)) {
    const isPacked = files.get(name.replace(/\.gz$/, ""))?.gzip != null
    if (!files.has(name) && !isPacked) await rm(join(folder, name))
  }
}

async function main(argv: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      out: { type: "string" },
      key: { type: "string" },
      dist: { type: "string", default: "dist" },
      appliance: { type: "string", default: "base" },
      program: { type: "string" },
      "plan-class": { type: "string", default: "qemu" },
      file: { type: "string", multiple: true, default: [] },
      virtualbox: { type: "boolean", default: false },
    },
  })
  const [verb] = positionals
  if (values.out === undefined || (verb !== "key" && verb !== "sign")) {
    throw new Misuse("say `key --out DIRECTORY`, or `sign --key FILE --out DIRECTORY`; see the top of release/sign.ts")
  }
  if (verb === "key") return makeKey(values.out)
  if (values.key === undefined) throw new Misuse("--key names the private key that `key` made")
  const key = await readKey(values.key)
  // VirtualBox cannot confine a guest as QEMU can (docs/adr/0013), so its files are downloaded only where somebody decided it.
  const planClasses = values.virtualbox ? ["qemu", "vbox"] : ["qemu"]
  if (values.program === undefined)
    return sign({ key, out: values.out, ...(await fromDist(values.dist, values.appliance, planClasses)) })
  const sources = values.file.map(given => {
    const [, openName, path] = /^([^=]+)=(.+)$/.exec(given) ?? []
    if (openName === undefined || path === undefined) throw new Misuse(`--file is NAME=FILE, not "${given}"`)
    return { openName, path }
  })
  await sign({ key, out: values.out, program: values.program, sets: new Map([[values["plan-class"], sources]]) })
}

try {
  await main(process.argv.slice(2))
} catch (error) {
  const code = (error as { code?: unknown }).code
  if (!(error instanceof Misuse) && typeof code !== "string") throw error
  console.error(`boinc: ${(error as Error).message}`)
  process.exitCode = error instanceof Misuse ? 2 : 1
}
