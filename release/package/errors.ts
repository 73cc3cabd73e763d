// What a packager is told without a stack: something is not as it must be outside of us, and they can mend it.

export class PackageError extends Error {
  override readonly name = "PackageError"
}
