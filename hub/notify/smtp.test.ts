// Mail over real conversations of SMTP with smtp-server on loopback: in plain text, over TLS, after STARTTLS, with a login and without.
import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { type AddressInfo, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, test } from "node:test"
import { SMTPServer, type SMTPServerOptions } from "smtp-server"
import { campaignRow, WALL_MS } from "../store/store.suite.ts"
import type { News } from "./deliver.ts"
import { mailCarrier } from "./mail.ts"
import { type MailServer, smtpPost } from "./smtp.ts"

const place = mkdtempSync(join(tmpdir(), "cah-smtp-"))
after(() => rmSync(place, { recursive: true, force: true }))
const files = { key: join(place, "key.pem"), cert: join(place, "cert.pem") }
const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
const made = ["-nodes", "-keyout", files.key, "-out", files.cert]
execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-days", "2", ...subject, ...made], { stdio: "ignore" })
const [key, cert] = [readFileSync(files.key, "utf8"), readFileSync(files.cert, "utf8")]

const envelope = { from: "hub@example.org", to: "ada@example.org" }
const text = "Subject: wing has ended\n\nline\n.dot\nend\n"

interface Taken {
  readonly from: string
  readonly to: readonly string[]
  readonly text: string
  readonly isTls: boolean
  readonly user: unknown
}

/** A mail server that takes what it is sent, and what it has taken. */
async function mailServer(t: { after(run: () => unknown): void }, options: SMTPServerOptions = {}) {
  const taken: Taken[] = []
  const server = new SMTPServer({
    key,
    cert,
    authOptional: true,
    disableReverseLookup: true,
    onAuth(auth, _, done) {
      if (auth.username === "ada" && auth.password === "hunter2") done(null, { user: "ada" })
      else done(new Error("who are you?"))
    },
    onData(stream, { envelope: { mailFrom, rcptTo }, secure, user }, done) {
      let text = ""
      stream.setEncoding("utf8").on("data", (part: string) => (text += part))
      stream.on("end", () => {
        const from = mailFrom === false ? "" : mailFrom.address
        taken.push({ from, to: rcptTo.map(({ address }) => address), text, isTls: secure, user })
        done()
      })
    },
    ...options,
  })
  // What a client broke off is the client's to tell.
  server.on("error", () => {})
  server.listen(0, "127.0.0.1")
  await once(server.server, "listening")
  t.after(() => new Promise<void>(resolve => server.close(() => resolve())))
  const { port } = server.server.address() as AddressInfo
  const at = (change: Partial<MailServer> = {}): MailServer => ({
    ...{ host: "127.0.0.1", port, isTls: false, login: null, ca: null },
    ...change,
  })
  return { taken, at, port }
}

const send = (server: MailServer, signal = AbortSignal.timeout(20_000)) => smtpPost(server)(envelope, text, signal)
const ada = { user: "ada", password: "hunter2" }

test("a server on this machine gets the message in plain text, whole, from and to the right ones", async t => {
  const { taken, at } = await mailServer(t)
  await send(at())
  assert.deepEqual(taken, [
    {
      from: "hub@example.org",
      to: ["ada@example.org"],
      text: text.replaceAll("\n", "\r\n"),
      isTls: false,
      user: undefined,
    },
  ])
})

test("a notice is a whole mail there, with its headers", async t => {
  const { taken, at } = await mailServer(t)
  const carrier = mailCarrier({ post: smtpPost(at()), from: "hub@example.org" })
  const news = { campaign: campaignRow(1), occasion: "end", at: WALL_MS, errors: [], id: "hub-1-end-0" } satisfies News
  await carrier.carry({ kind: "mail", address: "ada@example.org" }, news, AbortSignal.timeout(20_000))
  assert.deepEqual(taken[0]?.to, ["ada@example.org"])
  const [head, body] = taken[0]!.text.split("\r\n\r\n")
  assert.match(head!, /^From: hub@example\.org\r\nTo: ada@example\.org\r\nSubject: campaign 1 \(frames 1\) has ended/)
  assert.match(Buffer.from(body!, "base64").toString(), /Next: cah get 1, or cah show 1/)
})

test("smtps speaks TLS from the first byte, and logs in", async t => {
  const { taken, at } = await mailServer(t, { secure: true, authOptional: false })
  await send(at({ isTls: true, ca: cert, login: ada }))
  assert.deepEqual([taken.length, taken[0]?.isTls, taken[0]?.user], [1, true, "ada"])
})

test("smtp turns to TLS before it logs in", async t => {
  const { taken, at } = await mailServer(t, { authOptional: false })
  await send(at({ ca: cert, login: ada }))
  assert.deepEqual([taken.length, taken[0]?.isTls, taken[0]?.user], [1, true, "ada"])
})

test("a server that offers no TLS where it must be there is told nothing", async t => {
  let logins = 0
  const { taken, at } = await mailServer(t, {
    disabledCommands: ["STARTTLS"],
    allowInsecureAuth: true,
    onAuth: (_, __, done) => {
      logins++
      done(null, { user: "ada" })
    },
  })
  await assert.rejects(send(at({ ca: cert, login: ada })), /^Error: the mail server 127\.0\.0\.1:\d+: .*(STARTTLS|TLS)/)
  assert.deepEqual([taken, logins], [[], 0])
})

test("a certificate of nobody's is refused, with TLS from the first byte and after STARTTLS", async t => {
  const tls = await mailServer(t, { secure: true })
  await assert.rejects(send(tls.at({ isTls: true })), /the mail server 127\.0\.0\.1:\d+: .*self-signed certificate/)
  const other = join(place, "other.pem")
  const newKey = ["-nodes", "-keyout", join(place, "other.key"), "-out", other]
  execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-days", "2", ...subject, ...newKey], {
    stdio: "ignore",
  })
  const starttls = await mailServer(t)
  await assert.rejects(
    send(starttls.at({ ca: readFileSync(other, "utf8") })),
    /self-signed certificate|unable to verify/,
  )
  assert.deepEqual([tls.taken, starttls.taken], [[], []])
})

test("a wrong password is said with the server's own words, and never repeated", async t => {
  const { taken, at } = await mailServer(t, { authOptional: false })
  await assert.rejects(
    send(at({ ca: cert, login: { user: "ada", password: "wr0ng-pass" } })),
    (error: Error) =>
      /the mail server 127\.0\.0\.1:\d+: .*who are you\?/.test(error.message) && !error.message.includes("wr0ng"),
  )
  assert.deepEqual(taken, [])
})

test("a refused recipient, a refused message and a server that is not there are told in its words", async t => {
  const noOne = await mailServer(t, { onRcptTo: (_, __, done) => done(new Error("no such user")) })
  await assert.rejects(send(noOne.at()), /the mail server .*no such user/)
  const full = await mailServer(t, {
    onData(stream, _, done) {
      stream.resume().on("end", () => done(new Error("the box is full")))
    },
  })
  await assert.rejects(send(full.at()), /the mail server .*the box is full/)
  const gone = createServer().listen(0, "127.0.0.1")
  await once(gone, "listening")
  const { port } = gone.address() as AddressInfo
  gone.close()
  await once(gone, "close")
  await assert.rejects(send(noOne.at({ port })), /the mail server 127\.0\.0\.1:\d+: .*ECONNREFUSED/)
})

test("a server that never answers is left when the time is over, and its connection is cut", async t => {
  const silent = createServer().listen(0, "127.0.0.1")
  await once(silent, "listening")
  t.after(() => silent.close())
  const { port } = silent.address() as AddressInfo
  const connected = once(silent, "connection")
  const stop = new AbortController()
  const sending = send({ host: "127.0.0.1", port, isTls: false, login: null, ca: null }, stop.signal)
  const [socket] = await connected
  const closed = once(socket.resume(), "close")
  stop.abort(new Error("its time is over"))
  await assert.rejects(sending, /its time is over/)
  await closed
  await assert.rejects(send({ host: "127.0.0.1", port, isTls: false, login: null, ca: null }, stop.signal), /over/)
})
