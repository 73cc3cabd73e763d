import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { connect } from "node:net"
import { describe, it } from "node:test"
import { gunzipSync } from "node:zlib"
import { LAUNCH_LOG_BYTES_MAX } from "../../limits.ts"
import type { TestFront } from "../front.suite.ts"
import { account, call, image, projects } from "./project.suite.ts"
import { readXml } from "./xml.ts"

const open = projects()

describe("downloads", () => {
  async function get(front: TestFront, name: string, range?: string) {
    const answer = await fetch(`${front.url}/download/${name}`, { headers: range === undefined ? {} : { range } })
    return { status: answer.status, headers: answer.headers, body: Buffer.from(await answer.arrayBuffer()) }
  }

  it("come whole, or from where the client stopped", async () => {
    const front = await open()
    const whole = await get(front, "root_1")
    assert.deepEqual([whole.status, whole.headers.get("accept-ranges"), whole.body.equals(image)], [200, "bytes", true])
    for (const [range, from, to] of [
      ["bytes=49000-", 49_000, 49_999],
      ["bytes=0-9", 0, 9],
      ["bytes=49990-99999", 49_990, 49_999],
      ["bytes=-5", 49_995, 49_999],
    ] as const) {
      const part = await get(front, "root_1", range)
      assert.equal(part.status, 206)
      assert.equal(part.headers.get("content-range"), `bytes ${from}-${to}/50000`)
      assert.ok(part.body.equals(image.subarray(from, to + 1)))
    }
    for (const range of ["bytes=1-2,4-5", "bytes=-", "lines=1-2"])
      assert.equal((await get(front, "root_1", range)).status, 200)
    for (const range of ["bytes=50000-", "bytes=9-2"]) assert.equal((await get(front, "root_1", range)).status, 416)
    const head = await fetch(`${front.url}/download/root_1`, { method: "HEAD" })
    assert.deepEqual([head.status, head.headers.get("content-length")], [200, "50000"])
  })

  it("come packed too where that is shorter, and the client is told so", async () => {
    const front = await open()
    const { key } = await account(front)
    const infos = (await call(front, { key })).all("file_info")
    const packed = infos.map(info => info.text("gzipped_url"))
    assert.deepEqual(packed.slice(0, 2), ["", `${front.url}/download/root_1.gz`])
    const whole = await get(front, "root_1.gz")
    assert.equal(whole.body.length, infos[1]!.count("gzipped_nbytes"))
    assert.equal(whole.headers.get("content-encoding"), null, "nobody between unpacks it")
    assert.ok(gunzipSync(whole.body).equals(image))
    assert.equal((await get(front, "vmlauncher_1.gz")).status, 404)
  })

  it("are of the release, and of nothing else on the hub's disk", async () => {
    const front = await open()
    for (const name of [
      "release.json",
      "../release.json",
      "..%2Frelease.json",
      "nothing",
      "",
      `volunteer_1_${"0".repeat(32)}.json`,
    ]) {
      assert.equal((await get(front, name)).status, 404, name)
    }
    assert.equal((await fetch(`${front.url}/download/root_1`, { method: "POST" })).status, 405)
  })
})

describe("uploads", () => {
  const bytes = Buffer.from("the launcher's log\n".repeat(2_000))
  const md5 = createHash("md5").update(bytes).digest("hex")

  async function prepare() {
    const front = await open()
    const { key } = await account(front)
    const log = (await call(front, { key })).all("file_info")[3]!
    return {
      front,
      name: log.text("name"),
      leave: log.text("xml_signature"),
      max: log.count("max_nbytes"),
      url: log.text("url"),
    }
  }

  function header(
    name: string,
    leave: string,
    change: { max?: number; size?: number; md5?: string; offset?: number } = {},
  ): string {
    const { max = LAUNCH_LOG_BYTES_MAX, size = bytes.length, offset = 0 } = change
    return `<data_server_request>
    <core_client_major_version>7</core_client_major_version>
    <core_client_minor_version>20</core_client_minor_version>
    <core_client_release>5</core_client_release>
<file_upload>
<file_info>
<name>${name}</name>
<xml_signature>
${leave}</xml_signature>
<max_nbytes>${max}</max_nbytes>
</file_info>
<nbytes>${size}</nbytes>
<md5_cksum>${change.md5 ?? md5}</md5_cksum>
<offset>${offset}</offset>
<data>
`
  }

  async function send(
    url: string,
    text: string,
    data: Buffer = Buffer.alloc(0),
  ): Promise<{ status: number; message: string; size: number }> {
    const answer = await fetch(url, { method: "POST", body: Buffer.concat([Buffer.from(text), data]) })
    assert.equal(answer.status, 200)
    const reply = readXml(await answer.text(), "data_server_reply")
    return { status: reply.number("status"), message: reply.text("message"), size: reply.number("file_size", -1) }
  }

  const sizeQuery = (name: string) =>
    `<data_server_request>\n<get_file_size>${name}</get_file_size>\n</data_server_request>\n`

  it("are stored, and may come twice", async () => {
    const { front, name, leave, url } = await prepare()
    assert.equal(url, `${front.url}/file_upload_handler`)
    assert.deepEqual(await send(url, sizeQuery(name)), { status: 0, message: "", size: 0 })
    for (const _time of [1, 2]) assert.equal((await send(url, header(name, leave), bytes)).status, 0)
    assert.equal((await send(url, sizeQuery(name))).size, bytes.length)
  })

  it("that were cut go on where they stopped", async () => {
    const { front, name, leave, url } = await prepare()
    const { hostname, port } = new URL(front.url)
    const socket = connect(Number(port), hostname)
    const text = header(name, leave)
    socket.write(
      `POST /file_upload_handler HTTP/1.1\r\nHost: ${hostname}:${port}\r\nContent-Length: ${text.length + bytes.length}\r\n\r\n${text}`,
    )
    socket.write(bytes.subarray(0, 20_000))
    for (;;) {
      const { size } = await send(url, sizeQuery(name))
      if (size === 20_000) break
    }
    socket.destroy()
    // The cut one is noticed before the next may write: until then it is told to wait its turn, or finds what is there.
    const rest = await send(url, header(name, leave, { offset: 20_000 }), bytes.subarray(20_000))
    assert.deepEqual(rest, { status: 0, message: "", size: -1 })
    assert.equal((await send(url, sizeQuery(name))).size, bytes.length)
  })

  it("that leave a gap, or are damaged on their way, are asked for again", async () => {
    const { name, leave, url } = await prepare()
    const gap = await send(url, header(name, leave, { offset: 500 }), bytes.subarray(500))
    assert.deepEqual([gap.status, gap.message], [1, "0 bytes are here: go on from there"])
    const damaged = await send(url, header(name, leave, { md5: "0".repeat(32) }), bytes)
    assert.equal(damaged.status, 1)
    assert.match(damaged.message, /did not arrive as it was sent/)
    assert.equal((await send(url, sizeQuery(name))).size, 0)
    const short = await send(url, header(name, leave), bytes.subarray(0, 100))
    assert.deepEqual([short.status, short.message], [1, `100 of ${bytes.length} bytes came: go on from there`])
    assert.equal((await send(url, header(name, leave, { offset: 100 }), bytes.subarray(100))).status, 0)
  })

  it("V15: go on where the one under way stopped, though another of that name came whole before", async () => {
    const { name, leave, url } = await prepare()
    const grown = Buffer.from("another log\n".repeat(10_000)).subarray(0, 100_000)
    const md5 = createHash("md5").update(grown).digest("hex")
    const whole = grown.subarray(0, 50_000)
    const before = { size: whole.length, md5: createHash("md5").update(whole).digest("hex") }
    assert.equal((await send(url, header(name, leave, before), whole)).status, 0)
    const cut = await send(url, header(name, leave, { size: 100_000, md5 }), grown.subarray(0, 40_000))
    assert.deepEqual([cut.status, cut.message], [1, "40000 of 100000 bytes came: go on from there"])
    assert.equal((await send(url, sizeQuery(name))).size, 40_000)
    const rest = await send(url, header(name, leave, { size: 100_000, md5, offset: 40_000 }), grown.subarray(40_000))
    assert.deepEqual(rest, { status: 0, message: "", size: -1 })
    assert.equal((await send(url, sizeQuery(name))).size, 100_000)
  })

  it("V15: go on from one that came whole if they begin like it, and else begin anew", async () => {
    const { name, leave, url } = await prepare()
    const first = { size: 20_000, md5: createHash("md5").update(bytes.subarray(0, 20_000)).digest("hex") }
    assert.equal((await send(url, header(name, leave, first), bytes.subarray(0, 20_000))).status, 0)
    assert.equal((await send(url, header(name, leave, { offset: 20_000 }), bytes.subarray(20_000))).status, 0)
    const other = Buffer.alloc(bytes.length + 10, "x")
    const md5 = createHash("md5").update(other).digest("hex")
    const change = { size: other.length, md5 }
    const unlike = await send(
      url,
      header(name, leave, { ...change, offset: bytes.length }),
      other.subarray(bytes.length),
    )
    assert.deepEqual([unlike.status, (await send(url, sizeQuery(name))).size], [1, 0])
    assert.equal((await send(url, header(name, leave, change), other)).status, 0)
  })

  it("are refused for good without this hub's leave, beyond their size, and for files that nobody expects", async () => {
    const { name, leave, url } = await prepare()
    const forged = leave.replace(/^./, c => (c === "0" ? "1" : "0"))
    const cases: readonly (readonly [text: string, data: Buffer, says: RegExp])[] = [
      [header(name, forged), bytes, /no leave/],
      [header(name, leave, { max: LAUNCH_LOG_BYTES_MAX * 2 }), bytes, /no leave/],
      [header(name, leave, { size: LAUNCH_LOG_BYTES_MAX + 1 }), bytes, /at most/],
      [header(name, leave, { size: 10 }), bytes, /more came than/],
      [header("vm_9_9_0_log", leave), bytes, /no file of that name/],
      [header("../../etc/passwd", leave), bytes, /no file of that name/],
      [sizeQuery("../hub.db"), Buffer.alloc(0), /no file of that name/],
      ["hello", Buffer.alloc(0), /no <data_server_request>/],
      [" ".repeat(40_000), Buffer.alloc(0), /no upload/],
    ]
    for (const [text, data, says] of cases) {
      const { status, message } = await send(url, text, data)
      assert.equal(status, -1, message)
      assert.match(message, says)
    }
  })
})
