// From a recipe to a directory that a launcher can boot: kernel, initrd, root, an ISO with all three for hypervisors that boot from a disk, and
// the manifest that names each by its digest. The same recipe, agent and archive give the same bytes. Signing is somebody else's
// moment (signature.ts): the release key is never on the machine that builds.
import { createHash } from "node:crypto"
import { createReadStream, createWriteStream } from "node:fs"
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { Writable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { fileURLToPath } from "node:url"
import tar from "tar-stream"
import { type ImageFile, type ImageManifest, MANIFEST_FILE, printManifest } from "../proto/guest/manifest.ts"
import { archiveEpoch, chooseSources, debootstrap, guestSources } from "./debian.ts"
import { ApplianceError } from "./errors.ts"
import { bootFiles, downloadedPackages } from "./initrd.ts"
import type { Recipe } from "./recipe.ts"
import { needTools, output, start } from "./tools.ts"
import { byName, refineTree, type Tree } from "./tree.ts"

export interface BuildOptions {
  readonly recipe: Recipe
  /** The agent as one file of JavaScript. */
  readonly agent: string
  /** Of all that went into it. */
  readonly licences: string
  /** The directory to make. One that is there is replaced once the new one is whole. */
  readonly out: string
  /** Of the software; the archive's date is added. */
  readonly version: string
  readonly mirror: string | null
  readonly withIso: boolean
  /** What is being done, for people. */
  onStep(step: string): void
}

export interface Built {
  readonly manifest: ImageManifest
  readonly tree: Tree
}

/**
 * The kernel's command line. `console` is the launcher's ear; a panic ends the machine after a second, so that its launcher can start
 * another; a processor that a hypervisor shows is what it is, so the kernel need not measure it.
 */
const KERNEL_COMMAND = "console=ttyS0 quiet loglevel=3 panic=1 no_timer_check cryptomgr.notests"

/** Without these no guest of ours works. */
const neededInside = ["/usr/bin/node", "/usr/bin/bwrap", "/usr/sbin/mke2fs", "/usr/sbin/e2fsck", "/usr/bin/setpriv"]

export async function build(options: BuildOptions): Promise<Built> {
  const { onStep, withIso } = options
  needTools(["mmdebstrap", "dpkg-deb", "mksquashfs", "xz", ...(withIso ? ["xorriso"] : [])])
  return await inWorkplace(async work => {
    const image = join(work, "image")
    await mkdir(image)
    const making = await prepare(options, work)
    const tree = await packRoot(making, join(image, "root"))
    onStep("kernel and initrd")
    const { kernel, initrd } = await bootFiles(tree.downloads, await readFile(guestFile("init"), "utf8"))
    await writeFile(join(image, "kernel"), kernel)
    await writeFile(join(image, "initrd"), initrd)
    if (withIso) {
      onStep("the ISO")
      await buildIso(work, image, making.epoch)
    }
    const manifest = await describe(options, image, tree, making.epoch)
    await writeFile(join(image, MANIFEST_FILE), printManifest(manifest))
    await putInPlace(image, options.out)
    return { manifest, tree }
  })
}

/** What would go into the image's root, without packing it: enough to see whether it is the same as another time. */
export async function buildTree(options: BuildOptions): Promise<Tree> {
  needTools(["mmdebstrap"])
  return await inWorkplace(async work => {
    const making = await prepare(options, work)
    return await making.refineInto(new Writable({ write: (_chunk, _encoding, done) => done() }))
  })
}

async function inWorkplace<T>(use: (work: string) => Promise<T>): Promise<T> {
  const work = await mkdtemp(join(tmpdir(), "cah-appliance-"))
  try {
    return await use(work)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

function isRoot(): boolean {
  return process.getuid?.() === 0
}

function guestFile(name: string): string {
  return fileURLToPath(new URL(`guest/${name}`, import.meta.url))
}

// ---- the root file system ---------------------------------------------------------------------------------------

/** The recipe's files and ours, as a tar that is laid over the tree before the recipe's lines run. */
async function writeOverlay(path: string, { recipe, agent, licences }: BuildOptions, epoch: number): Promise<void> {
  const pack = tar.pack()
  const writing = pipeline(pack, createWriteStream(path, { mode: 0o644 }))
  const mtime = new Date(epoch * 1_000)
  const add = async (name: string, mode: number, bytes: Buffer): Promise<void> => {
    // Directories come with the packages; those that do not are made here, readable by all.
    const parents = dirname(name).split("/").slice(1)
    for (let depth = 1; depth <= parents.length; depth++) {
      const parent = `/${parents.slice(0, depth).join("/")}`
      if (made.has(parent)) continue
      made.add(parent)
      pack.entry({ name: `.${parent}`, type: "directory", mode: 0o755, mtime })
    }
    pack.entry({ name: `.${name}`, mode, mtime }, bytes)
  }
  const made = new Set(systemDirectories)
  await add("/usr/lib/cah/cah-agent.mjs", 0o644, await readFile(agent))
  await add("/usr/lib/cah/licences", 0o644, Buffer.from(licences))
  await add("/usr/lib/cah/supervisor", 0o755, await readFile(guestFile("supervisor")))
  for (const { path: name, mode, source, place } of recipe.files) {
    await add(name, mode, "text" in source ? Buffer.from(source.text) : await readSource(source.from, place))
  }
  pack.finalize()
  await writing
}

/** Never overwritten: some of them are links in the tree. */
const systemDirectories = ["bin", "sbin", "lib", "lib64", "etc", "usr", "usr/bin", "usr/sbin", "usr/lib", "usr/share"]
  .concat(["usr/local", "usr/local/bin", "opt", "srv", "var", "var/lib", "var/tmp", "tmp", "root", "home"])
  .map(name => `/${name}`)

async function readSource(path: string, place: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (error) {
    throw new ApplianceError(`${place}: ${path} cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
}

interface Making {
  /** In place of the clock, in seconds. */
  readonly epoch: number
  /** Runs mmdebstrap and writes the tree, as a tar. */
  refineInto(sink: Writable): Promise<Tree>
}

async function prepare(options: BuildOptions, work: string): Promise<Making> {
  const { recipe, mirror, onStep } = options
  const sources = await chooseSources(recipe, mirror)
  onStep(`Debian ${recipe.suite} from ${sources.main}`)
  const epoch = await archiveEpoch(sources)
  const overlay = join(work, "overlay.tar")
  await writeOverlay(overlay, options, epoch)
  const add = [
    { path: "/etc/hostname", mode: 0o644, text: "cah\n" },
    { path: "/etc/machine-id", mode: 0o444, text: "" },
    { path: "/etc/apt/sources.list.d/debian.sources", mode: 0o644, text: guestSources(recipe) },
  ]
  return {
    epoch,
    async refineInto(sink) {
      onStep("the tree, by mmdebstrap")
      const call = debootstrap({ recipe, sources, epoch, isRoot: isRoot(), overlay })
      const onLine = (line: string): void => {
        if (line.startsWith("I: ")) onStep(`mmdebstrap: ${line.slice(3)}`)
      }
      const making = start({ ...call, onLine })
      making.stdin.end()
      const refining = refineTree(making.stdout, sink, { exclude: recipe.exclude, add, epoch })
      const tree = await refining.catch(async error => {
        // A tar that ended early has its reason in who wrote it.
        await making.ended
        throw error
      })
      await making.ended
      const there = new Set(tree.files.map(file => file.path))
      const missing = neededInside.filter(one => !there.has(one))
      if (missing.length === 0) return tree
      throw new ApplianceError(`the guest would not work without ${missing.join(", ")}; does the recipe extend base?`)
    },
  }
}

/** Large blocks and a filter for machine code are what makes it small; one order and one clock what makes it the same each time. */
const squashOptions = [
  ...["-comp", "xz", "-Xbcj", "x86", "-b", "1M", "-no-exports"],
  // A tar says nothing of the root itself.
  ...["-root-mode", "755", "-root-uid", "0", "-root-gid", "0"],
  ...["-exit-on-error", "-quiet", "-no-progress"],
]

async function packRoot(making: Making, path: string): Promise<Tree> {
  const packing = start({
    program: "mksquashfs",
    arguments: ["-", path, "-tar", ...squashOptions],
    environment: { SOURCE_DATE_EPOCH: `${making.epoch}` },
  })
  packing.stdout.resume()
  const tree = await making.refineInto(packing.stdin).catch(async error => {
    // A tar that nobody read any further has its reason in who read it.
    await packing.ended
    throw error
  })
  await packing.ended
  return tree
}

// ---- the ISO ----------------------------------------------------------------------------------------------------

/** From Debian's isolinux and syslinux-common. */
const isolinux = ["/usr/lib/ISOLINUX/isolinux.bin", "/usr/lib/syslinux/modules/bios/ldlinux.c32"]

async function buildIso(work: string, image: string, epoch: number): Promise<void> {
  const content = join(work, "iso")
  await mkdir(join(content, "isolinux"), { recursive: true })
  for (const name of ["kernel", "initrd", "root"]) await cp(join(image, name), join(content, name))
  for (const path of isolinux) {
    await cp(path, join(content, "isolinux", path.slice(path.lastIndexOf("/") + 1))).catch(() => {
      throw new ApplianceError(`${path} is missing; apt-get install isolinux syslinux-common, or build with --no-iso`)
    })
  }
  const menu = `default cah\nprompt 0\nlabel cah\n  kernel /kernel\n  initrd /initrd\n  append ${KERNEL_COMMAND}\n`
  await writeFile(join(content, "isolinux", "isolinux.cfg"), menu)
  // The ISO repeats what the files say of their age.
  for (const name of ["", ...(await readdir(content, { recursive: true }))])
    await utimes(join(content, name), epoch, epoch)
  await output({
    program: "xorriso",
    arguments: [
      ...["-as", "mkisofs", "-quiet", "-o", join(image, "appliance.iso"), "-V", "CAH_APPLIANCE", "-R"],
      ...["-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat"],
      ...["-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", content],
    ],
    environment: { SOURCE_DATE_EPOCH: `${epoch}` },
  })
}

// ---- the manifest -----------------------------------------------------------------------------------------------

async function describe(options: BuildOptions, image: string, tree: Tree, epoch: number): Promise<ImageManifest> {
  const { recipe, version, withIso } = options
  const day = new Date(epoch * 1_000).toISOString().slice(0, 10).replaceAll("-", "")
  return {
    name: recipe.name,
    version: `${version}+${day}`,
    arch: "x86_64",
    kernelCommand: KERNEL_COMMAND,
    minMemoryMb: recipe.memoryMb,
    files: {
      kernel: await measured(join(image, "kernel")),
      initrd: await measured(join(image, "initrd")),
      root: await measured(join(image, "root")),
      ...(withIso ? { "appliance.iso": await measured(join(image, "appliance.iso")) } : {}),
    },
    packages: [...tree.packages, ...downloadedPackages(tree.downloads.keys())].sort(byName),
  }
}

export async function measured(path: string): Promise<ImageFile> {
  const hash = createHash("sha256")
  await pipeline(createReadStream(path), hash)
  return { sizeBytes: (await stat(path)).size, sha256: hash.digest("hex") }
}

async function putInPlace(image: string, out: string): Promise<void> {
  await mkdir(dirname(out), { recursive: true })
  const fresh = `${out}.new`
  await rm(fresh, { recursive: true, force: true })
  await cp(image, fresh, { recursive: true })
  await rm(out, { recursive: true, force: true })
  await rename(fresh, out)
}
