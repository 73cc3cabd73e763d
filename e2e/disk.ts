// A file system whose power can be cut: ext4 in a file, mounted by a loop device, and shut down by the kernel without flushing, so
// that every byte that nobody had made durable is gone. Needs root. Only ever touches the mount it made: shutting down a directory
// that is not a mount of its own would stop the machine's own file system, so that is checked right before.
import { execFile } from "node:child_process"
import { mkdir, readFile, truncate, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"

const run = promisify(execFile)

/** Room for a hub with some thousand jobs. Sparse: only what is written takes space. */
const DISK_BYTES = 400 * 1024 * 1024

export class CuttableDisk {
  readonly #image: string
  readonly path: string

  private constructor(place: string) {
    this.#image = join(place, "disk.img")
    this.path = join(place, "disk")
  }

  /** Null, with the reason, where this machine cannot do it. */
  static async make(place: string): Promise<CuttableDisk | string> {
    if (process.getuid?.() !== 0) return "needs root, to mount a file system"
    const disk = new CuttableDisk(place)
    await mkdir(disk.path)
    await writeFile(disk.#image, "")
    await truncate(disk.#image, DISK_BYTES)
    try {
      await run("mkfs.ext4", ["-q", disk.#image])
      await run("xfs_io", ["-V"])
      await disk.mount()
    } catch (error) {
      return `cannot mount a file system of its own here: ${error instanceof Error ? error.message : String(error)}`
    }
    return disk
  }

  async mount(): Promise<void> {
    await run("mount", ["-o", "loop", this.#image, this.path])
  }

  async unmount(): Promise<void> {
    if (await this.#mounted()) await run("umount", [this.path])
  }

  /** Everything not made durable is gone from here on; writes fail. Unmount and mount to see what is left. */
  async cut(): Promise<void> {
    if (!(await this.#mounted()))
      throw new Error(`${this.path} is not mounted: refusing to shut down the file system under it`)
    await run("xfs_io", ["-x", "-c", "shutdown", this.path]) // without -f: the log is not flushed first
  }

  async #mounted(): Promise<boolean> {
    return (await readFile("/proc/mounts", "utf8")).split("\n").some(line => line.split(" ")[1] === this.path)
  }
}
