// Numbers and sizes as they stand in what is asked of nodes and in what nodes report: read alike on both sides of a comparison.

/** Properties in bytes. A number without a unit is GiB there, as people speak of memory: "mem > 64". Printed with its unit. */
export const SIZE_PROPERTIES: readonly string[] = ["mem", "disk"]

const numeric = /^([+-]?(?:\d{1,30}\.?\d{0,30}|\.\d{1,30}))(?:([KMGT])(?:iB?)?)?$/i
const powers = ["", "K", "M", "G", "T"]

/** "64", "-1.5", "64G" and "64GiB" (both 2^36), or null. Not "64GB", which is less for some. Nodes' values are read alike. */
export function readNumber(text: string): number | null {
  // Most values are words: none of a number's first characters stands behind "9".
  if (text.charCodeAt(0) > 0x39) return null
  const match = numeric.exec(text)
  return match === null ? null : Number(match[1]) * 1024 ** powers.indexOf((match[2] ?? "").toUpperCase())
}
