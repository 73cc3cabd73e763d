// The images that a release is made of, into dist/appliance/: `npm run package -- appliance`, or of one recipe, `… appliance povray`. Not signed: the release
// key is elsewhere (`npm run appliance -- sign`).
import { join } from "node:path"
import { describeImage } from "../../appliance/report.ts"
import { root } from "../../scripts/files.ts"
import { makeImage } from "../appliance/make.ts"

const recipes = ["base", "povray"]

export async function packageAppliance(directory: string, names: readonly string[]): Promise<void> {
  for (const name of names.length === 0 ? recipes : names) {
    const out = join(directory, "appliance", name)
    const { manifest } = await makeImage(join(root, "appliance", "recipes", `${name}.yaml`), { out, withIso: true })
    console.log(`${out}\n${describeImage(manifest)}`)
  }
}
