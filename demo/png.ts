// Reads PNG files, enough to say whether a rendered frame is one: signature, chunk checksums, size, every pixel decoded, and how
// much the picture varies. Written for this because no decoder is among our dependencies; eight and sixteen bits a sample,
// grey, true colour, either with alpha; no palette and no interlace, which no renderer of ours writes.
import { crc32, inflateSync } from "node:zlib"

/** A picture as 8-bit samples, row by row. */
export interface Picture {
  readonly width: number
  readonly height: number
  readonly channels: number
  readonly samples: Uint8Array
}

/** Pixels beyond this are not decoded: 8K video is 33 million. */
const PIXELS_MAX = 64 * 1024 * 1024
const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
const CHANNELS: Record<number, number> = { 0: 1, 2: 3, 4: 2, 6: 4 }

/** Throws an Error that says what is wrong with the file. */
export function decodePng(file: Buffer): Picture {
  if (!file.subarray(0, 8).equals(SIGNATURE)) throw new Error("not a PNG file: the signature is missing")
  let header: Buffer | null = null
  const compressed: Buffer[] = []
  let ended = false
  for (let at = 8; at < file.length && !ended; ) {
    const size = at + 12 <= file.length ? file.readUInt32BE(at) : Number.POSITIVE_INFINITY
    if (at + 12 + size > file.length) throw new Error(`cut short: a chunk at byte ${at} goes beyond the end`)
    const kind = file.toString("latin1", at + 4, at + 8)
    const body = file.subarray(at + 8, at + 8 + size)
    if (crc32(file.subarray(at + 4, at + 8 + size)) !== file.readUInt32BE(at + 8 + size)) {
      throw new Error(`chunk ${kind} at byte ${at} has a wrong checksum`)
    }
    if (kind === "IHDR") header = body
    if (kind === "IDAT") compressed.push(body)
    ended = kind === "IEND"
    at += 12 + size
  }
  if (header === null || header.length !== 13) throw new Error("no header chunk")
  if (!ended) throw new Error("cut short: the end chunk is missing")

  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)]
  const [depth, colour, interlace] = [header.readUInt8(8), header.readUInt8(9), header.readUInt8(12)]
  const channels = CHANNELS[colour]
  if (channels === undefined || (depth !== 8 && depth !== 16) || interlace !== 0) {
    throw new Error(
      `a kind of PNG that no renderer of ours writes: colour ${colour}, depth ${depth}, interlace ${interlace}`,
    )
  }
  if (width === 0 || height === 0 || width * height > PIXELS_MAX)
    throw new Error(`${width}x${height} is no size for a frame`)

  const pixelBytes = (channels * depth) / 8
  const rowBytes = width * pixelBytes
  const rawBytes = height * (rowBytes + 1)
  const raw = inflateSync(Buffer.concat(compressed), { maxOutputLength: rawBytes + 1 })
  if (raw.length !== rawBytes) throw new Error(`${raw.length} bytes of pixels where ${rawBytes} belong`)
  const pixels = unfilter(raw, height, rowBytes, pixelBytes)
  const samples = depth === 8 ? pixels : pixels.filter((_, index) => index % 2 === 0) // the high byte says enough
  return { width, height, channels, samples }
}

/** Undoes the five filters of the PNG specification, section 9, in place of a copy without the filter bytes. */
function unfilter(raw: Buffer, height: number, rowBytes: number, pixelBytes: number): Uint8Array {
  const rows = new Uint8Array(height * rowBytes)
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (rowBytes + 1)] ?? 0
    if (filter > 4) throw new Error(`row ${y} has filter ${filter}, which does not exist`)
    for (let x = 0; x < rowBytes; x++) {
      const here = y * rowBytes + x
      const left = x < pixelBytes ? 0 : (rows[here - pixelBytes] ?? 0)
      const up = y === 0 ? 0 : (rows[here - rowBytes] ?? 0)
      const upLeft = y === 0 || x < pixelBytes ? 0 : (rows[here - rowBytes - pixelBytes] ?? 0)
      rows[here] = (raw[y * (rowBytes + 1) + 1 + x] ?? 0) + predicted(filter, left, up, upLeft) // wraps at 256, as it should
    }
  }
  return rows
}

function predicted(filter: number, left: number, up: number, upLeft: number): number {
  if (filter === 0) return 0
  if (filter === 1) return left
  if (filter === 2) return up
  if (filter === 3) return (left + up) >> 1
  const [byLeft, byUp, byBoth] = [Math.abs(up - upLeft), Math.abs(left - upLeft), Math.abs(left + up - 2 * upLeft)]
  if (byLeft <= byUp && byLeft <= byBoth) return left
  return byUp <= byBoth ? up : upLeft
}

/** Variance of the brightness, 0 for a picture of one colour. The demo's night scene has several hundred. */
export function variance({ samples, channels }: Picture): number {
  const colours = channels >= 3 ? 3 : 1
  let [count, sum, squares] = [0, 0, 0]
  for (let at = 0; at < samples.length; at += channels) {
    let brightness = 0
    for (let c = 0; c < colours; c++) brightness += (samples[at + c] ?? 0) / colours
    count += 1
    sum += brightness
    squares += brightness * brightness
  }
  return count === 0 ? 0 : squares / count - (sum / count) ** 2
}
