// A part of a benchmark that wants a process of its own, with a heap as large as it takes and a core: started with one JSON
// argument, it prints one line of JSON.
import { spawn } from "node:child_process"
import { relative } from "node:path"
import { fileURLToPath } from "node:url"
import { root } from "../scripts/files.ts"
import { cores, pinned } from "./machine.ts"

/** Of the machine's 24 GiB; what is measured needs a third of it. */
const HEAP_MIB = 16_384

export function runProgram<Answer>(program: URL, argument: object, core: number = cores.hub): Promise<Answer> {
  const flags = [`--max-old-space-size=${HEAP_MIB}`, "--import", "tsx", fileURLToPath(program)]
  const [command, ...args] = [...pinned(core), process.execPath, ...flags, JSON.stringify(argument)]
  const child = spawn(command!, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] })
  const onExit = () => child.kill("SIGKILL")
  process.once("exit", onExit)
  let printed = ""
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    printed += text
  })
  return new Promise((resolve, reject) => {
    child.once("error", reject)
    child.once("close", (code, signal) => {
      process.removeListener("exit", onExit)
      if (code === 0) resolve(JSON.parse(printed) as Answer)
      else reject(new Error(`${relative(root, fileURLToPath(program))} ended with ${signal ?? code}`))
    })
  })
}
