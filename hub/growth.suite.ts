// For tests: how the work of reading a text grows with the text, in the processor time of this process, so that a loaded machine
// changes nothing. Nothing else imports this.
const SMALL = 32 * 1024
const TIMES = 8
/** Below this a figure is noise, and whatever grows from there to less than `TIMES` times as much does no harm. */
const FLOOR_MS = 2
/** Of eight times as much text: 8 for a linear reader, 64 for a quadratic one. */
const GROWTH_MAX = 20

/** Texts that a reader might stumble over: a beginning, and then one thing again and again. */
export interface Hostile {
  readonly begin: string
  readonly again: string
}

/** Those that make the reader work out of all proportion, with figures. What it throws is an answer like any other. */
export function disproportionate(read: (text: string) => unknown, texts: readonly Hostile[]): string[] {
  const found: string[] = []
  for (const { begin, again } of texts) {
    const of = (length: number, tries: number) => {
      const text = begin + again.repeat(Math.ceil(length / again.length))
      return Math.min(...Array.from({ length: tries }, () => processorMs(read, text)))
    }
    // Mostly one try says that all is well.
    if (of(SMALL * TIMES, 1) <= GROWTH_MAX * FLOOR_MS) continue
    const [small, large] = [of(SMALL, 3), of(SMALL * TIMES, 3)]
    if (large > GROWTH_MAX * Math.max(small, FLOOR_MS)) {
      found.push(
        `${JSON.stringify(begin)} and ${JSON.stringify(again)}: ${small} ms, of ${TIMES} times as much ${large} ms`,
      )
    }
  }
  return found
}

function processorMs(read: (text: string) => unknown, text: string): number {
  const before = process.cpuUsage()
  try {
    read(text)
  } catch (thrown) {
    if (!(thrown instanceof Error)) throw thrown
  }
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1_000
}
