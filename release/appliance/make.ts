// From a recipe to an image on this machine's disk, with what only this project knows: where images go, which agent goes in, and its version.
// Says on stderr what is being done; what came out is the caller's to print.
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { type Built, build } from "../../appliance/build.ts"
import { readRecipe } from "../../appliance/recipe.ts"
import manifest from "../../package.json" with { type: "json" }
import { root } from "../../scripts/files.ts"
import { agentBundle, licencesOf, writeBundle } from "../bundle.ts"

/** Each image in a directory of its name. */
export const images = join(root, "dist", "appliance")

export interface MakeOptions {
  readonly out?: string | undefined
  readonly mirror?: string | undefined
  readonly withIso: boolean
}

export async function makeImage(path: string, options: MakeOptions): Promise<Built & { readonly out: string }> {
  const recipe = readRecipe(path)
  const out = resolve(options.out ?? join(images, recipe.name))
  const work = await mkdtemp(join(tmpdir(), "cah-bundle-"))
  const began = performance.now()
  const onStep = (step: string): void => {
    const seconds = ((performance.now() - began) / 1_000).toFixed(1).padStart(6)
    process.stderr.write(`${seconds} s  ${step}\n`)
  }
  try {
    const agent = join(work, "cah-agent.mjs")
    const licences = await licencesOf(await writeBundle(agentBundle, agent))
    const mirror = options.mirror ?? (process.env.CAH_APT_MIRROR || null)
    const { version } = manifest
    const built = await build({ recipe, agent, licences, out, version, mirror, withIso: options.withIso, onStep })
    return { ...built, out }
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}
