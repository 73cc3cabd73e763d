// Mail by a mail server that the operator named, spoken to by nodemailer: a connection for each message, which is cut when the notice's time is
// over. Beyond this machine nothing is said in plain text, and the server's certificate must be good: there is no way to go on without.
import SMTPConnection from "nodemailer/lib/smtp-connection"
import { isLoopback } from "../../common/address.ts"
import type { Post } from "./mail.ts"

export interface MailServer {
  readonly host: string
  readonly port: number
  /** TLS from the first byte (smtps); else after STARTTLS, which beyond this machine must be there. */
  readonly isTls: boolean
  readonly login: { readonly user: string; readonly password: string } | null
  /** PEM of the authorities to trust instead of the system's. */
  readonly ca: string | null
}

/** What a server says, at most. */
const SAID_MAX = 500

export function smtpPost(server: MailServer): Post {
  const { host, port, isTls, login, ca } = server
  // A mail server on this machine often offers STARTTLS with a certificate of its own making, and nothing leaves the machine: there it is
  // spoken to in plain text, unless the operator has said whose certificates to trust.
  const isPlain = !isTls && isLoopback(host) && ca === null
  return async ({ from, to }, message, signal) => {
    signal.throwIfAborted()
    const connection = new SMTPConnection({
      host: host.replace(/^\[(.*)\]$/, "$1"),
      port,
      secure: isTls,
      requireTLS: !isTls && !isPlain,
      ignoreTLS: isPlain,
      tls: ca === null ? {} : { ca },
      allowInternalNetworkInterfaces: isLoopback(host),
    })
    try {
      await new Promise<void>((resolve, reject) => {
        const orFail = (next: () => void) => (error?: Error | null) => (error ? reject(error) : next())
        connection.once("error", reject)
        connection.once("end", () => reject(new Error("it closed the connection")))
        signal.addEventListener("abort", () => reject(signal.reason), { once: true })
        const send = () => connection.send({ from, to: [to] }, message, orFail(resolve))
        const begin = () => {
          if (login === null) return send()
          connection.login({ user: login.user, pass: login.password }, orFail(send))
        }
        connection.connect(orFail(begin))
      })
      // What it thinks of the goodbye changes nothing: it has taken the message.
      connection.quit()
    } catch (thrown) {
      if (signal.aborted) throw signal.reason
      const said = thrown instanceof Error ? thrown.message : String(thrown)
      throw new Error(`the mail server ${host}:${port}: ${said.slice(0, SAID_MAX)}`, { cause: thrown })
    } finally {
      connection.close()
    }
  }
}
