// The hub's TLS certificate: read, checked before anybody is served with it, and read again when its files change or somebody says so (SIGHUP).
// What does not fit is said in words and not used: at the start that is an end, later the old one stays. Knows files, not sockets.
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto"
import { readFileSync, statSync } from "node:fs"
import { createSecureContext } from "node:tls"
import { CahError } from "./core/errors.ts"
import type { Log } from "./core/ports.ts"
import { CERTIFICATE_BYTES_MAX, CERTIFICATE_LOOK_MS } from "./limits.ts"

export interface CertificateFiles {
  readonly cert: string
  readonly key: string
}

/** PEM, as TLS takes it. */
export interface Pair {
  readonly cert: Buffer
  readonly key: Buffer
}

export interface CertificateState {
  /** Wall time ms: when the first of the chain ends. */
  readonly notAfterMs: number
  /** Why the files that are there now are not used; null: they are. */
  readonly refused: string | null
}

interface Loaded extends Pair {
  readonly notAfterMs: number
  readonly names: string
}

export interface CertificateOptions {
  readonly files: CertificateFiles
  readonly log: Log
  readonly wallMs: () => number
}

export class Certificate {
  readonly #options: CertificateOptions
  #loaded: Loaded
  /** Of the files when they were last read. */
  #seen: string
  #refused: string | null = null
  #timer: NodeJS.Timeout | null = null
  #onRenewed: (pair: Pair) => void = () => {}

  /** CahError failed_precondition says what is wrong with which file, and what to do. */
  constructor(options: CertificateOptions) {
    this.#options = options
    this.#seen = marksOf(options.files)
    this.#loaded = load(options.files, options.wallMs())
  }

  get pair(): Pair {
    return this.#loaded
  }

  get state(): CertificateState {
    return { notAfterMs: this.#loaded.notAfterMs, refused: this.#refused }
  }

  /** From now on the files are looked at now and then. `onRenewed` hears of each pair that is to be served. */
  watch(onRenewed: (pair: Pair) => void): void {
    this.#onRenewed = onRenewed
    this.#timer = setInterval(() => this.look(), CERTIFICATE_LOOK_MS)
    this.#timer.unref()
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
  }

  /** Reads them if they are others than the last time. By what a path leads to, since certificates are renewed by moving a link. */
  look(): void {
    if (marksOf(this.#options.files) !== this.#seen) this.reload()
  }

  /** Reads them, whatever they are. */
  reload(): void {
    const { files, log, wallMs } = this.#options
    this.#seen = marksOf(files)
    let loaded: Loaded
    try {
      loaded = load(files, wallMs())
    } catch (error) {
      this.#refused = CahError.from(error).message
      log.error({}, `the new TLS certificate is not used, the one before stays: ${this.#refused}`)
      return
    }
    this.#refused = null
    const isSame = loaded.cert.equals(this.#loaded.cert) && loaded.key.equals(this.#loaded.key)
    this.#loaded = loaded
    const until = iso(loaded.notAfterMs)
    if (isSame) return log.info({ names: loaded.names, until }, "the TLS certificate is still the same")
    this.#onRenewed(loaded)
    log.info({ names: loaded.names, until }, "a new TLS certificate is served from now on; open links stay")
  }
}

/** Another size, time or file behind a path is another state of it. One that is missing is a state as well. */
function marksOf({ cert, key }: CertificateFiles): string {
  const mark = (path: string): string => {
    const stat = statSync(path, { throwIfNoEntry: false, bigint: true })
    return stat === undefined ? "none" : `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}`
  }
  try {
    return `${mark(cert)} ${mark(key)}`
  } catch (error) {
    // A directory on the way that may not be entered: reading says so.
    return `${(error as NodeJS.ErrnoException).code}`
  }
}

function load(files: CertificateFiles, nowMs: number): Loaded {
  const [cert, key] = [readPem(files.cert, "--tls-cert"), readPem(files.key, "--tls-key")]
  const chain = chainOf(cert, files.cert)
  const privateKey = keyOf(key, files.key)
  const [own] = chain as [X509Certificate]
  if (!own.checkPrivateKey(privateKey)) throw mismatch(chain, privateKey, files)
  for (const [at, each] of chain.entries())
    checkDates(each, nowMs, at === 0 ? files.cert : `${files.cert} (${at + 1}.)`)
  try {
    createSecureContext({ cert, key })
  } catch (cause) {
    const why = (cause as Error).message
    throw wrong(`TLS takes ${files.cert} and ${files.key} not: ${why}; make a stronger or a simpler one`, cause)
  }
  return {
    cert,
    key,
    notAfterMs: Math.min(...chain.map(each => Date.parse(each.validTo))),
    names: own.subjectAltName ?? own.subject,
  }
}

function readPem(path: string, flag: string): Buffer {
  const reasons: Readonly<Record<string, string>> = {
    ENOENT: "is not there",
    EACCES: `may not be read by this user; let it, for instance with: setfacl -m u:$(id -un):r ${path}`,
    EISDIR: "is a directory",
  }
  let bytes: Buffer
  try {
    if (statSync(path).size > CERTIFICATE_BYTES_MAX) throw new Error(`has more than ${CERTIFICATE_BYTES_MAX} bytes`)
    bytes = readFileSync(path)
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    throw wrong(`${flag} ${path} ${reasons[code ?? ""] ?? message}`, cause)
  }
  if (bytes.toString("latin1").trim() === "") throw wrong(`${flag} ${path} is empty`)
  return bytes
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g

function chainOf(pem: Buffer, path: string): X509Certificate[] {
  const text = pem.toString("latin1")
  const parts = text.match(CERTIFICATE) ?? []
  if (parts.length === 0) {
    const hint = text.includes("PRIVATE KEY-----")
      ? "it holds a private key; are --tls-cert and --tls-key swapped?"
      : "it must begin with -----BEGIN CERTIFICATE-----"
    throw wrong(`--tls-cert ${path} holds no certificate in PEM: ${hint}`)
  }
  return parts.map((part, at) => {
    try {
      return new X509Certificate(part)
    } catch (cause) {
      throw wrong(`--tls-cert ${path}: its ${at + 1}. certificate is damaged; copy it again, whole`, cause)
    }
  })
}

function keyOf(pem: Buffer, path: string): KeyObject {
  const text = pem.toString("latin1")
  if (/ENCRYPTED/.test(text)) {
    const mend = `openssl pkey -in ${path} -out key.pem`
    throw wrong(`--tls-key ${path} is locked with a passphrase, which the hub has nobody to ask for: ${mend}`)
  }
  try {
    return createPrivateKey(pem)
  } catch (cause) {
    const hint = text.includes("-----BEGIN CERTIFICATE-----")
      ? "it holds a certificate; are --tls-cert and --tls-key swapped?"
      : "it must begin with -----BEGIN PRIVATE KEY----- and be whole"
    throw wrong(`--tls-key ${path} holds no private key in PEM: ${hint}`, cause)
  }
}

function mismatch(chain: readonly X509Certificate[], key: KeyObject, files: CertificateFiles): CahError {
  const at = chain.findIndex(each => each.checkPrivateKey(key))
  if (at > 0)
    return wrong(`--tls-cert ${files.cert} must begin with the hub's own certificate, which is its ${at + 1}.`)
  return wrong(
    `--tls-key ${files.key} is not the key of the certificate in ${files.cert}: give the two that were made together`,
  )
}

function checkDates(certificate: X509Certificate, nowMs: number, where: string): void {
  const [from, to] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)]
  const now = `by this machine's clock it is ${iso(nowMs)}`
  if (to <= nowMs) {
    throw wrong(`the certificate in ${where} expired on ${iso(to)} (${now}): nobody would accept it; renew it`)
  }
  if (from > nowMs) {
    throw wrong(`the certificate in ${where} is not valid before ${iso(from)} (${now}): is the clock right?`)
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}

function wrong(message: string, cause?: unknown): CahError {
  return new CahError("failed_precondition", message, cause === undefined ? {} : { cause })
}
