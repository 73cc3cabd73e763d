// The types of the client's library as one file that imports nothing, so that a program in strict TypeScript needs no package besides. What
// other packages declare and ours name (protobuf's messages) is inside. Knows which packages those are.
import { join } from "node:path"
import { rollup } from "rollup"
import { dts } from "rollup-plugin-dts"
import { root } from "../scripts/files.ts"

const PROTOBUF = "@bufbuild/protobuf"

/** Writes client.d.mts. Throws where a type is wrong, or of a package that is not inside. */
export async function writeTypes(outFile: string): Promise<void> {
  const bundle = await rollup({
    input: join(root, "client/library.ts"),
    plugins: [
      {
        name: "protobuf's own types",
        resolveId(id) {
          if (id !== PROTOBUF && !id.startsWith(`${PROTOBUF}/`)) return null
          const part = id.slice(PROTOBUF.length + 1)
          return join(root, "node_modules", PROTOBUF, "dist/esm", part, "index.d.ts")
        },
      },
      dts({
        tsconfig: join(root, "tsconfig.json"),
        includeExternal: [PROTOBUF],
        compilerOptions: { noEmit: false, stripInternal: true, removeComments: false },
      }),
    ],
    onwarn(warning) {
      throw new Error(`types of the library: ${warning.message}`)
    },
  })
  await bundle.write({ file: outFile, format: "es" })
  await bundle.close()
}
