// The version of this hub, as its package says. Not read at run time: a bundle carries it.
import manifest from "../package.json" with { type: "json" }

export const { version } = manifest
