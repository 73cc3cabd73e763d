// What went wrong in words for whoever builds an image: what, where, and what to do. Anything else that is thrown is our own mistake.

export class ApplianceError extends Error {
  override readonly name = "ApplianceError"
}
