import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { request as requestHttp1 } from "node:http"
import { connect as connectHttp2 } from "node:http2"
import { request as requestHttps } from "node:https"
import { connect, type Socket } from "node:net"
import { networkInterfaces, tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, describe, it } from "node:test"
import { connect as connectTls } from "node:tls"
import type { Log } from "./core/ports.ts"
import { whoIsCalling } from "./first-bytes.ts"
import { Peers, peerOf } from "./peers.ts"
import { type OnePort, openPort, type PortOptions } from "./port.ts"

const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} }
const HTTP1_REQUEST = "POST /echo HTTP/1.1\r\nHost: hub\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
/** The preface and an empty SETTINGS frame. */
const HTTP2_BEGIN = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
])

let tls: { cert: Buffer; key: Buffer }
const opened: OnePort[] = []

before(() => {
  const directory = mkdtempSync(join(tmpdir(), "cah-port-"))
  const [key, cert] = [join(directory, "key.pem"), join(directory, "cert.pem")]
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
  const output = ["-nodes", "-keyout", key, "-out", cert]
  execFileSync("openssl", ["req", "-x509", ...curve, "-days", "2", ...subject, ...output], { stdio: "ignore" })
  tls = { cert: readFileSync(cert), key: readFileSync(key) }
  rmSync(directory, { recursive: true })
})
after(() => Promise.all(opened.map(port => port.close(0))))

async function open(options: Partial<PortOptions> = {}): Promise<OnePort> {
  const port = await openPort({
    host: "127.0.0.1",
    port: 0,
    tls,
    plainText: "loopback",
    log: quiet,
    onRequest(request, response) {
      response.setHeader("x-version", request.httpVersion)
      request.toArray().then(
        pieces => response.end(Buffer.concat(pieces)),
        () => response.destroy(),
      )
    },
    onUpgrade(_request, socket, head) {
      socket.end(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n${head}`)
    },
    ...options,
  })
  opened.push(port)
  return port
}

async function everything(socket: Socket): Promise<string> {
  const pieces: Buffer[] = []
  socket.on("data", piece => pieces.push(piece))
  socket.on("error", () => {})
  if (!socket.closed) await new Promise(resolve => socket.once("close", resolve))
  return Buffer.concat(pieces).toString("latin1")
}

/** Each byte in a segment of its own: the next is written when the system has taken the last, and Nagle is off. */
async function dribble(socket: Socket, bytes: Buffer): Promise<void> {
  socket.setNoDelay(true)
  for (const byte of bytes) {
    await new Promise<void>(resolve => socket.write(Buffer.of(byte), () => setImmediate(resolve)))
  }
}

describe("who is calling", () => {
  for (const [text, caller] of [
    ["", null],
    ["P", null],
    ["PR", null],
    ["PRI", null],
    ["PRI ", "http2"],
    ["PRI * HTTP/2.0", "http2"],
    ["PO", "http1"],
    ["PU", "http1"],
    ["PROP", "http1"],
    ["G", "http1"],
    ["\x16", "tls"],
    ["\x16\x03\x01", "tls"],
    ["\0", "http1"],
  ] as const) {
    it(`takes ${JSON.stringify(text)} for ${caller ?? "not yet known"}`, () => {
      assert.equal(whoIsCalling(Buffer.from(text, "latin1")), caller)
    })
  }
})

describe("one port", () => {
  it("answers HTTP/1 methods that begin like the HTTP/2 preface", async () => {
    const { port } = await open()
    for (const method of ["GET", "POST", "PUT", "PATCH", "PROPFIND"]) {
      const request = requestHttp1({ port, method, host: "127.0.0.1", agent: false }).end()
      const [response] = await once(request, "response")
      assert.equal(response.headers["x-version"], "1.1", method)
      response.resume()
    }
  })

  it("answers HTTP/2 in plain text and by ALPN over TLS, and HTTP/1 over TLS", async () => {
    const { port } = await open()
    for (const origin of [`http://127.0.0.1:${port}`, `https://127.0.0.1:${port}`]) {
      const session = connectHttp2(origin, { ca: tls.cert })
      const stream = session.request({ ":path": "/" })
      const [headers] = await once(stream, "response")
      assert.equal(headers["x-version"], "2.0", origin)
      stream.resume()
      session.close()
    }
    const request = requestHttps({ port, host: "127.0.0.1", ca: tls.cert, agent: false }).end()
    const [response] = await once(request, "response")
    assert.equal(response.headers["x-version"], "1.1")
    response.resume()
  })

  it("understands an HTTP/1 request that comes byte by byte", async () => {
    const { port } = await open()
    const socket = connect(port, "127.0.0.1")
    const answer = everything(socket)
    await dribble(socket, Buffer.from(HTTP1_REQUEST))
    assert.match(await answer, /^HTTP\/1\.1 200 OK.*hello/s)
  })

  it("understands an HTTP/2 preface that comes byte by byte", async () => {
    const { port } = await open()
    const socket = connect(port, "127.0.0.1")
    const first = once(socket, "data")
    await dribble(socket, HTTP2_BEGIN)
    const [answer] = await first
    assert.equal((answer as Buffer)[3], 4, "the hub's first frame is SETTINGS")
    socket.destroy()
  })

  it("understands a TLS hello that comes byte by byte", async () => {
    const { port } = await open()
    const raw = connect(port, "127.0.0.1")
    raw.setNoDelay(true)
    // Everything the TLS client writes goes through one-byte segments.
    const { Duplex } = await import("node:stream")
    const slow = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        dribble(raw, chunk).then(() => done(), done)
      },
    })
    raw.on("data", chunk => slow.push(chunk))
    const socket = connectTls({ socket: slow, ca: tls.cert, host: "127.0.0.1", ALPNProtocols: ["http/1.1"] })
    await once(socket, "secureConnect")
    const answer = once(socket, "data")
    socket.write(HTTP1_REQUEST)
    assert.match(String((await answer)[0]), /^HTTP\/1\.1 200 OK/)
    raw.destroy()
  })

  for (const first of ["P", "G", "\x16"]) {
    it(`goes on with its work after a first packet of one byte, ${JSON.stringify(first)}`, async () => {
      const { port } = await open({ sniffMs: 60_000, headersMs: 60_000 })
      const socket = connect(port, "127.0.0.1")
      socket.setNoDelay(true)
      await once(socket, "connect")
      socket.write(first)
      // If the port span, neither the immediates nor another caller would get a turn, nor would the processor rest.
      const before = process.cpuUsage()
      const begun = performance.now()
      let turns = 0
      while (turns < 20) {
        await new Promise(resolve => setTimeout(resolve, 5))
        turns += 1
      }
      const used = process.cpuUsage(before)
      const busy = (used.user + used.system) / 1e3 / (performance.now() - begun)
      assert.ok(busy < 0.8, `the processor was ${Math.round(busy * 100)} % busy while nothing happened`)
      const request = requestHttp1({ port, host: "127.0.0.1", agent: false }).end()
      const [response] = await once(request, "response")
      response.resume()
      socket.destroy()
    })
  }

  it("closes a peer that says nothing, and one that begins and stops", async () => {
    const { port } = await open({ sniffMs: 50 })
    for (const said of ["", "PRI"]) {
      const socket = connect(port, "127.0.0.1")
      if (said !== "") socket.write(said)
      assert.equal(await everything(socket), "")
    }
  })

  it("answers 408 to a head that does not end, although its HTTP server never listens itself", async () => {
    const { port } = await open({ headersMs: 100 })
    const socket = connect(port, "127.0.0.1")
    socket.write("GET / HTTP/1.1\r\nHost: hub\r\n")
    assert.match(await everything(socket), /^HTTP\/1\.1 408 /)
  })

  it("answers 431 to a head above its limit and 400 to what is no HTTP", async () => {
    const { port } = await open()
    const long = connect(port, "127.0.0.1")
    long.write(`GET / HTTP/1.1\r\nHost: hub\r\nX: ${"x".repeat(17 * 1024)}\r\n\r\n`)
    assert.match(await everything(long), /^HTTP\/1\.1 431 /)
    const odd = connect(port, "127.0.0.1")
    odd.write("\0\0\0\0 what\r\n\r\n")
    assert.match(await everything(odd), /^HTTP\/1\.1 400 /)
  })

  it("hands upgrades on with what follows them", async () => {
    const { port } = await open()
    const socket = connect(port, "127.0.0.1")
    socket.write("GET /agent HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nrest")
    assert.match(await everything(socket), /^HTTP\/1\.1 101 .*\r\n\r\nrest$/s)
  })

  it("answers a TLS hello with an alert when it has no certificate", async () => {
    const { port } = await open({ tls: null })
    const socket = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false })
    const [error] = await once(socket, "error")
    assert.match(String(error), /handshake failure/i)
  })

  it("offers neither TLS below 1.2 nor a cipher without forward secrecy and AEAD", async () => {
    const { port } = await open()
    for (const old of [
      { maxVersion: "TLSv1.1", minVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" },
      { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-SHA256" },
    ] as const) {
      const socket = connectTls({ port, host: "127.0.0.1", ca: tls.cert, ...old })
      await once(socket, "error")
    }
  })

  it("tells plain text from beyond loopback to use TLS, and takes it when it was asked to", async t => {
    const address = Object.values(networkInterfaces())
      .flat()
      .find(each => each?.family === "IPv4" && !each.internal)?.address
    if (address === undefined) return t.skip("this machine has loopback only")
    for (const [plainText, answer] of [
      ["loopback", /^HTTP\/1\.1 400 .*This port speaks TLS: use https/s],
      ["everybody", /^HTTP\/1\.1 200 /],
    ] as const) {
      const { port } = await open({ host: "0.0.0.0", plainText })
      const socket = connect(port, address)
      socket.write(HTTP1_REQUEST)
      assert.match(await everything(socket), answer)
      const secure = connectTls({ port, host: address, ca: tls.cert, servername: "localhost" })
      await once(secure, "secureConnect")
      secure.destroy()
    }
    const { port } = await open({ host: "0.0.0.0" })
    const preface = connect(port, address)
    preface.write(HTTP2_BEGIN)
    assert.equal(await everything(preface), "")
  })

  it("survives a request handler that throws", async () => {
    const { port } = await open({
      onRequest() {
        throw new Error("ours")
      },
    })
    const request = requestHttp1({ port, host: "127.0.0.1", agent: false }).end()
    const [response] = await once(request, "response")
    assert.equal(response.statusCode, 500)
    response.resume()
  })

  it("S20: answers an HTTP/2 client that begins wrongly with GOAWAY, in plain text and over TLS", async () => {
    const { port } = await open()
    const broken = "PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n"
    const secure = connectTls({ port, host: "127.0.0.1", ca: tls.cert, ALPNProtocols: ["h2"] })
    for (const socket of [connect(port, "127.0.0.1"), secure]) {
      socket.write(broken)
      const frames = framesOf(Buffer.from(await everything(socket), "latin1"))
      const goaway = frames.find(({ type }) => type === 7)
      assert.equal(frames[0]?.type, 4, "SETTINGS first")
      assert.deepEqual([...(goaway?.payload ?? [])], [0, 0, 0, 0, 0, 0, 0, 1], "no stream, PROTOCOL_ERROR")
    }
  })

  it("S20: answers an HTTP/2 preface that comes over TLS byte by byte", async () => {
    const { port } = await open()
    const socket = connectTls({ port, host: "127.0.0.1", ca: tls.cert, ALPNProtocols: ["h2"] })
    await once(socket, "secureConnect")
    const first = once(socket, "data")
    await dribble(socket, HTTP2_BEGIN)
    const [answer] = await first
    assert.equal((answer as Buffer)[3], 4, "the hub's first frame is SETTINGS")
    socket.destroy()
  })

  it("S20: answers 400 to a request for two hosts, also to an upgrade and over HTTP/2", async () => {
    const { port } = await open()
    for (const more of ["", "Connection: Upgrade\r\nUpgrade: x\r\n"]) {
      const socket = connect(port, "127.0.0.1")
      socket.write(`GET /agent HTTP/1.1\r\nHost: hub\r\nhost: other\r\n${more}\r\n`)
      assert.match(await everything(socket), /^HTTP\/1\.1 400 /)
    }
    const session = connectHttp2(`http://127.0.0.1:${port}`)
    const statusOf = async (headers: Record<string, string>) => {
      const stream = session.request({ ":path": "/", ...headers })
      const [answer] = await once(stream, "response")
      stream.resume()
      return answer[":status"]
    }
    assert.equal(await statusOf({ ":authority": "hub", host: "other" }), 400)
    assert.equal(await statusOf({ ":authority": "hub", host: "hub" }), 200)
    session.close()
  })

  it("O16: closes the connection after an answer that went out before its request was here", async () => {
    const { port } = await open({ onRequest: (_request, response) => response.end("no") })
    const early = connect(port, "127.0.0.1")
    const answer = everything(early)
    early.write("POST / HTTP/1.1\r\nHost: hub\r\nContent-Length: 5\r\n\r\n")
    assert.match(await answer, /^HTTP\/1\.1 200 OK\r\nConnection: close\r\n.*no$/s)
    const whole = connect(port, "127.0.0.1")
    const both = everything(whole)
    whole.write("GET / HTTP/1.1\r\nHost: hub\r\n\r\nGET / HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n")
    assert.equal((await both).split("HTTP/1.1 200 OK").length, 3)
  })

  it("S22: lets no client of TLS 1.2 shake hands again", async () => {
    const { port } = await open()
    const socket = connectTls({ port, host: "127.0.0.1", ca: tls.cert, maxVersion: "TLSv1.2" })
    await once(socket, "secureConnect")
    socket.on("error", () => {})
    const refused = await new Promise<Error | null>(resolve => {
      socket.renegotiate({}, error => resolve(error))
      socket.once("close", () => resolve(new Error("closed")))
    })
    assert.ok(refused !== null, "renegotiated")
    socket.destroy()
  })

  it("S8: believes the PROXY protocol of a trusted proxy, before plain text and TLS, and of nobody else", async () => {
    const peers = new Peers({ trusted: ["127.0.0.1"] })
    const told: PortOptions["onRequest"] = (request, response) => response.end(peerOf(request).address)
    const { port } = await open({ peers, onRequest: told })
    const text = Buffer.from("PROXY TCP4 203.0.113.5 10.0.0.1 4711 443\r\n")
    const binary = Buffer.from("0d0a0d0a000d0a515549540a2111000ccb00710a0a000001126701bb", "hex")
    for (const [header, address] of [
      [text, "203.0.113.5"],
      [binary, "203.0.113.10"],
    ] as const) {
      for (const isSlow of [false, true]) {
        const socket = connect(port, "127.0.0.1")
        const answer = everything(socket)
        const bytes = Buffer.concat([header, Buffer.from(HTTP1_REQUEST)])
        if (isSlow) await dribble(socket, bytes)
        else socket.write(bytes)
        assert.ok((await answer).endsWith(`\r\n\r\n${address}`))
      }
      const raw = connect(port, "127.0.0.1")
      raw.write(header)
      const secure = connectTls({ socket: raw, ca: tls.cert, host: "127.0.0.1" })
      secure.write(HTTP1_REQUEST)
      assert.ok((await everything(secure)).endsWith(`\r\n\r\n${address}`))
      const h2 = connectHttp2(`http://127.0.0.1:${port}`, {
        createConnection: () => {
          const own = connect(port, "127.0.0.1")
          own.write(header)
          return own
        },
      })
      const stream = h2.request({ ":path": "/" }).setEncoding("utf8")
      assert.equal((await stream.toArray()).join(""), address)
      h2.close()
    }
    const broken = connect(port, "127.0.0.1")
    broken.write(`PROXY TCP4 nonsense\r\n${HTTP1_REQUEST}`)
    assert.equal(await everything(broken), "")
    const stranger = await open({ onRequest: told })
    const socket = connect(stranger.port, "127.0.0.1")
    socket.write(Buffer.concat([text, Buffer.from(HTTP1_REQUEST)]))
    assert.match(await everything(socket), /^HTTP\/1\.1 400 /)
  })

  it("says in one sentence that the port is in use", async () => {
    const { port } = await open()
    await assert.rejects(open({ port }), /port \d+ on 127\.0\.0\.1 is in use: .* --port/)
  })

  it("lets a call under way end before it closes, and takes no other", async () => {
    let finish = () => {}
    const begun = deferred()
    const one = await open({
      onRequest(_request, response) {
        begun.resolve()
        finish = () => response.end("done")
      },
    })
    const session = connectHttp2(`http://127.0.0.1:${one.port}`)
    const goaway = once(session, "goaway")
    const stream = session.request({ ":path": "/" })
    stream.setEncoding("utf8")
    await begun.promise
    const closed = one.close(60_000)
    await goaway
    const late = connect(one.port, "127.0.0.1")
    const [error] = await once(late, "error")
    assert.equal((error as NodeJS.ErrnoException).code, "ECONNREFUSED")
    finish()
    assert.deepEqual(await stream.toArray(), ["done"])
    await closed
  })

  it("cuts what is still open at the deadline", async () => {
    const one = await open({ onRequest() {} })
    const request = requestHttp1({ port: one.port, host: "127.0.0.1", agent: false }).end()
    request.on("error", () => {})
    await once(request, "socket")
    const idle = connect(one.port, "127.0.0.1")
    await once(idle, "connect")
    const cut = everything(idle)
    await one.close(30)
    await cut
  })
})

function framesOf(bytes: Buffer): { type: number; payload: Buffer }[] {
  const frames = []
  for (let at = 0; at + 9 <= bytes.length; ) {
    const length = bytes.readUIntBE(at, 3)
    frames.push({ type: bytes[at + 3]!, payload: bytes.subarray(at + 9, at + 9 + length) })
    at += 9 + length
  }
  return frames
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {}
  const promise = new Promise<void>(done => {
    resolve = done
  })
  return { promise, resolve }
}
