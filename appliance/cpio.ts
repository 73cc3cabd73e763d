// An initial root file system as bytes: the "newc" form of cpio, which the kernel unpacks (its Documentation/driver-api/early-userspace).
// The same entries give the same bytes: no clocks, owners or inode numbers of this machine. Pure.

export type CpioEntry =
  | { readonly kind: "directory"; readonly path: string }
  | { readonly kind: "file"; readonly path: string; readonly mode: number; readonly bytes: Uint8Array }
  | { readonly kind: "link"; readonly path: string; readonly target: string }

const types = { directory: 0o040000, file: 0o100000, link: 0o120000 } as const

/** Entries in this order: a directory before what is in it. Paths are relative, "bin/busybox". */
export function writeCpio(entries: readonly CpioEntry[]): Uint8Array {
  const parts = entries.map((entry, index) => {
    const bytes = entry.kind === "file" ? entry.bytes : Buffer.from(entry.kind === "link" ? entry.target : "")
    const permissions = entry.kind === "file" ? entry.mode : entry.kind === "link" ? 0o777 : 0o755
    return record(index + 1, types[entry.kind] | permissions, entry.kind === "directory" ? 2 : 1, entry.path, bytes)
  })
  return Buffer.concat([...parts, record(0, 0, 1, "TRAILER!!!", new Uint8Array(0))])
}

function record(inode: number, mode: number, links: number, path: string, bytes: Uint8Array): Uint8Array {
  const name = Buffer.from(`${path}\0`)
  // Inode, mode, owner, group, links, moment, size, four device numbers, length of the name, and a checksum that this form does not use.
  const fields = [inode, mode, 0, 0, links, 0, bytes.length, 0, 0, 0, 0, name.length, 0]
  const head = Buffer.from(`070701${fields.map(field => field.toString(16).toUpperCase().padStart(8, "0")).join("")}`)
  return Buffer.concat([padded(Buffer.concat([head, name])), padded(bytes)])
}

/** Header with name, and content, each end at a multiple of four. */
function padded(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)])
}
