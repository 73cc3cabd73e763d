// Types of launch.mjs, which is no TypeScript because it runs before there is any.
export interface Input {
  readonly contents: string | Uint8Array
  /** Size, times of change, digest. */
  readonly entry: readonly [size: number, mtimeMs: number, ctimeMs: number, digest: string]
}

export function readInput(path: string): Input
export function changedSince(list: URL): string | null
export function tooOld(version: string): string | null
export function launch<Module>(name: string, source: string, start: (module: Module) => unknown): void
