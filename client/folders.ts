// Making folders. Node's own mkdir({recursive: true}) never returns where the system answers ENOENT below a folder that is there, as /proc does.
import { mkdir, stat } from "node:fs/promises"
import { dirname } from "node:path"

/** With those above it. Rejects as mkdir does. */
export async function makeFolder(path: string, mode = 0o777): Promise<void> {
  try {
    await mkdir(path, { mode })
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code
    if (code === "EEXIST" && (await isFolder(path))) return
    const above = dirname(path)
    if (code !== "ENOENT" || above === path) throw thrown
    if (!(await isFolder(above))) await makeFolder(above, mode)
    // Once: what is there and still takes nothing is no place to write to. Another process may have made either meanwhile.
    await mkdir(path, { mode }).catch(async again => {
      if (!(await isFolder(path))) throw again
    })
  }
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isDirectory() === true
}
