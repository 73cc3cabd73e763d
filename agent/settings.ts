// What the launcher told this guest, read straight from the block device that carries it: no mount, no driver for its file system. The device
// may be larger than the image, may be missing or may hold something else; each is said in words. Reads only.
import { closeSync, openSync, readSync } from "node:fs"
import { FieldError } from "../proto/guest/fields.ts"
import { ISO_MAX_BYTES, IsoError, readIso } from "../proto/guest/iso.ts"
import { type GuestSettings, parseSettings, SETTINGS_FILE } from "../proto/guest/settings.ts"
import { Failure } from "./core/ports.ts"

/** Failure (final) if they are not there or make no sense. */
export function readGuestSettings(device: string): GuestSettings {
  try {
    const file = readIso(readBeginning(device))
    if (file.name !== SETTINGS_FILE) throw new IsoError(`it holds ${file.name}, not ${SETTINGS_FILE}`)
    return parseSettings(Buffer.from(file.bytes).toString("utf8"))
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (cause instanceof FieldError) throw new Failure(`${device}: ${cause.message}`, { final: true, cause })
    if (!(cause instanceof IsoError) && code === undefined) throw cause
    const why = code === "ENOENT" ? "it is not there" : (cause as Error).message
    throw new Failure(`${device} should be the disk with the guest's settings: ${why}`, { final: true, cause })
  }
}

/** A device tells no size by stat, so it is read until it ends or there is enough. */
function readBeginning(device: string): Uint8Array {
  const bytes = Buffer.alloc(ISO_MAX_BYTES)
  const handle = openSync(device, "r")
  try {
    let length = 0
    while (length < bytes.length) {
      const read = readSync(handle, bytes, length, bytes.length - length, length)
      if (read === 0) break
      length += read
    }
    return bytes.subarray(0, length)
  } finally {
    closeSync(handle)
  }
}
