import assert from "node:assert/strict"
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, describe, it } from "node:test"
import { defaultText, helpLines, printSettings } from "./print.ts"
import { type Command, environmentLayer, fileLayer, type Layer, readFlags, readSettings, setting } from "./table.ts"
import { needed, oneOf, path, pemFile, secret, size, truth, UsageError, wholeNumber, words } from "./values.ts"

const directory = mkdtempSync(join(tmpdir(), "cah-settings-"))
after(() => rmSync(directory, { recursive: true, force: true }))
let files = 0
function file(text: string): string {
  const name = join(directory, `${files++}.toml`)
  writeFileSync(name, text)
  return name
}

const table = {
  port: setting({ value: "NUMBER", help: "where", parse: wholeNumber(0, 65_535), otherwise: 8080 }),
  "disk-floor": setting({ value: "SIZE", help: "room", parse: size(), otherwise: 1024 ** 3 }),
  level: setting({ value: "LEVEL", help: "how loud", parse: oneOf("low", "high"), otherwise: "low" }),
  insecure: setting({ help: "plain text", parse: truth, otherwise: false }),
  tag: setting({
    value: "A=B",
    help: "tags",
    isMany: true,
    variable: "CAH_TAGS",
    parse: text => text.split(","),
    otherwise: null,
  }),
  token: setting({ value: "TOKEN", help: "joins", isSecret: true, parse: secret, otherwise: null }),
  "ca-file": setting({ value: "FILE", help: "trusted", formerly: "ca", parse: path("a file"), otherwise: null }),
  double: setting({
    value: "N",
    help: "twice the port",
    parse: wholeNumber(0),
    otherwise: ({ port }) => 2 * (port as number),
  }),
}
const commands: Readonly<Record<string, Command>> = {
  config: { value: "FILE", help: "a file" },
  help: { help: "this" },
}

function read(argv: string[], env: Record<string, string> = {}, toml?: string, extra: Layer[] = []) {
  const flags = readFlags(argv, table, commands, "it takes options")
  const from = fileLayer(flags.command("config"), toml === undefined ? [] : [file(toml)], table)
  return readSettings(table, [flags, environmentLayer(env, table), ...extra, from])
}
const refused = (message: RegExp, ...given: Parameters<typeof read>) =>
  assert.throws(
    () => read(...given),
    (error: unknown) => error instanceof UsageError && message.test(error.message),
  )

describe("settings", () => {
  it("are what the flag says, else the variable, else a launcher, else the file, else the machine or the default", () => {
    const launcher: Layer = {
      said: name => (name === "level" ? { value: "high" } : undefined),
      origin: () => "/dev/vdb",
    }
    const { values, origins } = read(
      ["--port=1"],
      { CAH_PORT: "2", CAH_INSECURE: "1" },
      'port = 3\nlevel = "low"\ndisk-floor = "2GiB"',
      [launcher],
    )
    assert.deepEqual(
      [values.port, values.insecure, values.level, values["disk-floor"]],
      [1, true, "high", 2 * 1024 ** 3],
    )
    assert.deepEqual([origins.port, origins.insecure, origins.level], ["--port", "CAH_INSECURE", "/dev/vdb"])
    assert.match(origins["disk-floor"], /\.toml$/)
    assert.deepEqual([values.double, origins.double, values.token, origins.token], [2, "detected", null, "default"])
  })

  it("take no notice of an empty variable, and of a program that reads none", () => {
    assert.equal(read([], { CAH_PORT: "" }).origins.port, "default")
  })

  it("go by their older names too, in each place", () => {
    for (const told of [read(["--ca", "f"]), read(["--ca=f"]), read([], { CAH_CA: "f" }), read([], {}, 'ca = "f"')]) {
      assert.equal(told.values["ca-file"], "f")
    }
    assert.equal(read([], { CAH_CA: "old", CAH_CA_FILE: "new" }).values["ca-file"], "new")
  })

  it("that may be several are joined from flags, a variable of its own name, a list and a table", () => {
    assert.deepEqual(read(["--tag", "a=1", "--tag", "b=2"]).values.tag, ["a=1", "b=2"])
    assert.deepEqual(read([], { CAH_TAGS: "a=1,b=2" }).values.tag, ["a=1", "b=2"])
    assert.deepEqual(read([], {}, 'tag = ["a=1", "b=2"]').values.tag, ["a=1", "b=2"])
    assert.deepEqual(read([], {}, "[tag]\na = 1\nb = 2").values.tag, ["a=1", "b=2"])
    assert.equal(read(["--port", "1", "--port", "2"]).values.port, 2, "of others the last counts")
  })

  it("that are wrong say where they stand, what they must be, and what was given", () => {
    refused(/^--port: must be a whole number from 0 to 65535, not "many"$/, ["--port", "many"])
    refused(/^--port: must be a whole number from 0 to 65535, not " "$/, ["--port", " "])
    refused(/^CAH_PORT: must be a whole number from 0 to 65535, not "65536"$/, [], { CAH_PORT: "65536" })
    refused(/^\/.*\.toml: port: must be a whole number from 0 to 65535, not "x"$/, [], {}, 'port = "x"')
    refused(/^\/.*\.toml: port: must be one value$/, [], {}, "port = [1]")
    refused(/^CAH_TOKEN: must be a token without spaces, not "what it is"$/, [], { CAH_TOKEN: "a secret" })
  })

  it("that are unknown are told with the nearest one, or where to look", () => {
    refused(/^unknown option --prot: did you mean --port\?$/, ["--prot", "1"])
    refused(/^unknown option --frobnicate; see --help$/, ["--frobnicate"])
    refused(/^unknown option -x; see --help$/, ["-x"])
    refused(/^unknown option --__proto__; see --help$/, ["--__proto__"])
    refused(/^unexpected "start": it takes options; see --help$/, ["start"])
    refused(/\.toml: unknown setting "prot": did you mean port\?$/, [], {}, "prot = 1")
    refused(/\.toml: unknown setting "whirligig"; there are port, disk-floor,/, [], {}, "whirligig = 1")
    refused(/\.toml, line 2: this is not TOML: /, [], {}, "port = 1\nlevel = = 2")
  })

  it("need their values, and switches take none", () => {
    refused(/^--port needs a value; see --help$/, ["--port"])
    refused(/^--port needs a value; see --help$/, ["--port", "--insecure"])
    refused(/^--insecure takes no value$/, ["--insecure=yes"])
    assert.equal(read(["--port", "0"]).values.port, 0)
    refused(/^--port: must be a whole number from 0/, ["--port", "-1"])
  })

  it("may have to be said", () => {
    const strict = {
      hub: setting({ value: "URL", help: "which", parse: String, otherwise: needed("which hub? Say --hub") }),
    }
    assert.throws(() => readSettings(strict, []), /^UsageError: which hub\? Say --hub$/)
  })

  it("insist on a file that was named, and take the first of the usual ones that is there", () => {
    refused(/none\.toml is not there$/, ["--config", join(directory, "none.toml")])
    const [one, other] = [file("port = 1"), file("port = 2")]
    const usual = fileLayer(undefined, [join(directory, "none.toml"), one, other], table)
    assert.equal(readSettings(table, [usual]).values.port, 1)
    assert.equal(readSettings(table, [fileLayer(other, [one], table)]).values.port, 2)
  })

  it("in a file that is there but may not be read are an error, not none", {
    skip: process.getuid?.() === 0 && "root reads everything",
  }, () => {
    const closed = file("port = 1")
    chmodSync(closed, 0)
    assert.throws(() => fileLayer(undefined, [closed], table), /may not be read/)
  })

  it("are printed as a file with where each comes from, and no secret", () => {
    const text = printSettings(table, read(["--token", "cah_topsecret", "--port", "7", "--tag", "a=1"]))
    const lines = text.split("\n").map(line => line.replace(/ +/g, " "))
    assert.deepEqual(lines, [
      "port = 7 # --port",
      "disk-floor = 1073741824 # default",
      'level = "low" # default',
      "insecure = false # default",
      'tag = ["a=1"] # --tag',
      "# token is given, and secret # --token",
      "# ca-file is not set",
      "double = 14 # detected",
      "",
    ])
  })

  it("show flag, help and default, and neither a secret nor what the machine will show", () => {
    const lines = helpLines({ ...table, ...commands }, 20, name =>
      name in table ? defaultText(table[name as "port"]) : "",
    )
    assert.deepEqual(lines.slice(0, 2), ["  --port NUMBER        where (8080)", "  --disk-floor SIZE    room (1GiB)"])
    assert.equal(lines.length, 10)
    assert.equal(defaultText({ ...table.token, otherwise: "cah_topsecret" }), "")
    assert.equal(defaultText(table.double), "")
  })
})

describe("values of settings", () => {
  for (const [text, bytes] of [
    ["0", 0],
    ["1024", 1024],
    ["1k", 1024],
    ["512MiB", 512 * 1024 ** 2],
    ["1.5 GiB", 1.5 * 1024 ** 3],
    ["2GB", 2 * 1024 ** 3],
    [" 1TiB ", 1024 ** 4],
  ] as const) {
    it(`read ${JSON.stringify(text)} as a size`, () => assert.equal(size()(text), bytes))
  }

  it("refuse what is no size, too little and too much", () => {
    for (const text of ["", "much", "-1", "1 PiB", "1,5G"])
      assert.throws(() => size()(text), /must be a size like 512MiB/)
    assert.throws(() => size(1_024)("1000"), /must be at least 1024 bytes, not "1000"/)
    assert.throws(() => size(0, 10)("11"), /must be at most 10 bytes, which is all there is/)
  })

  it("are not repeated beyond a line", () => {
    assert.throws(
      () => oneOf("a")("x".repeat(1_000)),
      (error: Error) => error.message.length < 120,
    )
  })

  it("say of texts, files and certificates what is wrong", () => {
    assert.throws(() => words(1, 5)(" "), /must not be empty/)
    assert.throws(() => words(0, 5)("abcdef"), /must have at most 5 characters/)
    assert.throws(() => path("a directory")(""), /must name a directory/)
    assert.throws(() => pemFile("CERTIFICATE")(file("x")), /must be a PEM file with -----BEGIN CERTIFICATE-----/)
    assert.throws(() => secret("@/none/token"), /\/none\/token is not there/)
    assert.equal(secret(`@${file("cahe_1\n")}`), "cahe_1")
  })
})
