// The file of --json: rows that were measured on one machine, each with its own moment, commit and load, so that rows of different quiet
// hours can stand together. What is read is checked to the last field, because the page of it is believed; what is written replaces
// the file at once, because it may hold hours of measuring.
import { access, constants, mkdir, readFile, rename, writeFile } from "node:fs/promises"
import { dirname, resolve } from "node:path"
import { z } from "zod"
import { type Row, rowNames } from "./figures.ts"
import type { Machine } from "./machine.ts"

/** Goes up when an older page could no longer be made from it. */
const FORMAT = 1

/** When and in what surroundings a row was measured. */
export interface Measured {
  /** ISO 8601, of its beginning. */
  readonly at: string
  readonly seconds: number
  readonly commit: string
  readonly command: string
  /** The machine's load average just before, when it was nobody of ours, and just after. */
  readonly load: { readonly before: number; readonly after: number }
}

export type MeasuredRow = Row & { readonly measured: Measured }

export interface Results {
  readonly format: typeof FORMAT
  readonly quick: boolean
  readonly machine: Machine
  /** In the order of rowNames; those that were not measured are not there. */
  readonly rows: readonly MeasuredRow[]
}

/** The file is not what it must be. The message says which file, what is wrong, and what to do. */
export class BadResults extends Error {}

// JSON has no NaN: what could not be measured is null in the file.
const number = z
  .number()
  .nullable()
  .transform(value => value ?? Number.NaN)
const values = z.array(number).min(1)
const optional = <T extends z.ZodType>(schema: T) => z.exactOptional(schema)

const figure = z.strictObject({
  name: z.string(),
  unit: z.string(),
  subject: z.string(),
  series: optional(z.string()),
  x: optional(z.number()),
  values,
  ratio: optional(z.strictObject({ to: z.string(), values })),
  target: optional(
    z.strictObject({ of: z.enum(["value", "ratio"]), min: optional(z.number()), max: optional(z.number()) }),
  ),
})

const row = z.strictObject({
  name: z.enum(rowNames),
  work: z.string(),
  measured: z.strictObject({
    at: z.iso.datetime(),
    seconds: z.number(),
    commit: z.string(),
    command: z.string(),
    load: z.strictObject({ before: number, after: number }),
  }),
  figures: z.array(figure).min(1),
  caveats: z.array(z.string()),
  skipped: optional(z.array(z.string())),
  peers: optional(
    z.array(
      z.strictObject({
        name: z.string(),
        versions: z.array(z.string()),
        isDurable: z.boolean(),
        durability: z.string(),
      }),
    ),
  ),
  notes: optional(z.array(z.string())),
})

const schema = z.strictObject({
  format: z.literal(FORMAT),
  quick: z.boolean(),
  machine: z.strictObject({
    cpu: z.string(),
    cores: z.number(),
    memoryBytes: z.number(),
    kernel: z.string(),
    node: z.string(),
    pinned: z.string(),
  }),
  rows: z.array(row),
})

/** Throws BadResults, also where there is no such file. */
export async function readResults(file: string): Promise<Results> {
  const results = await findResults(file)
  if (results === null) {
    throw new BadResults(`${file}: there is no such file; npm run bench -- --json ${file} would measure and write it`)
  }
  return results
}

/** Null: there is no such file yet. */
async function findResults(file: string): Promise<Results | null> {
  let text: string
  try {
    text = await readFile(file, "utf8")
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null
    throw new BadResults(`${file} cannot be read: ${(error as Error).message}`)
  }
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw new BadResults(`${file} is not JSON: ${(error as Error).message}`)
  }
  const format = (json as { format?: unknown } | null)?.format
  if (format !== FORMAT) {
    const said = format === undefined ? "names no format" : `is of format ${JSON.stringify(format)}`
    throw new BadResults(
      `${file} ${said}, and this version of the benchmark knows format ${FORMAT} alone: measure again into another file`,
    )
  }
  const parsed = schema.safeParse(json)
  if (!parsed.success) {
    throw new BadResults(`${file} is not a file of results:\n${z.prettifyError(parsed.error)}`)
  }
  const { rows } = parsed.data
  const twice = rows.find(({ name }, i) => rows.findIndex(one => one.name === name) !== i)
  if (twice !== undefined) throw new BadResults(`${file} has the row ${twice.name} twice: remove one of them`)
  return parsed.data
}

/** What all figures of one file have in common. */
export type Surroundings = Pick<Results, "quick" | "machine">

/**
 * Makes the file's folder. Throws BadResults where rows that are about to be measured could not be kept there, which is to be known before
 * hours of measuring.
 */
export async function demandKeeps(file: string, here: Surroundings): Promise<void> {
  try {
    const folder = dirname(resolve(file))
    await mkdir(folder, { recursive: true })
    await access(folder, constants.W_OK)
  } catch (error) {
    throw new BadResults(`${file} could not be written: ${(error as Error).message}`)
  }
  const there = await findResults(file)
  if (there !== null) demandAlike(file, there, here)
}

/** Puts the row into the file, in the place of an older one; other rows stay as they are. */
export async function keepRow(file: string, here: Surroundings, row: MeasuredRow): Promise<void> {
  const there = await findResults(file)
  if (there !== null) demandAlike(file, there, here)
  await writeResults(file, merged(there, here, row))
}

export function merged(there: Results | null, here: Surroundings, row: MeasuredRow): Results {
  const all = new Map([...(there?.rows ?? []), row].map(one => [one.name, one]))
  return { format: FORMAT, ...here, rows: rowNames.flatMap(name => all.get(name) ?? []) }
}

function demandAlike(file: string, there: Surroundings, here: Surroundings): void {
  if (there.quick !== here.quick) {
    const [had, measured] = there.quick ? ["--quick", "full"] : ["full", "--quick"]
    throw new BadResults(
      `${file} has ${had} figures, and ${measured} ones must not stand among them: name another file`,
    )
  }
  for (const key of ["cpu", "cores", "node", "pinned"] as const) {
    if (there.machine[key] === here.machine[key]) continue
    throw new BadResults(
      `${file} is of another machine (${key}: ${there.machine[key]}, here ${here.machine[key]}): name another file`,
    )
  }
}

/** One figure a line, so that changes of the file can be read. */
function textOf({ rows, ...head }: Results): string {
  const inner = (value: object) => JSON.stringify(value).slice(1, -1)
  const texts = rows.map(({ figures, ...rest }) => {
    const lines = figures.map(one => `   ${JSON.stringify(one)}`)
    return ` {${inner(rest)},\n  "figures": [\n${lines.join(",\n")}\n  ]}`
  })
  return `{${inner(head)},\n"rows": [\n${texts.join(",\n")}\n]}\n`
}

async function writeResults(file: string, results: Results): Promise<void> {
  const part = `${file}.part`
  await writeFile(part, textOf(results))
  await rename(part, file)
}
