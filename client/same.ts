// Whether two files hold the same bytes. Reads both in step and stops at the first difference; follows no link.
import { constants } from "node:fs"
import { type FileHandle, open } from "node:fs/promises"

const BUFFER_BYTES = 256 * 1024

export async function sameContent(a: string, b: string): Promise<boolean> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const handles: FileHandle[] = []
  try {
    handles.push(await open(a, flags))
    handles.push(await open(b, flags))
    const [first, second] = handles
    if (first === undefined || second === undefined) return false
    const [one, two] = [await first.stat(), await second.stat()]
    if (!one.isFile() || !two.isFile() || one.size !== two.size) return false
    const [left, right] = [Buffer.allocUnsafe(BUFFER_BYTES), Buffer.allocUnsafe(BUFFER_BYTES)]
    for (let position = 0; position < one.size; ) {
      const want = Math.min(BUFFER_BYTES, one.size - position)
      await readExactly(first, left, want, position)
      await readExactly(second, right, want, position)
      if (left.compare(right, 0, want, 0, want) !== 0) return false
      position += want
    }
    return true
  } catch (thrown) {
    // A link or a directory in the second's place is simply not the same.
    if (thrown instanceof Error && "code" in thrown && (thrown.code === "ELOOP" || thrown.code === "EISDIR"))
      return false
    throw thrown
  } finally {
    for (const handle of handles) await handle.close()
  }
}

async function readExactly(handle: FileHandle, buffer: Buffer, bytes: number, position: number): Promise<void> {
  for (let got = 0; got < bytes; ) {
    const { bytesRead } = await handle.read(buffer, got, bytes - got, position + got)
    if (bytesRead === 0) throw new Error("a file shrank while it was compared")
    got += bytesRead
  }
}
