// Which hypervisor is installed, and whether it is new enough. Pure.

export interface Installed {
  readonly path: string
  readonly version: string
  /** It cannot emulate: without the processor's virtualisation it is of no use. */
  readonly isKvmOnly?: boolean
}

/** Or why it will not do, as a sentence for people. */
export type Found = Installed | { readonly why: string }

/** "7.2.22" is at least "7.2". */
export function atLeast(version: string, floor: string): boolean {
  const numbers = version.split(".").map(Number)
  for (const [n, wanted] of floor.split(".").map(Number).entries()) {
    const has = numbers[n] ?? 0
    if (has !== wanted) return has > wanted
  }
  return true
}
