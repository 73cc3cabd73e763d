// What draws the frames and joins them: POV-Ray and ffmpeg of the distribution. As root they are installed, and that is said;
// otherwise the one command that would is printed, a small renderer of ours draws instead, and there is no video.
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import type { Options } from "./options.ts"

export interface Renderer {
  readonly name: string
  /** Sent once to each node. */
  readonly stagein: string
  /** One line for `sh -c`, the same for every job: it takes its frame from $CAH_ARRAY_INDEX. */
  readonly command: string
  /** The frame that a process with these arguments draws for this run of the demo; null if it does not. */
  frameOf(argv: readonly string[]): number | null
}

type Say = (line: string) => void

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const present = (program: string): boolean => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0

/** POV-Ray numbers its files with as many digits as the last frame has; so do we. */
export function frameName(frame: number, frames: number): string {
  return `frame${String(frame).padStart(String(frames).length, "0")}.png`
}

/** `mark` tells the processes of this run from those of others on the machine. */
export function chooseRenderer(options: Options, mark: number, say: Say): Renderer {
  if (!options.own)
    install(
      ["povray", "ffmpeg"].filter(program => !present(program)),
      say,
    )
  if (!options.own && present("povray")) return povray(options, mark)
  say("rendering with the demo's own small renderer instead of POV-Ray")
  return ownRenderer(options, mark)
}

function install(missing: readonly string[], say: Say): void {
  if (missing.length === 0) return
  const command = `apt-get update && apt-get install -y --no-install-recommends ${missing.join(" ")}`
  const need = `${missing.join(" and ")} ${missing.length > 1 ? "are" : "is"} not installed`
  if (process.getuid?.() !== 0 || !present("apt-get")) {
    say(`${need}; to install: sudo sh -c '${command}'`)
    return
  }
  say(`${need}; installing: ${command}`)
  const { status } = spawnSync("sh", ["-c", command], {
    stdio: ["ignore", "ignore", 2],
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  })
  if (status !== 0) say(`that failed (exit code ${status}); going on without`)
}

function povray({ frames, width, height }: Options, mark: number): Renderer {
  // POV-Ray computes `clock` itself: frame i of 0 … frames stands for clock i / frames. One thread: a job has one slot.
  const command =
    `povray scene.pov -D -GA -V +WT1 +A0.3 +W${width} +H${height} +Oframe.png Declare=Run=${mark} ` +
    `+KI0 +KF1 +KFI0 +KFF${frames} +SF$CAH_ARRAY_INDEX +EF$CAH_ARRAY_INDEX`
  return {
    name: "POV-Ray",
    stagein: here("scene"),
    command,
    frameOf(argv) {
      if (!argv[0]?.endsWith("povray") || !argv.includes(`Declare=Run=${mark}`)) return null
      const frame = /^\+SF(\d+)$/.exec(argv.find(one => one.startsWith("+SF")) ?? "")?.[1]
      return frame === undefined ? null : Number(frame)
    },
  }
}

function ownRenderer({ frames, width, height }: Options, mark: number): Renderer {
  const out = `frame$(printf %0${String(frames).length}d $CAH_ARRAY_INDEX).png`
  return {
    name: "our own renderer",
    stagein: here("renderer"),
    command: `exec node renderer.mjs $CAH_ARRAY_INDEX ${frames} ${width}x${height} ${out} run${mark}`,
    frameOf(argv) {
      const at = argv.indexOf("renderer.mjs")
      return at === 1 && argv.includes(`run${mark}`) ? Number(argv[at + 1]) : null
    },
  }
}

/** The file that the gather job gives back. */
export const VIDEO = "clouds.mp4"

/** The command that joins the frames, each of which lies in a directory of its own; null where ffmpeg is missing, which is said. */
export function videoCommand({ frames }: Options, say: Say): string | null {
  if (!present("ffmpeg")) {
    say("no video: ffmpeg is not installed")
    return null
  }
  // A turn takes six seconds however many frames it has, within what players like.
  const rate = Math.min(60, Math.max(6, Math.round(frames / 12)))
  // yuv420p plays everywhere, and wants even sides.
  const picture = "-vf 'crop=trunc(iw/2)*2:trunc(ih/2)*2' -pix_fmt yuv420p -movflags +faststart"
  return `ffmpeg -v error -y -framerate ${rate} -pattern_type glob -i '*/frame*.png' ${picture} ${VIDEO}`
}
