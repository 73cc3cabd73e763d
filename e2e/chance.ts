// Chance that can be had again: the same seed gives the same numbers on every machine. For pieces that choose moments and victims;
// whoever uses it prints its seed.

/** Numbers from 0 to below 1. mulberry32: small, and the same everywhere. */
export function chance(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** What was typed, or one that nobody chose. */
export function seedFrom(typed: string | undefined): number {
  const seed = typed === undefined ? Math.floor(Math.random() * 0x7fff_ffff) : Number(typed)
  if (!Number.isSafeInteger(seed) || seed < 0) throw new Error(`--seed "${typed}" is not a whole number`)
  return seed
}
