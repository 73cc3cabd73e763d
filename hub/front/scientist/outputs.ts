// What jobs left behind, and what they write, in the contract's words.
import { timestampFromMs } from "@bufbuild/protobuf/wkt"
import type { ServiceImpl } from "@connectrpc/connect"
import { type ScientistService, Output as WireOutput } from "../../../proto/gen/cah/v1/scientist_pb.ts"
import type { LogPiece, OutputName, Outputs } from "../../cases/outputs.ts"
import { CahError } from "../../core/errors.ts"
import { callerOf } from "../rpc/caller.ts"
import { jobOf, numberOf, wireBlob } from "../values.ts"

type Service = ServiceImpl<typeof ScientistService>

const names: Partial<Record<WireOutput, OutputName>> = {
  [WireOutput.STAGEOUT]: "stageout",
  [WireOutput.STDOUT]: "stdout",
  [WireOutput.STDERR]: "stderr",
}

export function outputMethods(outputs: Outputs): Pick<Service, "download" | "followLog"> {
  return {
    async *download({ job, output, offset: wireOffset, attempt }, context) {
      const offset = numberOf(wireOffset, "offset")
      const { blob, pieces } = outputs.read(callerOf(context), jobOf(job), nameOf(output), { attempt, offset })
      yield { blob: wireBlob(blob), offset: wireOffset }
      for await (const data of pieces) yield { data }
    },

    async *followLog({ job, output, offset, attempt }, context) {
      const name = nameOf(output)
      if (name === "stageout") throw new CahError("invalid_argument", "only stdout and stderr can be followed")
      const from = { attempt, offset: numberOf(offset, "offset") }
      const log = outputs.follow(callerOf(context), jobOf(job), name, from, context.signal)
      for await (const piece of log) yield wirePiece(piece)
    },
  }
}

function wirePiece({ data, attempt, offset, at }: LogPiece) {
  return {
    ...(data === undefined ? {} : { data }),
    ...(attempt === undefined ? {} : { attempt }),
    ...(offset === undefined ? {} : { offset: BigInt(offset) }),
    ...(at === undefined ? {} : { at: timestampFromMs(at) }),
  }
}

function nameOf(wire: WireOutput): OutputName {
  const name = names[wire]
  if (name === undefined) throw new CahError("invalid_argument", "say which output: stageout, stdout or stderr")
  return name
}
