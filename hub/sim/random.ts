// Chance with a seed: the same seed gives the same world, to the last frame. SFC32, by Chris Doty-Humphrey (PractRand),
// because it is small, quick and good; nothing here is secret.

export class Random {
  private a: number
  private b: number
  private c: number
  private counter = 1

  constructor(seed: number, stream = 0) {
    this.a = seed | 0
    this.b = Math.floor(seed / 2 ** 32) | 0
    this.c = stream | 0
    for (let i = 0; i < 16; i++) this.next()
  }

  /** From 0 up to but not 2^32. */
  next(): number {
    const sum = (((this.a + this.b) | 0) + this.counter) | 0
    this.counter = (this.counter + 1) | 0
    this.a = this.b ^ (this.b >>> 9)
    this.b = (this.c + (this.c << 3)) | 0
    this.c = (((this.c << 21) | (this.c >>> 11)) + sum) | 0
    return sum >>> 0
  }

  /** From 0 up to but not 1. */
  unit(): number {
    return this.next() / 2 ** 32
  }

  chance(probability: number): boolean {
    return probability > 0 && this.unit() < probability
  }

  between(low: number, high: number): number {
    return low + this.unit() * (high - low)
  }

  /** A whole number from low to high, both included. */
  whole(low: number, high: number): number {
    return low + Math.floor(this.unit() * (high - low + 1))
  }

  /** Waiting times with this mean. */
  exponential(mean: number): number {
    return -Math.log(1 - this.unit()) * mean
  }
}
