import assert from "node:assert/strict"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import fc from "fast-check"
import { scratch } from "../fixtures.ts"
import { EXEMPT_MAX, INIT_DATA_MAX_BYTES } from "../limits.ts"
import { allowanceOf } from "./allowance.ts"
import { initXml } from "./fixtures.ts"
import { parseInit, readInit } from "./init.ts"

const MIB = 1024 ** 2

test("what the client says of the task is read, and the account key is not", () => {
  const init = parseInit(initXml())
  assert.deepEqual(
    [init.resultName, init.clientPid, init.cpuSeconds, init.elapsedSeconds],
    ["vm_1_0", process.pid, 100, 200],
  )
  assert.equal(JSON.stringify(init).includes("0123456789abcdef"), false)
})

test("the volunteer's preferences become limits; 0 is the client's word for none", () => {
  const preferences = {
    cpu_usage_limit: 40,
    max_bytes_sec_up: 1_000,
    daily_xfer_limit_mb: 100,
    daily_xfer_period_days: 7,
  }
  const some = allowanceOf(parseInit(initXml({ preferences })))
  assert.deepEqual(
    [some.processorPercent, some.upBytesPerSecond, some.downBytesPerSecond, some.budget],
    [40, 1_000, null, { bytes: 100 * MIB, days: 7 }],
  )
  const none = allowanceOf(parseInit(initXml({ preferences: { cpu_usage_limit: 0, max_bytes_sec_up: 0 } })))
  assert.deepEqual([none.processorPercent, none.upBytesPerSecond, none.budget], [100, null, null])
})

test("machine, saved memory, hypervisor and launcher fit into what the client has set aside", () => {
  const { memoryBytes, diskBytes } = allowanceOf(parseInit(initXml()))
  assert.ok(memoryBytes > 500 * MIB && memoryBytes + 256 * MIB <= 1_000_000_000, `${memoryBytes}`)
  assert.ok(diskBytes + memoryBytes < 2_000_000_000, `${diskBytes}`)
  const tight = allowanceOf(parseInit(initXml({ preferences: { ram_max_used_busy_pct: 4 } })))
  assert.ok(tight.memoryBytes <= 640_000_000 - 256 * MIB)
  assert.equal(allowanceOf(parseInit(initXml({ init: { rsc_memory_bound: 1_000 } }))).memoryBytes, 0)
  const wide = { init: { rsc_memory_bound: 1e13, ncpus: 2 }, preferences: { ram_max_used_busy_pct: 100 } }
  assert.equal(allowanceOf(parseInit(initXml(wide))).memoryBytes, 8_192 * MIB)
})

test("a proxy is taken only whole", () => {
  const proxied = (proxy: string): unknown =>
    parseInit(initXml().replace(/<proxy_info>.*<\/proxy_info>/s, `<proxy_info>${proxy}</proxy_info>`)).proxy
  const server = "<http_server_name>proxy.example.org</http_server_name><http_server_port>3128</http_server_port>"
  assert.deepEqual(proxied(`<use_http_proxy/>${server}`), {
    host: "proxy.example.org",
    port: 3128,
    kind: "http",
    user: "",
    password: "",
    isNameLookedUpThere: false,
    exempt: [],
  })
  assert.equal(proxied(server), null)
  assert.equal(proxied(`<use_http_proxy>0</use_http_proxy>${server}`), null)
  assert.equal(
    proxied("<use_http_proxy/><http_server_name>a b</http_server_name><http_server_port>3128</http_server_port>"),
    null,
  )
})

test("V14: a SOCKS proxy is taken too, and with either the hosts that want none", () => {
  const proxied = (proxy: string) =>
    parseInit(initXml().replace(/<proxy_info>.*<\/proxy_info>/s, `<proxy_info>${proxy}</proxy_info>`)).proxy
  const server =
    "<socks_server_name>10.0.0.9</socks_server_name><socks_server_port>1080</socks_server_port>" +
    "<socks5_user_name>ada</socks5_user_name><socks5_user_passwd>love</socks5_user_passwd><socks5_remote_dns>1</socks5_remote_dns>"
  assert.deepEqual(
    proxied(
      `<use_socks_proxy/>${server}<no_proxy>hub.example.org, https://b.example.org:8080/x,.local,[::1]:80,::1,a b</no_proxy>`,
    ),
    {
      kind: "socks5",
      host: "10.0.0.9",
      port: 1080,
      user: "ada",
      password: "love",
      isNameLookedUpThere: true,
      exempt: ["hub.example.org", "b.example.org", ".local", "[::1]", "::1", "a", "b"],
    },
  )
  assert.equal(proxied(server), null)
  const many = Array.from({ length: 2 * EXEMPT_MAX }, (_, n) => `h${n}`).join(",")
  assert.equal(proxied(`<use_socks_proxy/>${server}<no_proxy>${many}</no_proxy>`)?.exempt.length, EXEMPT_MAX)
})

test("hostile files are refused in words", t => {
  const bombs = [
    `<!DOCTYPE a [<!ENTITY x "y">]>${initXml()}`,
    `<!doctype a SYSTEM "file:///etc/passwd">${initXml()}`,
    initXml().replace("<app_init_data>", '<app_init_data><!ENTITY x "y">'),
  ]
  for (const bomb of bombs) assert.throws(() => parseInit(bomb), /document type/)
  assert.throws(() => parseInit(initXml({ init: { result_name: "../../../etc" } })), /<result_name> must be letters/)
  assert.throws(() => parseInit("<html></html>"), /no <app_init_data>/)
  assert.throws(() => parseInit(""), /no <app_init_data>/)
  const path = join(scratch(t), "init_data.xml")
  writeFileSync(path, Buffer.alloc(INIT_DATA_MAX_BYTES + 1, 0x20))
  assert.throws(() => readInit(path), /has 1048577 bytes, more than 1048576/)
})

test("numbers that are none, negative or endless count as not said", () => {
  const init = parseInit(
    initXml({ init: { client_pid: "many", wu_cpu_time: -5, ncpus: "Infinity", checkpoint_period: "1e999" } }),
  )
  assert.deepEqual([init.clientPid, init.cpuSeconds, init.processors, init.checkpointSeconds], [0, 0, 1, 60])
})

test("preferences of a project may hold anything, and change nothing", () => {
  const wild = "<a><b></a> & &lol; <authenticator>x</authenticator><ncpus>99</ncpus> <![CDATA[ ]]>"
  const init = parseInit(initXml({ init: { project_preferences: wild } }))
  assert.equal(init.processors, 1)
  const entity = parseInit(initXml({ init: { project_dir: "/a&amp;b&#x41;" } }))
  assert.equal(entity.projectDirectory, "/a&amp;b&#x41;")
})

test("whatever the text, the answer is data or a Failure", () => {
  fc.assert(
    fc.property(fc.nat(initXml().length), fc.nat(40), fc.string(), (at, length, insert) => {
      const xml = initXml()
      try {
        const { processors } = parseInit(xml.slice(0, at) + insert + xml.slice(at + length))
        assert.ok(processors >= 1)
      } catch (error) {
        assert.equal((error as Error).name, "Failure", `${(error as Error).stack}`)
      }
    }),
    { numRuns: 300 },
  )
})
