import assert from "node:assert/strict"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, describe, it } from "node:test"
import { type Config, readConfig } from "./config.ts"

const directory = mkdtempSync(join(tmpdir(), "cah-config-"))
after(() => rmSync(directory, { recursive: true }))

function file(text: string): string {
  const path = join(directory, `${Math.random()}.toml`)
  writeFileSync(path, text)
  return path
}

function run(argv: string[] = [], environment: NodeJS.ProcessEnv = {}, files: string[] = []): Config {
  const asked = readConfig(argv, environment, files)
  assert.ok(asked.kind === "run")
  return asked.config
}

describe("the hub's configuration", () => {
  it("needs none: loopback, port 8080, ./data", () => {
    assert.deepEqual(run(), {
      host: "127.0.0.1",
      port: 8080,
      data: "data",
      init: false,
      tls: null,
      insecure: false,
      logLevel: "info",
      diskFloorBytes: 1024 ** 3,
      quotas: { jobs: 10_000_000, submitsPerSecond: 1_000, bytes: 1024 ** 4, watches: 200 },
      retentionMs: null,
      nodeRetentionMs: 90 * 86_400_000,
      backups: null,
      sendmail: null,
      smtp: null,
      mailFrom: "clouds-at-home@localhost",
      webhooks: "public",
      release: null,
      publicUrl: null,
      trustedProxies: [],
      projectName: "Clouds at Home",
      about: "",
    })
    assert.ok(Object.isFrozen(run()))
  })

  it("takes flags over variables over the file over defaults", () => {
    const path = file('port = 1001\ndata = "from-file"\nlog-level = "warn"\n')
    const environment = { CAH_PORT: "1002", CAH_DATA: "from-variable" }
    const config = run(["--port", "1003"], environment, [path])
    assert.deepEqual([config.port, config.data, config.logLevel], [1003, "from-variable", "warn"])
  })

  it("says where each value comes from", () => {
    const path = file('data = "d"\n')
    const asked = readConfig(["--listen", "[::1]:7", "--print-config"], { CAH_LOG_LEVEL: "debug" }, [path])
    assert.ok(asked.kind === "print-config")
    const lines = asked.text.split("\n").map(line => line.replace(/ +/g, " "))
    assert.deepEqual(lines, [
      'host = "::1" # --listen',
      "port = 7 # --listen",
      `data = "d" # ${path}`,
      "init = false # default",
      "# tls-cert is not set",
      "# tls-key is not set",
      "insecure = false # default",
      'log-level = "debug" # CAH_LOG_LEVEL',
      "disk-floor = 1073741824 # default",
      "quota-jobs = 10000000 # default",
      "quota-submits = 1000 # default",
      "quota-bytes = 1099511627776 # default",
      "quota-watches = 200 # default",
      'retention = "forever" # default',
      "node-retention = 90 # default",
      "# backups is not set",
      "# sendmail is not set",
      "# smtp is not set",
      "# smtp-password-file is not set",
      "# smtp-ca-file is not set",
      'mail-from = "clouds-at-home@localhost" # default',
      'webhooks = "public" # default',
      "# release is not set",
      "# public-url is not set",
      "# trusted-proxy is not set",
      'project-name = "Clouds at Home" # default',
      'about = "" # default',
      "",
    ])
  })

  it("reads the first file there is, and insists on one that was named", () => {
    const [one, other] = [file("port = 1\n"), file("port = 2\n")]
    assert.equal(run([], {}, [join(directory, "none.toml"), one, other]).port, 1)
    assert.equal(run(["--config", other], {}, [one]).port, 2)
    assert.equal(run([], { CAH_CONFIG: other }, [one]).port, 2)
    assert.throws(() => run(["--config", join(directory, "none.toml")]), /none\.toml is not there/)
  })

  for (const [given, bytes] of [
    ["0", 0],
    ["1024", 1024],
    ["512MiB", 512 * 1024 ** 2],
    ["1.5 GiB", 1.5 * 1024 ** 3],
    ["2g", 2 * 1024 ** 3],
  ] as const) {
    it(`reads ${given} as a size`, () => assert.equal(run(["--disk-floor", given]).diskFloorBytes, bytes))
  }

  it("S8: takes one trusted proxy or several, with commas or as a list of the file", () => {
    const both = ["10.0.0.1", "fd00::/8"]
    assert.deepEqual(run(["--trusted-proxy", "10.0.0.1, fd00::/8"]).trustedProxies, both)
    assert.deepEqual(run([], { CAH_TRUSTED_PROXY: "10.0.0.1 fd00::/8" }).trustedProxies, both)
    assert.deepEqual(run([], {}, [file('trusted-proxy = ["10.0.0.1", "fd00::/8"]\n')]).trustedProxies, both)
  })

  it("takes a public URL with or without its last slash", () => {
    for (const url of ["https://hub.example.org", "https://hub.example.org/"]) {
      assert.equal(run(["--public-url", url]).publicUrl, "https://hub.example.org/")
    }
  })

  for (const [argv, message] of [
    [["--prot", "1"], /unknown option --prot: did you mean --port\?/],
    [["--frobnicate"], /unknown option --frobnicate; see --help/],
    [["-x"], /unknown option -x/],
    [["start"], /unexpected "start": the hub takes options, and restore or admin-token before them; see --help/],
    [["--listen", "[::1]:70000"], /--listen: port: must be a whole number from 0 to 65535/],
    [["--retention", "-1"], /--retention: must be a number of days above 0, or "forever", not "-1"/],
    [["--port"], /--port needs a value/],
    [["--port", "--insecure"], /--port needs a value/],
    [["--insecure=yes"], /--insecure takes no value/],
    [["--port", "70000"], /--port: must be a whole number from 0 to 65535, not "70000"/],
    [["--port", "many"], /--port: must be a whole number from 0 to 65535, not "many"/],
    [["--data", ""], /--data: must name a directory/],
    [["--log-level", "loud"], /--log-level: must be one of debug, info, warn, error, not "loud"/],
    [["--disk-floor", "much"], /--disk-floor: must be a size like 512MiB or "4 GiB", or a number of bytes, not "much"/],
    [
      ["--trusted-proxy", "proxy.example.org"],
      /--trusted-proxy: must name addresses or networks: "proxy.example.org" is no/,
    ],
    [["--trusted-proxy", "10.0.0.0/33"], /"10.0.0.0\/33" is no address or network/],
    [["--public-url", "hub.example.org"], /--public-url: must be a URL like https/],
    [["--public-url", "https://hub.example.org/path"], /--public-url: must be a URL like https/],
    [["--project-name", " "], /--project-name: must not be empty/],
    [["--smtp", "mail.example.org"], /--smtp: must be a URL like smtp:\/\/ada@mail\.example\.org:587 or smtps/],
    [["--smtp", "http://mail.example.org"], /--smtp: must be a URL like smtp:/],
    [["--smtp", "smtp://mail.example.org/path"], /--smtp: must be a URL like smtp:/],
    [
      ["--smtp", "smtp://ada@mail.example.org"],
      /--smtp names the user ada: give the password with --smtp-password-file/,
    ],
    [["--smtp", "smtp://m", "--smtp-password-file", "p"], /--smtp-password-file is for a user: name one in --smtp/],
    [["--smtp", "smtp://a@m", "--smtp-password-file", "/none/p"], /--smtp-password-file: \/none\/p is not there/],
    [["--smtp", "smtps://m", "--smtp-ca-file", "/none/ca"], /--smtp-ca-file: \/none\/ca is not there/],
    [["--smtp-password-file", "p"], /--smtp-password-file needs --smtp beside it/],
    [["--smtp", "smtp://m", "--sendmail", "/usr/sbin/sendmail"], /--sendmail or by --smtp: give one of them/],
    [["--listen", "8080"], /--listen must be ADDRESS:PORT/],
    [["--tls-cert", "c.pem"], /--tls-cert needs --tls-key/],
    [["--tls-key", "k.pem"], /--tls-key needs --tls-cert/],
    [["--host", "0.0.0.0"], /plain text on 0\.0\.0\.0 is refused.*--tls-cert.*--insecure/],
    [["--host", "::"], /plain text on :: is refused/],
    [["--host", "hub.example.org"], /plain text on hub\.example\.org is refused/],
  ] as const) {
    it(`answers ${argv.join(" ")} with a clear sentence`, () => {
      assert.throws(() => run([...argv]), message)
    })
  }

  it("takes a mail server with its user, whose password is in a file and is never shown", () => {
    const secret = join(directory, "password")
    writeFileSync(secret, "p w: hunter2\n")
    const argv = ["--smtp", "smtp://ada%40lab@mail.example.org", "--smtp-password-file", secret]
    assert.deepEqual(run(argv).smtp, {
      host: "mail.example.org",
      port: 587,
      isTls: false,
      login: { user: "ada@lab", password: "p w: hunter2" },
      ca: null,
    })
    const told = readConfig([...argv, "--print-config"], {}, [])
    assert.ok(told.kind === "print-config" && !told.text.includes("hunter2"))
    const { host, port, isTls, login } = run(["--smtp", "smtps://[::1]"]).smtp!
    assert.deepEqual([host, port, isTls, login], ["[::1]", 465, true, null])
    writeFileSync(secret, "\n")
    assert.throws(() => run(argv), /--smtp-password-file: .* must hold the password on one line/)
    assert.throws(
      () => run(["--smtp", "smtp://ada:hunter2@mail.example.org"]),
      (error: Error) =>
        /--smtp: must not hold a password: .*--smtp-password-file/.test(error.message) &&
        !error.message.includes("hunter2"),
    )
    assert.throws(
      () => run(["--smtp", "smtp//ada:hunter2@mail.example.org"]),
      (error: Error) => /--smtp: must be a URL like smtp:/.test(error.message) && !error.message.includes("hunter2"),
    )
  })

  it("names the file and the key that are wrong", () => {
    const [key, value, syntax] = [file("prot = 1\n"), file('port = "x"\n'), file("port = \n")]
    assert.throws(() => run([], {}, [key]), new RegExp(`${key}: unknown setting "prot": did you mean port\\?`))
    assert.throws(
      () => run([], {}, [value]),
      new RegExp(`${value}: port: must be a whole number from 0 to 65535, not "x"`),
    )
    assert.throws(() => run([], {}, [syntax]), new RegExp(`${syntax}, line 1: this is not TOML`))
    assert.throws(
      () => run([], { CAH_INSECURE: "perhaps" }),
      /^CahError: CAH_INSECURE: must be true or false, not "perhaps"/,
    )
  })

  it("lets plain text beyond loopback when it was asked for, or when there is TLS", () => {
    assert.equal(run(["--host", "0.0.0.0", "--insecure"]).insecure, true)
    assert.equal(run([], { CAH_HOST: "0.0.0.0", CAH_INSECURE: "1" }).insecure, true)
    const config = run(["--host", "0.0.0.0", "--tls-cert", "c.pem", "--tls-key", "k.pem"])
    assert.deepEqual(config.tls, { cert: "c.pem", key: "k.pem" })
    for (const host of ["localhost", "::1", "127.0.0.2"]) run(["--host", host])
  })

  it("shows every option in its help", () => {
    const asked = readConfig(["--help"], {}, [])
    assert.ok(asked.kind === "help")
    for (const name of [
      "host",
      "port",
      "data",
      "tls-cert",
      "tls-key",
      "insecure",
      "disk-floor",
      "release",
      "print-config",
    ]) {
      assert.ok(asked.text.includes(`--${name}`))
    }
    assert.equal(readConfig(["--version"], {}, []).kind, "version")
  })
})
