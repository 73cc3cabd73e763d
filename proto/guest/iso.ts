// The smallest disk that every system can read: an ISO 9660 image (level 2) with one file in its root directory. A launcher writes its settings
// into one without root, tools or a file system's driver; the guest attaches it as a read-only disk. Written and read here and
// nowhere else. Pure: bytes in, bytes out, the same bytes for the same file.
//
// References are to ECMA-119, which is ISO 9660. Numbers are stored in both byte orders (7.2.3, 7.3.3).

export interface IsoFile {
  /** Like "CAH.JSON": A-Z, 0-9 and _ with one dot, up to 31 characters (7.5.1, level 2). */
  readonly name: string
  readonly bytes: Uint8Array
}

/** Not an image that writeIso could have made. */
export class IsoError extends Error {
  override readonly name = "IsoError"
}

const SECTOR_BYTES = 2_048
/** Of the file. What is read comes from outside: nobody's memory is its to fill. */
export const ISO_FILE_MAX_BYTES = 1024 * 1024
/** Of a whole image: system area, descriptors, tables, directory, file. A reader needs to look no further. */
export const ISO_MAX_BYTES = 21 * SECTOR_BYTES + ISO_FILE_MAX_BYTES

/** The first sixteen sectors are the system's own (6.2.1); then one thing in each. */
const sectors = { primary: 16, terminator: 17, littleTable: 18, bigTable: 19, root: 20, file: 21 } as const

const volumeName = "CAH"
const standard = "CD001"
/** A root directory record, and the record of a file, without its name (9.1). */
const RECORD_BYTES = 33
const FLAG_DIRECTORY = 2

export function writeIso(file: IsoFile): Uint8Array {
  if (!/^(?=.{3,31}$)[A-Z0-9_]+\.[A-Z0-9_]+$/.test(file.name)) {
    throw new IsoError(`"${file.name}" cannot be a file's name on this image; it must be like "CAH.JSON"`)
  }
  if (file.bytes.length > ISO_FILE_MAX_BYTES) {
    throw new IsoError(`${file.name} has ${file.bytes.length} bytes, more than ${ISO_FILE_MAX_BYTES}`)
  }
  const fileSectors = Math.max(1, Math.ceil(file.bytes.length / SECTOR_BYTES))
  const image = Buffer.alloc((sectors.file + fileSectors) * SECTOR_BYTES)
  const sector = (number: number): Buffer => image.subarray(number * SECTOR_BYTES, (number + 1) * SECTOR_BYTES)
  writePrimary(sector(sectors.primary), sectors.file + fileSectors)
  writeDescriptorHead(sector(sectors.terminator), 255)
  writePathTable(sector(sectors.littleTable), "little")
  writePathTable(sector(sectors.bigTable), "big")
  const root = sector(sectors.root)
  let offset = 0
  // A directory begins with itself and its parent, named by the bytes 0 and 1 (6.8.2.2).
  for (const name of ["\0", "\x01"]) offset += writeRecord(root, offset, name, sectors.root, SECTOR_BYTES, true)
  writeRecord(root, offset, `${file.name};1`, sectors.file, file.bytes.length, false)
  image.set(file.bytes, sectors.file * SECTOR_BYTES)
  return image
}

/** The only file of an image, or of the beginning of a disk that holds one. */
export function readIso(image: Uint8Array): IsoFile {
  const bytes = Buffer.from(image.buffer, image.byteOffset, image.byteLength)
  const primary = sliceOf(bytes, sectors.primary * SECTOR_BYTES, SECTOR_BYTES, "its descriptor")
  if (primary[0] !== 1 || primary.toString("latin1", 1, 6) !== standard) {
    throw new IsoError("this is no ISO 9660 image: its sector 16 is no volume descriptor")
  }
  const root = primary.subarray(156, 156 + RECORD_BYTES + 1)
  const directory = sliceOf(bytes, root.readUInt32LE(2) * SECTOR_BYTES, SECTOR_BYTES, "its directory")
  const files: IsoFile[] = []
  for (let offset = 0; directory[offset]; offset += directory[offset]!) {
    const record = sliceOf(directory, offset, directory[offset]!, "a record of its directory")
    const named = record.length > RECORD_BYTES ? record[32]! : 0
    if (named === 0 || RECORD_BYTES + named > record.length) throw new IsoError("a record of its directory has no name")
    if ((record[25]! & FLAG_DIRECTORY) !== 0) continue
    const name = record.toString("latin1", RECORD_BYTES, RECORD_BYTES + named).replace(/;\d+$/, "")
    const length = record.readUInt32LE(10)
    if (length > ISO_FILE_MAX_BYTES) {
      throw new IsoError(`its file ${name} has ${length} bytes, more than ${ISO_FILE_MAX_BYTES}`)
    }
    files.push({ name, bytes: sliceOf(bytes, record.readUInt32LE(2) * SECTOR_BYTES, length, `its file ${name}`) })
  }
  if (files.length !== 1) throw new IsoError(`the image holds ${files.length} files; it should hold one`)
  return files[0]!
}

function sliceOf(bytes: Buffer, offset: number, length: number, what: string): Buffer {
  if (offset + length > bytes.length) {
    throw new IsoError(`the image is cut short: ${what} would end at byte ${offset + length} of ${bytes.length}`)
  }
  return bytes.subarray(offset, offset + length)
}

// ---- the structures ---------------------------------------------------------------------------------------------

/** 8.1: type, standard identifier, version. */
function writeDescriptorHead(sector: Buffer, type: number): void {
  sector[0] = type
  sector.write(standard, 1, "latin1")
  sector[6] = 1
}

/** 8.4: offsets are those of the standard less one. */
function writePrimary(sector: Buffer, volumeSectors: number): void {
  writeDescriptorHead(sector, 1)
  // Texts that say nothing are spaces, never zeros.
  sector.fill(" ", 8, 72)
  sector.write(volumeName, 40, "latin1")
  writeBoth32(sector, 80, volumeSectors)
  // One volume, the first, of sectors of this size.
  writeBoth16(sector, 120, 1)
  writeBoth16(sector, 124, 1)
  writeBoth16(sector, 128, SECTOR_BYTES)
  writeBoth32(sector, 132, pathTableBytes)
  sector.writeUInt32LE(sectors.littleTable, 140)
  sector.writeUInt32BE(sectors.bigTable, 148)
  writeRecord(sector, 156, "\0", sectors.root, SECTOR_BYTES, true)
  sector.fill(" ", 190, 813)
  // Four moments that are not specified (8.4.26.1): no clock makes two images differ.
  for (const offset of [813, 830, 847, 864]) sector.fill("0", offset, offset + 16)
  sector[881] = 1
}

const pathTableBytes = 10

/** 9.4: the root directory is all there is, and its own parent. */
function writePathTable(sector: Buffer, order: "little" | "big"): void {
  sector[0] = 1
  if (order === "little") {
    sector.writeUInt32LE(sectors.root, 2)
    sector.writeUInt16LE(1, 6)
  } else {
    sector.writeUInt32BE(sectors.root, 2)
    sector.writeUInt16BE(1, 6)
  }
}

/** 9.1. Returns the record's length, which is even. */
function writeRecord(
  sector: Buffer,
  offset: number,
  name: string,
  extent: number,
  lengthBytes: number,
  isDirectory: boolean,
): number {
  const recordBytes = RECORD_BYTES + name.length + ((RECORD_BYTES + name.length) % 2)
  const record = sector.subarray(offset, offset + recordBytes)
  record[0] = recordBytes
  writeBoth32(record, 2, extent)
  writeBoth32(record, 10, lengthBytes)
  // 1980-01-01, the oldest that every system can show.
  record.set([80, 1, 1, 0, 0, 0, 0], 18)
  record[25] = isDirectory ? FLAG_DIRECTORY : 0
  writeBoth16(record, 28, 1)
  record[32] = name.length
  record.write(name, RECORD_BYTES, "latin1")
  return recordBytes
}

function writeBoth16(bytes: Buffer, offset: number, value: number): void {
  bytes.writeUInt16LE(value, offset)
  bytes.writeUInt16BE(value, offset + 2)
}

function writeBoth32(bytes: Buffer, offset: number, value: number): void {
  bytes.writeUInt32LE(value, offset)
  bytes.writeUInt32BE(value, offset + 4)
}
