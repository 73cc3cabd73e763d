// The file of --array-param-file: a line is a job. Blank lines and lines that begin with # are skipped, as OAR does.
// The whole file is read and checked before anything is sent, so that an error on its last line submits nothing.
import { open } from "node:fs/promises"
import { usage } from "./errors.ts"
import { ARRAY_MAX, PARAMETER_FILE_MAX_BYTES, PARAMETER_LINE_MAX_BYTES } from "./limits.ts"

const NEWLINE = 10

/** `path` is for messages; the bytes come from wherever they come. */
export async function readParameters(path: string, source: AsyncIterable<Buffer | string>): Promise<string[]> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of source) {
    const buffer = typeof chunk === "string" ? Buffer.from(chunk) : chunk
    bytes += buffer.length
    if (bytes > PARAMETER_FILE_MAX_BYTES) {
      throw usage(`${path} is larger than ${PARAMETER_FILE_MAX_BYTES} bytes.`, "Split it into several campaigns.")
    }
    chunks.push(buffer)
  }
  const all = Buffer.concat(chunks)
  const lines: string[] = []
  // Each line is decoded by itself, so that an error can name it.
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false })
  for (let start = 0, number = 1; start < all.length; number++) {
    const newline = all.indexOf(NEWLINE, start)
    const end = newline === -1 ? all.length : newline
    const line = checkLine(path, number, all.subarray(start, end), decoder)
    if (line !== null) lines.push(line)
    if (lines.length > ARRAY_MAX) throw usage(`${path}: more than ${ARRAY_MAX} jobs, from line ${number} on.`)
    start = end + 1
  }
  if (lines.length === 0) {
    throw usage(`${path} holds no parameters: all its lines are blank or comments.`, "A line of it is a job.")
  }
  return lines
}

export async function readParameterFile(path: string): Promise<string[]> {
  const handle = await open(path).catch(thrown => {
    throw usage(`The parameter file ${path} cannot be read: ${thrown instanceof Error ? thrown.message : thrown}`)
  })
  try {
    if (!(await handle.stat()).isFile()) throw usage(`The parameter file ${path} is not a file.`)
    return await readParameters(path, handle.createReadStream({ autoClose: false }))
  } finally {
    await handle.close()
  }
}

function checkLine(
  path: string,
  number: number,
  bytes: Buffer,
  decoder: InstanceType<typeof TextDecoder>,
): string | null {
  if (bytes.length > PARAMETER_LINE_MAX_BYTES) {
    throw usage(`${path}, line ${number}: longer than ${PARAMETER_LINE_MAX_BYTES} bytes.`)
  }
  if (bytes.includes(0)) throw usage(`${path}, line ${number}: holds a NUL character, which no argument can.`)
  let line: string
  try {
    line = decoder.decode(bytes)
  } catch {
    throw usage(`${path}, line ${number}: is not UTF-8.`, `Convert the file: iconv -f latin1 -t utf-8 ${path}`)
  }
  const trimmed = line.trim()
  return trimmed === "" || trimmed.startsWith("#") ? null : line.replace(/\r$/, "")
}
