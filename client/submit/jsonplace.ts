// Where in a JSON text something is: the place at which it stops being JSON, which JSON.parse does not always tell, and where an element
// of the outermost array begins. Only for messages; what is JSON is decided by JSON.parse.

const token =
  /[ \t\r\n]+|"(?:[ !#-[\]-\uffff]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|[[\]{},:]/y

/** The first position at which no JSON text could go on as this one does; the end for one that merely stops too early. */
export function brokenAt(text: string): number {
  const open: ("[" | "{")[] = []
  let wanted: "value" | "value or ]" | "key" | "key or }" | "colon" | "next" = "value"
  for (let position = 0; position < text.length; ) {
    token.lastIndex = position
    const [found = ""] = token.exec(text) ?? []
    if (found === "") return position
    if (/^[ \t\r\n]/.test(found)) {
      position += found.length
      continue
    }
    const inside = open.at(-1)
    if (wanted === "colon") {
      if (found !== ":") return position
      wanted = "value"
    } else if (wanted === "next") {
      if (found === "," && inside !== undefined) wanted = inside === "[" ? "value" : "key"
      else if ((found === "]" && inside === "[") || (found === "}" && inside === "{")) open.pop()
      else return position
    } else if ((wanted === "value or ]" && found === "]") || (wanted === "key or }" && found === "}")) {
      open.pop()
      wanted = "next"
    } else if (wanted === "key" || wanted === "key or }") {
      if (!found.startsWith('"')) return position
      wanted = "colon"
    } else if (found === "[" || found === "{") {
      open.push(found)
      wanted = found === "[" ? "value or ]" : "key or }"
    } else if (/^[\]},:]/.test(found)) return position
    else wanted = "next"
    position += found.length
  }
  return text.length
}

/** Where element `wanted` of the outermost array begins, in a text that is JSON. */
export function elementStart(text: string, wanted: number): number {
  let depth = 0
  let element = 0
  for (let position = 0; position < text.length; ) {
    token.lastIndex = position
    const [found = ""] = token.exec(text) ?? []
    if (depth === 1 && element === wanted && !/^[ \t\r\n,\]]/.test(found)) return position
    if (found === "[" || found === "{") depth++
    else if (found === "]" || found === "}") depth--
    else if (found === "," && depth === 1) element++
    position += Math.max(1, found.length)
  }
  return text.length
}
