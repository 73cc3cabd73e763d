// Checks what came back: each frame once, a PNG of the right size, every pixel decoded, and not blank.
import { copyFile, mkdir, readdir, readFile } from "node:fs/promises"
import { basename, join } from "node:path"
import type { Options } from "./options.ts"
import { decodePng, variance } from "./png.ts"
import { frameName } from "./renderers.ts"

/** Below this a frame counts as blank. One colour has 0; the scene has 700 to 900, by either renderer, from every side. */
const VARIANCE_MIN = 50

export interface FrameCheck {
  readonly ok: number
  /** Files beyond one for a frame. */
  readonly duplicates: number
  /** One sentence for each thing that is wrong. */
  readonly complaints: readonly string[]
}

/** Looks through everything under `fetched` and puts the good frames into `folder`, where ffmpeg wants them. */
export async function checkFrames(fetched: string, folder: string, options: Options): Promise<FrameCheck> {
  await mkdir(folder, { recursive: true })
  const files = (await readdir(fetched, { recursive: true, withFileTypes: true })).filter(
    entry => entry.isFile() && entry.name.endsWith(".png"),
  )
  const complaints: string[] = []
  let [ok, duplicates] = [0, 0]
  for (let frame = 0; frame < options.frames; frame++) {
    const name = frameName(frame, options.frames)
    const mine = files.filter(entry => basename(entry.name) === name)
    duplicates += Math.max(0, mine.length - 1)
    const [first] = mine
    if (first === undefined) {
      complaints.push(`frame ${frame}: ${name} is missing`)
      continue
    }
    const path = join(first.parentPath, first.name)
    const wrong = await wrongWith(path, options)
    if (wrong === null) {
      ok += 1
      await copyFile(path, join(folder, name))
    } else complaints.push(`frame ${frame}: ${wrong}`)
  }
  return { ok, duplicates, complaints }
}

async function wrongWith(path: string, { width, height }: Options): Promise<string | null> {
  try {
    const picture = decodePng(await readFile(path))
    if (picture.width !== width || picture.height !== height)
      return `is ${picture.width}x${picture.height}, not ${width}x${height}`
    const varies = variance(picture)
    return varies < VARIANCE_MIN ? `is blank (its brightness varies by ${varies.toFixed(1)})` : null
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
