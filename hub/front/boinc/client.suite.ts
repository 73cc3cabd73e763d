// For tests: what a stock client 7.20.5 on Debian sends, in its own words and order, with the parts that a test is about. Nothing else
// imports this.
import type { Release, ReleaseFile } from "./release.ts"
import { codeKeyText, makeCodeKey, signMd5 } from "./signature.ts"

export interface Sent {
  key: string
  hostId: number
  sequence: number
  clientStarted: number
  version: readonly [number, number, number]
  platform: string
  wants: number
  refuses: boolean
  codeSignKey: string
  cpid: string
  name: string
  memoryBytes: number
  diskShareBytes: number
  virtualBox: string
  extensionsDisabled: boolean
  preferences: Readonly<Record<string, number>>
  crossId: string
  /** The client's file of them, with its tags. */
  webPreferences: string
  results: readonly { name: string; state: number; exit: number; stderr?: string }[]
  others: readonly string[]
  /** Of the computer's time that this project has: 1 where there is no other. */
  shareFraction: number
  graphicsCards: number
  /** More XML before the end. */
  more: string
}

const usual: Sent = {
  key: "a".repeat(32),
  hostId: 0,
  sequence: 0,
  clientStarted: 0,
  version: [7, 20, 5],
  platform: "x86_64-pc-linux-gnu",
  wants: 1,
  refuses: false,
  codeSignKey: "",
  cpid: "c".repeat(32),
  name: "attic",
  memoryBytes: 8 * 1024 ** 3,
  diskShareBytes: 50 * 1024 ** 3,
  virtualBox: "",
  extensionsDisabled: false,
  preferences: {},
  crossId: "",
  webPreferences: "",
  results: [],
  others: [],
  shareFraction: 1,
  graphicsCards: 0,
  more: "",
}

export function clientRequest(change: Partial<Sent> = {}): string {
  const sent = { ...usual, ...change }
  const preferences = { max_ncpus_pct: 0, ram_max_used_busy_pct: 50, ram_max_used_idle_pct: 90, ...sent.preferences }
  return `<scheduler_request>
    <authenticator>${sent.key}</authenticator>
    <hostid>${sent.hostId}</hostid>
    <rpc_seqno>${sent.sequence}</rpc_seqno>
    <core_client_major_version>${sent.version[0]}</core_client_major_version>
    <core_client_minor_version>${sent.version[1]}</core_client_minor_version>
    <core_client_release>${sent.version[2]}</core_client_release>
    <resource_share_fraction>${sent.shareFraction.toFixed(6)}</resource_share_fraction>
    <dont_send_work>${sent.refuses ? 1 : 0}</dont_send_work>
    <work_req_seconds>${sent.wants.toFixed(6)}</work_req_seconds>
    <cpu_req_secs>${sent.wants.toFixed(6)}</cpu_req_secs>
    <cpu_req_instances>0.000000</cpu_req_instances>
    <client_cap_plan_class>1</client_cap_plan_class>
    <platform_name>${sent.platform}</platform_name>
${sent.webPreferences}${sent.codeSignKey === "" ? "" : `    <code_sign_key>\n${sent.codeSignKey}</code_sign_key>\n`}<working_global_preferences>
<global_preferences>
   <source_project></source_project>
${Object.entries(preferences)
  .map(([name, value]) => `   <${name}>${value.toFixed(6)}</${name}>\n`)
  .join("")}</global_preferences>
</working_global_preferences>
${sent.crossId === "" ? "" : `<cross_project_id>${sent.crossId}</cross_project_id>\n`}${sent.clientStarted === 0 ? "" : `<time_stats>\n    <on_frac>0.999971</on_frac>\n    <client_start_time>${sent.clientStarted.toFixed(6)}</client_start_time>\n</time_stats>\n`}<net_stats>
    <bwup>325923.870337</bwup>
    <bwdown>26831539.147676</bwdown>
</net_stats>
<host_info>
    <timezone>0</timezone>
    <domain_name>${sent.name}</domain_name>
    <ip_addr>192.0.2.7</ip_addr>
    <host_cpid>${sent.cpid}</host_cpid>
    <p_ncpus>4</p_ncpus>
    <p_vendor>AuthenticAMD</p_vendor>
    <p_model>AMD EPYC [Family 25 Model 17 Stepping 1]</p_model>
    <p_fpops>1000000000.000000</p_fpops>
    <p_vm_extensions_disabled>${sent.extensionsDisabled ? 1 : 0}</p_vm_extensions_disabled>
    <m_nbytes>${sent.memoryBytes.toFixed(6)}</m_nbytes>
    <d_free>82589540352.000000</d_free>
    <os_name>Linux Debian</os_name>
    <os_version>Debian GNU/Linux 12 (bookworm) [6.1.0|libc 2.36]</os_version>
${sent.virtualBox === "" ? "" : `    <virtualbox_version>${sent.virtualBox}</virtualbox_version>\n`}</host_info>
${sent.graphicsCards === 0 ? "" : `<coprocs>\n<coproc_cuda>\n   <count>${sent.graphicsCards}</count>\n   <name>GeForce</name>\n</coproc_cuda>\n</coprocs>\n`}    <disk_usage>
        <d_boinc_used_total>90112.000000</d_boinc_used_total>
        <d_boinc_used_project>12288.000000</d_boinc_used_project>
        <d_project_share>${sent.diskShareBytes.toFixed(6)}</d_project_share>
    </disk_usage>
${sent.results.map(resultLines).join("")}<other_results>
${sent.others.map(name => `    <other_result>\n        <name>${name}</name>\n        <app_version>0</app_version>\n        <plan_class>qemu</plan_class>\n    </other_result>\n`).join("")}</other_results>
${sent.more}</scheduler_request>
`
}

function resultLines({ name, state, exit, stderr = "" }: Sent["results"][number]): string {
  return `<result>
    <name>${name}</name>
    <final_cpu_time>19.900000</final_cpu_time>
    <exit_status>${exit}</exit_status>
    <state>${state}</state>
    <platform>x86_64-pc-linux-gnu</platform>
    <version_num>100</version_num>
    <plan_class>qemu</plan_class>
<stderr_out>
<core_client_version>7.20.5</core_client_version>
<![CDATA[
<stderr_txt>
${stderr}
</stderr_txt>
]]>
</stderr_out>
</result>
`
}

const { privateKey, publicKey } = makeCodeKey()

/** A release in memory, whose files are nowhere: for what only talks about them. */
export function testRelease(change: Partial<Release> = {}): Release {
  const file = (name: string, executable = false): ReleaseFile => ({
    name,
    sizeBytes: 10,
    md5: "d".repeat(32),
    sha256: "e".repeat(64),
    executable,
    signature: signMd5(privateKey, "d".repeat(32)),
    gzip: null,
  })
  const [program, kernel, iso] = [file("vmlauncher_1", true), file("kernel_1"), file("appliance_1.iso")]
  const version = (planClass: string, more: ReleaseFile, openName: string) => ({
    platform: "x86_64-pc-linux-gnu",
    planClass,
    files: [
      { file: program, openName: null },
      { file: more, openName },
    ],
  })
  return {
    format: 1,
    name: "vmlauncher",
    title: "Work in a virtual machine",
    version: "0.1.0",
    versionNumber: 100,
    minMemoryBytes: 1024 ** 3,
    minDiskBytes: 3 * 1024 ** 3,
    codeSignKey: codeKeyText(publicKey),
    files: new Map([program, kernel, iso].map(each => [each.name, each])),
    appVersions: [version("qemu", kernel, "kernel"), version("vbox", iso, "appliance.iso")],
    downloads: new Map(),
    ...change,
  }
}
