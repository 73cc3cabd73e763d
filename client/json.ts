// The stable form of what the hub answers: protobuf's JSON mapping. Every field present, int64 as strings, times in RFC 3339.
import { type DescMessage, type MessageShape, toJson } from "@bufbuild/protobuf"

export function json<D extends DescMessage>(schema: D, message: MessageShape<D>): unknown {
  return toJson(schema, message, { alwaysEmitImplicit: true })
}
