// Kernel and initial root file system from two Debian packages: the kernel's image as it is, the few modules that the guest needs with all
// that those need, busybox, and our init. Computes; the packages come from tree.ts.
import tar from "tar-stream"
import { type CpioEntry, writeCpio } from "./cpio.ts"
import { ApplianceError } from "./errors.ts"
import { output, start } from "./tools.ts"

/** Loaded at once, in this order: disks, root, network, power button. */
const alwaysModules = ["virtio_blk", "squashfs", "overlay", "virtio_net", "evdev", "button", "virtio_rng"]
/** Loaded when no root was found with those: the disks and drives of VirtualBox, and the ISO that it boots. */
const diskModules = ["ahci", "ata_piix", "virtio_scsi", "sd_mod", "sr_mod", "isofs", "loop"]

/** Applets that init calls by name. */
const applets = ["sh", "mount", "umount", "insmod", "switch_root", "cat", "dd", "echo", "mkdir", "sleep", "losetup"]
const moreApplets = ["chroot", "cp", "ip", "poweroff", "tr", "mknod", "sync", "blockdev"]

export interface BootFiles {
  readonly kernel: Buffer
  readonly initrd: Buffer
}

export async function bootFiles(downloads: ReadonlyMap<string, Buffer>, init: string): Promise<BootFiles> {
  const kernelPackage = find(downloads, /^linux-image-\d[^_]*_.*\.deb$/, "the kernel's package")
  const busybox = find(downloads, /^busybox-static_.*\.deb$/, "busybox-static")
  let kernel: Buffer | null = null
  const modules = new Map<string, Buffer>()
  for await (const { path, bytes } of filesOf(kernelPackage, path => /^boot\/vmlinuz-|\.ko(\.xz)?$/.test(path))) {
    if (path.startsWith("boot/")) kernel = bytes
    else modules.set(moduleName(path), bytes)
  }
  if (kernel === null) throw new ApplianceError("the kernel's package holds no boot/vmlinuz-…")
  const tools: Buffer[] = []
  for await (const { bytes } of filesOf(busybox, path => /(^|\/)bin\/busybox$/.test(path))) tools.push(bytes)
  if (tools[0] === undefined) throw new ApplianceError("busybox-static holds no bin/busybox")
  const entries = await initrdEntries(init, tools[0], modules)
  // The kernel knows no other check than CRC32.
  const packed = await output({ program: "xz", arguments: ["--check=crc32", "-9e", "--threads=1"] }, writeCpio(entries))
  return { kernel, initrd: packed }
}

async function initrdEntries(init: string, busybox: Buffer, modules: Map<string, Buffer>): Promise<CpioEntry[]> {
  const plain = new Map<string, Buffer>()
  const first = await inOrder(alwaysModules, modules, plain)
  const second = (await inOrder(diskModules, modules, plain)).filter(name => !first.includes(name))
  const list = (names: readonly string[]): Buffer => Buffer.from(names.map(name => `${name}\n`).join(""))
  const directories = ["bin", "dev", "iso", "lower", "modules", "over", "proc", "root", "sys"]
  return [
    ...directories.map(path => ({ kind: "directory", path }) as const),
    { kind: "file", path: "init", mode: 0o755, bytes: Buffer.from(init) },
    { kind: "file", path: "bin/busybox", mode: 0o755, bytes: busybox },
    ...[...applets, ...moreApplets].map(name => ({ kind: "link", path: `bin/${name}`, target: "busybox" }) as const),
    { kind: "file", path: "modules/first", mode: 0o644, bytes: list(first) },
    { kind: "file", path: "modules/second", mode: 0o644, bytes: list(second) },
    ...[...first, ...second].map(
      name => ({ kind: "file", path: `modules/${name}.ko`, mode: 0o644, bytes: plain.get(name)! }) as const,
    ),
  ]
}

/** The wanted modules behind all that they need. Fills `plain` with what they are once unpacked. */
async function inOrder(
  wanted: readonly string[],
  modules: ReadonlyMap<string, Buffer>,
  plain: Map<string, Buffer>,
): Promise<string[]> {
  const order: string[] = []
  const visit = async (name: string, by: string): Promise<void> => {
    if (order.includes(name)) return
    let bytes = plain.get(name)
    if (bytes === undefined) {
      const packed = modules.get(name)
      if (packed === undefined) throw new ApplianceError(`the kernel has no module ${name}, which ${by} needs`)
      bytes = packed[0] === 0xfd ? await output({ program: "xz", arguments: ["-dc"] }, packed) : packed
      plain.set(name, bytes)
    }
    for (const needed of neededBy(bytes)) await visit(needed, name)
    order.push(name)
  }
  for (const name of wanted) await visit(name, "the guest")
  return order
}

/** What a module says of itself in its section .modinfo: "depends=failover,net_failover". */
export function neededBy(module: Buffer): string[] {
  const at = module.indexOf("\0depends=", 0, "latin1")
  if (at < 0) return []
  const from = at + "\0depends=".length
  const names = module.toString("latin1", from, module.indexOf(0, from))
  return names === "" ? [] : names.split(",").map(name => name.replaceAll("-", "_"))
}

function moduleName(path: string): string {
  const file = path.slice(path.lastIndexOf("/") + 1)
  return file.replace(/\.ko(\.xz)?$/, "").replaceAll("-", "_")
}

function find(downloads: ReadonlyMap<string, Buffer>, name: RegExp, what: string): Buffer {
  const found = [...downloads].find(([file]) => name.test(file))
  if (found === undefined) throw new ApplianceError(`${what} was not downloaded: ${[...downloads.keys()].join(", ")}`)
  return found[1]
}

/** Files of a Debian package whose paths are wanted. */
async function* filesOf(
  debian: Buffer,
  isWanted: (path: string) => boolean,
): AsyncGenerator<{ readonly path: string; readonly bytes: Buffer }> {
  const unpacking = start({ program: "dpkg-deb", arguments: ["--fsys-tarfile", "-"] })
  unpacking.stdin.end(debian)
  const extract = tar.extract()
  unpacking.stdout.pipe(extract)
  for await (const entry of extract) {
    const path = entry.header.name.replace(/^\.\//, "")
    if (entry.header.type === "file" && isWanted(path)) yield { path, bytes: await contentOf(entry) }
    else entry.resume()
  }
  await unpacking.ended
}

async function contentOf(entry: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of entry) chunks.push(chunk as Uint8Array)
  return Buffer.concat(chunks)
}

/** Name and version of what was downloaded, "busybox-static_1%3a1.37.0-6_amd64.deb". */
export function downloadedPackages(downloads: Iterable<string>): { name: string; version: string }[] {
  return [...downloads].flatMap(file => {
    const [, name, version] = /^([^_]+)_([^_]+)_[^_]+\.deb$/.exec(file) ?? []
    return name === undefined || version === undefined ? [] : [{ name, version: decodeURIComponent(version) }]
  })
}
