// What to do about what the system or TLS says in a word of its own: the words that people need, in one table each. Pure but for the clock.

/** By errno. */
const troubles: Readonly<Record<string, readonly [what: string, todo: string]>> = {
  ENOSPC: [
    "There is no space left",
    "Make room there (df -h), or name a place on another disk, and repeat the command.",
  ],
  EDQUOT: [
    "Your quota of disk space is used up",
    "Make room (quota -s), or name a place elsewhere, and repeat the command.",
  ],
  EFBIG: ["A file would be larger than may be", "See ulimit -f, or name a place on another disk."],
  EROFS: ["Nothing can be written, it is mounted read-only", "Name a place that you may write to."],
  EACCES: ["You may not do that", "Look at its owner and mode (ls -ld), and at those of the folders above it."],
  EPERM: ["You may not do that", "Look at its owner and mode (ls -ld), and at those of the folders above it."],
  ENOENT: ["There is no such file or folder, and none can be made", "Look at the path, and at what lies above it."],
  ENOTDIR: ["There is a file where a folder should be", "Look at the path."],
  EISDIR: ["There is a folder where a file should be", "Look at the path."],
  EMFILE: ["Too many files are open", "Allow more (ulimit -n 4096), and repeat the command."],
  ENFILE: ["Too many files are open on this machine", "Repeat the command a little later."],
  EIO: ["The disk failed", "Look at the kernel's log (dmesg), and name a place on another disk."],
  ENAMETOOLONG: ["A name is too long", "Name a shorter path."],
  ELOOP: ["Links lead in a circle", "Look at the links of that path."],
}

/** Null: the system's own words are as good as any. `path` is what the call was about, if it said so. */
export function systemAdvice(code: string, path: string | undefined): { message: string; hint: string } | null {
  const known = Object.hasOwn(troubles, code) ? troubles[code] : undefined
  if (known === undefined) return null
  const [what, hint] = known
  return { message: `${what}${path === undefined ? "" : `: ${path}`} (${code}).`, hint }
}

/** `said` is OpenSSL's code or words. Another CA helps only where nothing vouches for the certificate. */
export function certificateAdvice(said: string, caFile: string | null, nowMs = Date.now()): string {
  if (/ALTNAME|altname|does not match/.test(said)) {
    return "Its certificate is for another name: write the hub's URL with a name that stands in it, or have the operator add this one."
  }
  if (/CERT_HAS_EXPIRED|has expired/.test(said))
    return `Tell the operator to renew it, or set this machine's clock: here it is ${new Date(nowMs).toISOString()}.`
  if (/CERT_NOT_YET_VALID|not yet valid/.test(said))
    return `Set this machine's clock, or ask the operator: here it is ${new Date(nowMs).toISOString()}.`
  if (/REVOKED|revoked/.test(said)) return "It was revoked. Ask the operator before you trust it."
  return caFile === null
    ? "If it comes from a CA of the operator's own, ask for that CA's certificate and name it with --ca-file FILE."
    : `${caFile} does not vouch for it: ask the operator for the certificate of the CA that signed it.`
}
