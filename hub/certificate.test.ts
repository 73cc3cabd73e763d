import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, describe, it } from "node:test"
import { connect, type TLSSocket } from "node:tls"
import { Certificate, type CertificateFiles, type Pair } from "./certificate.ts"
import { readConfig } from "./config.ts"
import type { Log } from "./core/ports.ts"
import { startHub } from "./hub.ts"

const directory = mkdtempSync(join(tmpdir(), "cah-certificate-"))
after(() => rmSync(directory, { recursive: true }))

const DAY_MS = 86_400_000
const path = (name: string): string => join(directory, name)

/** A pair of its own, valid for so many days. */
function make(name: string, ...more: string[]): CertificateFiles {
  const files = { cert: path(`${name}.pem`), key: path(`${name}.key`) }
  const subject = ["-subj", `/CN=${name}`, "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
  const curve = more.includes("-newkey") ? [] : ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
  const output = ["-nodes", "-keyout", files.key, "-out", files.cert]
  const made = ["req", "-x509", ...curve, "-days", "30", ...subject, ...output, ...more]
  execFileSync("openssl", made, { stdio: "ignore" })
  return files
}

let [one, two]: CertificateFiles[] = []
before(() => {
  one = make("one")
  two = make("two")
})

class Recorded implements Log {
  readonly errors: string[] = []
  readonly infos: string[] = []
  debug(): void {}
  info(_: unknown, message: string): void {
    this.infos.push(message)
  }
  warn(): void {}
  error(_: unknown, message: string): void {
    this.errors.push(message)
  }
}

const open = (files: CertificateFiles, wallMs: () => number = Date.now, log: Log = new Recorded()): Certificate =>
  new Certificate({ files, log, wallMs })

/** Copies of a pair under names of their own, put in place as a renewal does: by a rename. */
function place(from: CertificateFiles, to: CertificateFiles): void {
  for (const part of ["cert", "key"] as const) {
    writeFileSync(`${to[part]}.new`, readFileSync(from[part]))
    renameSync(`${to[part]}.new`, to[part])
  }
}

describe("O6: a certificate at the start", () => {
  it("O6: that fits is taken, and its end is known", () => {
    const { pair, state } = open(one!)
    assert.ok(pair.cert.equals(readFileSync(one!.cert)))
    assert.ok(Math.abs(state.notAfterMs - Date.now() - 30 * DAY_MS) < DAY_MS)
    assert.equal(state.refused, null)
  })

  it("O6: that does not fit is refused in words that say which file, why, and what to do", () => {
    const file = (name: string, content: string | Buffer): string => {
      writeFileSync(path(name), content)
      return path(name)
    }
    const locked = path("locked.key")
    execFileSync("openssl", ["pkey", "-in", one!.key, "-aes256", "-passout", "pass:x", "-out", locked])
    const weak = make("weak", "-newkey", "rsa:512")
    const chain = Buffer.concat([readFileSync(two!.cert), readFileSync(one!.cert)])
    const pem = readFileSync(one!.cert, "utf8")
    const middle = Math.floor(pem.length / 2)
    const cases: readonly (readonly [Partial<CertificateFiles>, RegExp])[] = [
      [{ cert: path("none.pem") }, /--tls-cert .*none\.pem is not there$/],
      [{ key: path("none.key") }, /--tls-key .*none\.key is not there$/],
      [{ cert: directory }, /--tls-cert .* is a directory$/],
      [{ cert: file("empty.pem", "\n") }, /--tls-cert .*empty\.pem is empty$/],
      [{ cert: file("junk.pem", "junk") }, /holds no certificate in PEM: it must begin with -----BEGIN CERTIFICATE/],
      [{ cert: file("huge.pem", Buffer.alloc(2 ** 20 + 1, 0x20)) }, /has more than 1048576 bytes/],
      [{ cert: one!.key }, /it holds a private key; are --tls-cert and --tls-key swapped\?/],
      [{ key: one!.cert }, /it holds a certificate; are --tls-cert and --tls-key swapped\?/],
      [{ cert: file("cut.pem", pem.slice(0, middle) + pem.slice(middle + 40)) }, /its 1\. certificate is damaged/],
      [{ key: file("junk.key", "junk") }, /--tls-key .* holds no private key in PEM/],
      [{ key: locked }, /is locked with a passphrase.*openssl pkey -in/],
      [{ key: two!.key }, /is not the key of the certificate in .*one\.pem: give the two that were made together/],
      [{ cert: file("chain.pem", chain) }, /must begin with the hub's own certificate, which is its 2\./],
      [weak, /TLS takes .*weak\.pem .* not: .*key too small/],
    ]
    for (const [change, message] of cases) {
      assert.throws(() => open({ ...one!, ...change }), { code: "failed_precondition", message })
    }
  })

  it("O6: that has expired, or is not valid yet, is refused with both times", () => {
    const at = (days: number) => () => open(one!, () => Date.now() + days * DAY_MS)
    assert.throws(at(31), /one\.pem expired on .* \(by this machine's clock it is .*renew it/)
    assert.throws(at(-1), /is not valid before .*is the clock right\?/)
  })

  it("O6: that may not be read is said to be that", () => {
    const secret = make("secret")
    chmodSync(secret.key, 0o000)
    const isRoot = process.getuid?.() === 0
    if (isRoot) {
      chmodSync(directory, 0o755)
      process.seteuid!(65_534)
    }
    try {
      assert.throws(() => open(secret), /--tls-key .*secret\.key may not be read by this user; let it/)
    } finally {
      if (isRoot) process.seteuid!(0)
    }
  })
})

describe("O6: a certificate that is renewed", () => {
  it("O6: is taken when its files change, also behind a link, and not while half of it is there", () => {
    const [old, renewed] = [path("live-1"), path("live-2")]
    for (const [where, from] of [
      [old, one!],
      [renewed, two!],
    ] as const) {
      mkdirSync(where)
      place(from, { cert: join(where, "cert.pem"), key: join(where, "key.pem") })
    }
    const live = path("live")
    symlinkSync(old, live)
    const log = new Recorded()
    const certificate = open({ cert: join(live, "cert.pem"), key: join(live, "key.pem") }, Date.now, log)
    const served: Pair[] = []
    certificate.watch(pair => served.push(pair))
    certificate.look()
    assert.deepEqual([served.length, log.errors, log.infos], [0, [], []])

    unlinkSync(live)
    symlinkSync(renewed, live)
    certificate.look()
    assert.ok(served[0]?.cert.equals(readFileSync(two!.cert)))

    // Only the certificate so far: the old pair stays, which is said once and not every ten seconds.
    writeFileSync(join(renewed, "cert.pem"), readFileSync(one!.cert))
    certificate.look()
    certificate.look()
    assert.equal(served.length, 1)
    assert.match(certificate.state.refused ?? "", /is not the key of the certificate/)
    assert.equal(log.errors.length, 1)
    assert.match(log.errors[0]!, /the new TLS certificate is not used, the one before stays: --tls-key/)
    writeFileSync(join(renewed, "key.pem"), readFileSync(one!.key))
    certificate.look()
    assert.ok(served[1]?.cert.equals(readFileSync(one!.cert)))
    assert.equal(certificate.state.refused, null)

    rmSync(join(renewed, "key.pem"))
    certificate.look()
    assert.match(certificate.state.refused ?? "", /is not there/)
    certificate.close()
  })

  it("O6: is served to whoever comes from then on, and whoever is there stays", async t => {
    const live = { cert: path("hub.pem"), key: path("hub.key") }
    place(one!, live)
    const flags = ["--port", "0", "--data", path("data"), "--disk-floor", "0"]
    const asked = readConfig([...flags, "--tls-cert", live.cert, "--tls-key", live.key], {}, [])
    assert.ok(asked.kind === "run")
    const log = new Recorded()
    const hub = await startHub(asked.config, { log, drainMs: 100 })
    t.after(() => hub.stop())
    const early = await dial(hub.port)
    assert.equal(nameOf(early), "one")

    place(two!, live)
    hub.reload()
    assert.equal(nameOf(await dial(hub.port)), "two")
    assert.match(await get(early, "/healthz"), /^HTTP\/1\.1 200/)
    const metrics = await get(await dial(hub.port), "/metrics")
    assert.match(metrics, /cah_tls_certificate_not_after_seconds 1\d{9}/)
    const status = await get(await dial(hub.port), "/api/v1/status")
    assert.match(status, /"certificate":\{"validUntil":"20\d\d-/)

    writeFileSync(live.cert, "junk")
    hub.reload()
    assert.equal(nameOf(await dial(hub.port)), "two")
    assert.match(await get(await dial(hub.port), "/api/v1/status"), /The new TLS certificate is not used/)
  })
})

const sockets: TLSSocket[] = []
after(() => {
  for (const socket of sockets) socket.destroy()
})

function dial(port: number): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false }, () => resolve(socket))
    socket.once("error", reject)
    sockets.push(socket)
  })
}

function nameOf(socket: TLSSocket): string {
  return String(socket.getPeerCertificate().subject.CN)
}

/** The whole answer. */
function get(socket: TLSSocket, target: string): Promise<string> {
  socket.write(`GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
  return new Promise((resolve, reject) => {
    let text = ""
    socket.setEncoding("utf8")
    socket.on("data", (chunk: string) => {
      text += chunk
    })
    socket.once("end", () => resolve(text))
    socket.once("error", reject)
  })
}
