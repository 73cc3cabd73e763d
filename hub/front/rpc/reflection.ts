// grpc.reflection v1 and v1alpha, from the descriptors that the generated code carries: `buf curl` and grpcurl need no
// .proto at hand. What is served here is the public contract, so it needs no token.
import { createRegistry, type DescFile, type Registry, toBinary } from "@bufbuild/protobuf"
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt"
import { Code, type ConnectRouter } from "@connectrpc/connect"
import {
  ServerReflection as ReflectionV1,
  type ServerReflectionRequest,
} from "../../../proto/gen/grpc/reflection/v1/reflection_pb.ts"
import { ServerReflection as ReflectionV1Alpha } from "../../../proto/gen/grpc/reflection/v1alpha/reflection_pb.ts"

export const reflectionServices = [ReflectionV1, ReflectionV1Alpha] as const

/** `files`: those of all services that are served. */
export function serveReflection(router: ConnectRouter, files: readonly DescFile[]): void {
  const answer = reflect(files)
  for (const service of reflectionServices) {
    router.rpc(service.method.serverReflectionInfo, async function* (requests: AsyncIterable<ServerReflectionRequest>) {
      for await (const request of requests) {
        const { $typeName: _name, ...originalRequest } = request
        yield { validHost: request.host, originalRequest, messageResponse: answer(request.messageRequest) }
      }
    })
  }
}

function reflect(files: readonly DescFile[]) {
  const registry = createRegistry(...files)
  const byName = new Map<string, DescFile>()
  const remember = (file: DescFile) => {
    if (byName.has(file.proto.name)) return
    byName.set(file.proto.name, file)
    file.dependencies.forEach(remember)
  }
  files.forEach(remember)
  const services = files.flatMap(file => file.services.map(service => ({ name: service.typeName })))

  return (asked: ServerReflectionRequest["messageRequest"]) => {
    switch (asked.case) {
      case "listServices":
        return { case: "listServicesResponse", value: { service: services } } as const
      case "fileByFilename":
        return fileAnswer(byName.get(asked.value), asked.value)
      case "fileContainingSymbol":
        return fileAnswer(fileOfSymbol(registry, asked.value), asked.value)
      case "fileContainingExtension": {
        const { containingType, extensionNumber } = asked.value
        const found = extensionsOf(byName.values(), containingType).find(each => each.number === extensionNumber)
        return fileAnswer(found?.file, `${containingType} ${extensionNumber}`)
      }
      case "allExtensionNumbersOfType": {
        const extensionNumber = extensionsOf(byName.values(), asked.value).map(each => each.number)
        return {
          case: "allExtensionNumbersResponse",
          value: { baseTypeName: asked.value, extensionNumber },
        } as const
      }
      default:
        return failure(Code.InvalidArgument, "an empty request")
    }
  }
}

function fileAnswer(file: DescFile | undefined, name: string) {
  if (file === undefined) return failure(Code.NotFound, `not found: ${name.slice(0, 200)}`)
  // What it imports first, each once, so that a reader can build them in order.
  const ordered = new Set<DescFile>()
  const add = (each: DescFile) => {
    each.dependencies.forEach(add)
    ordered.add(each)
  }
  add(file)
  const fileDescriptorProto = [file, ...[...ordered].filter(each => each !== file)].map(each =>
    toBinary(FileDescriptorProtoSchema, each.proto),
  )
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto } } as const
}

function failure(errorCode: Code, errorMessage: string) {
  return { case: "errorResponse", value: { errorCode, errorMessage } } as const
}

/** A symbol may also be a member: of a service, a message, an enum. */
function fileOfSymbol(registry: Registry, symbol: string): DescFile | undefined {
  const found = registry.get(symbol)
  if (found !== undefined) return found.file
  const dot = symbol.lastIndexOf(".")
  const parent = dot < 0 ? undefined : registry.get(symbol.slice(0, dot))
  const name = symbol.slice(dot + 1)
  if (parent?.kind === "service") return parent.methods.some(each => each.name === name) ? parent.file : undefined
  if (parent?.kind === "message") return parent.fields.some(each => each.name === name) ? parent.file : undefined
  if (parent?.kind === "enum") return parent.values.some(each => each.name === name) ? parent.file : undefined
  return undefined
}

function extensionsOf(files: Iterable<DescFile>, type: string) {
  return [...files].flatMap(file => file.extensions).filter(extension => extension.extendee.typeName === type)
}
