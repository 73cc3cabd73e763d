// How far two words are apart, to ask "did you mean …?". Pure. What counts as near enough is the asker's: a long flag may be two slips away,
// a property's AND only one.

/**
 * Slips of the hand between two words: a letter too many, too few, wrong, or swapped with its neighbour (optimal string alignment, which is
 * Levenshtein's distance with swaps). Takes the product of both lengths: bound what strangers send first.
 */
export function slips(a: string, b: string): number {
  let before: number[] = []
  let above = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      let least = Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) least = Math.min(least, before[j - 2]! + 1)
      row.push(least)
    }
    before = above
    above = row
  }
  return above[b.length]!
}

/** Longer words are nobody's slip of the hand, and not worth comparing. */
const WORD_MAX_CHARACTERS = 64

/** The one of the known words that was probably meant: at most two slips away, or a third of its letters. Null: none is near. */
export function nearest(typed: string, known: Iterable<string>): string | null {
  if (typed.length > WORD_MAX_CHARACTERS) return null
  let best: string | null = null
  let least = Math.max(2, Math.floor(typed.length / 3)) + 1
  for (const word of known) {
    const distance = slips(typed, word)
    if (distance < least) [best, least] = [word, distance]
  }
  return best
}
