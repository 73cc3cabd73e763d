import assert from "node:assert/strict"
import { describe, it } from "node:test"
import fc from "fast-check"
import {
  failing,
  lowerCased,
  matches,
  namesOf,
  type Operator,
  printRequirement,
  printValue,
  type Requirement,
} from "./property.ts"
import {
  isNear,
  PATTERN_MAX_CHARACTERS,
  PROPERTY_MAX_CHARACTERS,
  PROPERTY_MAX_DEPTH,
  parseRequirement,
  RequirementError,
} from "./where.ts"

const node = {
  arch: "x64",
  cores: "8",
  cpu_flags: "sse4_2 avx avx2 fma aes",
  cpu_model: "Intel(R) Core(TM) i7's cousin",
  has_ffmpeg: "yes",
  kernel: "6.1.0-13-amd64",
  mem: 32 * 1024 ** 3,
  "net.link-speed": "1000",
  os: "linux",
  scratch: "200G",
  unit: "💻x",
}

function refused(text: string): RequirementError {
  try {
    parseRequirement(text)
  } catch (error) {
    assert(error instanceof RequirementError, `not a RequirementError: ${String(error)}`)
    return error
  }
  return assert.fail(`was taken: ${text}`)
}

describe("a property", () => {
  const good: readonly (readonly [text: string, matches: boolean])[] = [
    ["arch = 'x64'", true],
    ["arch = 'X64'", false],
    ["ARCH='x64' and Os = 'linux'", true],
    ["arch <> 'x64'", false],
    ["arch != 'arm64'", true],
    // Numbers: however a node or a person spells them.
    ["cores > 4", true],
    ["cores >= 8 AND cores <= 8.0 AND cores = '08'", true],
    ["cores > '10'", false],
    ["4 < cores", true],
    ["9 <= cores", false],
    ["cores > -1", true],
    ["cores>-.5", true],
    ["mem > 16G", true],
    ["mem >= 32GiB AND mem <= 32gi", true],
    ["mem > 64G", false],
    // A bare number of memory or disk is GiB.
    ["mem > 31 AND mem < 33 AND 16 < mem AND mem BETWEEN 8 AND 32 AND mem IN (16, 32)", true],
    ["mem > 64", false],
    ["scratch >= 0.1T", true],
    ["scratch = 204800M", true],
    // A number is not comparable with a text that is none; two texts are ordered as texts.
    ["arch > 4", false],
    ["NOT arch > 4", false],
    ["kernel >= '6.1'", true],
    ["net.link-speed = 1000", true],
    // LIKE
    ["cpu_flags LIKE '%avx2%'", true],
    ["cpu_flags LIKE 'avx2%'", false],
    ["cpu_flags LIKE '%aes'", true],
    ["cpu_flags NOT LIKE '%avx512f%'", true],
    ["cpu_flags LIKE 'sse4\\_2%'", true],
    ["cpu_flags LIKE 'sse4\\%2%'", false],
    ["arch LIKE 'x__'", true],
    ["arch LIKE 'x_'", false],
    ["arch LIKE '_%64'", true],
    ["arch LIKE '%%%'", true],
    ["arch LIKE ''", false],
    ["unit LIKE '_x'", true],
    ["cpu_model LIKE '%i7''s%'", true],
    ["cores LIKE '8'", true],
    ["mem LIKE '343%'", true],
    // Lists and ranges
    ["arch IN ('arm64', 'x64')", true],
    ["cores in (2, 4)", false],
    ["cores NOT IN (2, 4)", true],
    ["cores BETWEEN 8 AND 16", true],
    ["cores NOT BETWEEN 1 AND 7", true],
    ["cores BETWEEN 9 AND 16 OR os = 'linux'", true],
    ["mem BETWEEN 1G AND 32G AND os = 'linux'", true],
    // What is missing is unknown, and unknown does not match, turned or not.
    ["gpu IS NULL", true],
    ["gpu IS NOT NULL", false],
    ["arch is not null", true],
    ["gpu = 'yes'", false],
    ["NOT gpu = 'yes'", false],
    ["gpu <> 'yes'", false],
    ["gpu NOT IN ('yes')", false],
    ["gpu LIKE '%'", false],
    ["gpu = 'yes' OR arch = 'x64'", true],
    ["NOT (gpu = 'yes' AND arch = 'arm64')", true],
    ["NOT (gpu = 'yes' AND arch = 'x64')", false],
    ["arch NOT IN (3, 'arm64')", false],
    ["constructor IS NULL AND toString IS NULL", true],
    // AND binds closer than OR, NOT closer than AND.
    ["os = 'linux' OR os = 'bsd' AND cores > 99", true],
    ["(os = 'linux' OR os = 'bsd') AND cores > 99", false],
    ["NOT os = 'bsd' AND cores = 8", true],
    ["NOT (os = 'bsd' OR cores = 8)", false],
    ["NOT NOT os = 'linux'", true],
    ["\n  os\t=\n'linux' ", true],
  ]
  for (const [text, expected] of good) {
    it(`${text} ${expected ? "matches" : "does not match"}`, () => {
      assert.equal(matches(parseRequirement(text), node), expected)
    })
  }

  const bad: readonly (readonly [text: string, column: number, says: RegExp])[] = [
    ["", 1, /expected a property, found the end/],
    ["   ", 4, /expected a property, found the end/],
    ["mem", 4, /expected =, <>, .* after "mem", found the end/],
    ["mem >", 6, /expected a number, or a text in single quotes, found the end/],
    ["mem > 64 ADN os = 'linux'", 10, /expected AND, OR or the end, found "ADN"; did you mean AND\?/],
    ["mem > 64 ro os = 'linux'", 10, /did you mean OR\?/],
    ["mem > 64 os = 'linux'", 10, /expected AND, OR or the end, found "os"$/],
    ["os LKIE 'lin%'", 4, /did you mean LIKE\?/],
    ["os NOT LIEK 'lin%'", 8, /expected LIKE, IN or BETWEEN, found "LIEK"; did you mean LIKE\?/],
    ["cores BETWEN 1 AND 2", 7, /did you mean BETWEEN\?/],
    ["cores BETWEEN 1 OR 2", 17, /expected AND, found "OR"/],
    ["cores BETWEEN 1", 16, /expected AND, found the end/],
    ["NTO os = 'linux'", 1, /did you mean NOT\?/],
    ["os IS NUL", 7, /expected NULL, found "NUL"; did you mean NULL\?/],
    ["os = NULL", 6, /write "os IS NULL"/],
    ["has_ffmpeg = yes", 14, /a text stands in single quotes, 'yes'/],
    ['os = "linux"', 6, /texts stand in single quotes/],
    ["os == 'linux'", 4, /equality is one "="/],
    ["os = 'linux' && cores > 2", 14, /write "AND"/],
    ["os = 'linux' || cores > 2", 14, /write "OR"/],
    ["! os = 'linux'", 1, /write "NOT"/],
    ["os =~ 'lin'", 4, /write LIKE/],
    ["os = 'linux'; DROP TABLE jobs", 13, /one condition is all there is/],
    ["os = 'linux' -- really", 14, /found "-"/],
    ["os = 'linux", 6, /a single quote is missing/],
    ["os = 'it''s", 6, /a single quote is missing/],
    ["os = 'a\nb'", 6, /control characters/],
    ["kernel > 6.1.0", 10, /expected a number like 8, 1.5 or 64G, found "6.1.0"/],
    ["mem > 64X", 7, /found "64X"/],
    ["mem > 64GB", 7, /found "64GB"/],
    ["mem > 1e9", 7, /found "1e9"/],
    ["(os = 'linux'", 14, /expected AND, OR or "\)", found the end/],
    ["os = 'linux')", 13, /expected AND, OR or the end, found "\)"/],
    ["()", 2, /expected a property, found "\)"/],
    ["os IN 'linux'", 7, /expected \(, found 'linux'/],
    ["os IN ()", 8, /expected a number, or a text/],
    ["os IN ('a' 'b')", 12, /expected "," or "\)", found 'b'/],
    ["os LIKE 5", 9, /expected a pattern in single quotes, found "5"/],
    ["os LIKE 'a\\'", 9, /escapes nothing/],
    [`os LIKE '${"%".repeat(PATTERN_MAX_CHARACTERS + 1)}'`, 9, /the pattern has 257 characters, and may have 256/],
    ["1 = 1", 5, /expected a property to compare the value with/],
    ["'x' LIKE os", 5, /expected =, <>, <, <=, > or >= after a value/],
    ["AND os = 'linux'", 1, /expected a property, found "AND"/],
    ["os = '💻' ADN", 10, /found "ADN"/],
    ["os = 'a' AND", 13, /expected a property, found the end/],
    [`${"(".repeat(PROPERTY_MAX_DEPTH + 1)}os`, 34, /more than 32 parentheses/],
    [`${"NOT ".repeat(PROPERTY_MAX_DEPTH + 1)}os`, 133, /more than 32 parentheses/],
    [`os IN (${"1,".repeat(600)}1)`, 1029, /more than 1024 words and signs/],
  ]
  for (const [text, column, says] of bad) {
    it(`is refused with its column: ${JSON.stringify(text.slice(0, 40))}`, () => {
      const { message } = refused(text)
      assert.match(message, says)
      assert.match(message, new RegExp(`^property, column ${column}: `))
      assert(message.length < 300, message)
    })
  }

  it("is refused when it is too long, before it is read", () => {
    assert.match(refused(" ".repeat(PROPERTY_MAX_CHARACTERS + 1)).message, /has 4097 characters, and may have 4096/)
  })

  it("may be as deep and as long as the limits say", () => {
    const deep = `${"(".repeat(PROPERTY_MAX_DEPTH)}os = 'linux'${")".repeat(PROPERTY_MAX_DEPTH)}`
    assert(matches(parseRequirement(deep), node))
    assert(matches(parseRequirement("os = 'linux'".padEnd(PROPERTY_MAX_CHARACTERS)), node))
  })

  it("names what it asks for, each once, in lower case", () => {
    assert.deepEqual(namesOf(parseRequirement("Mem > 1 AND (os = 'a' OR NOT gpu IS NULL) AND mem < 9")), [
      "mem",
      "os",
      "gpu",
    ])
  })

  it("is matched against names in any case once they are lowered, the first of two alike winning", () => {
    assert(matches(parseRequirement("GPU = 'yes'"), lowerCased({ Gpu: "yes", gpu: "no" })))
  })

  it("takes no longer for a pattern that would ruin a backtracking matcher", () => {
    const hostile = parseRequirement(`os LIKE '${"%a".repeat(100)}%b'`)
    const begun = process.hrtime.bigint()
    assert(!matches(hostile, { os: "a".repeat(4_096) }))
    assert(process.hrtime.bigint() - begun < 1_000_000_000n)
  })

  it("calls near what one slip of the hand makes", () => {
    assert(["ADN", "AN", "ANDD", "nad", "AMD"].every(typed => isNear(typed, "AND")))
    assert(!isNear("mem", "AND") && !isNear("a", "AND") && !isNear("x".repeat(4_000), "AND"))
  })
})

describe("what a node lacks", () => {
  const lacks = (text: string): string[] => failing(parseRequirement(text), node)

  it("is nothing when it matches", () => {
    assert.deepEqual(lacks("os = 'linux' AND cores >= 8"), [])
  })

  it("is each part that does not hold, without those that do", () => {
    assert.deepEqual(lacks("os = 'linux' AND Mem > 64G AND (cores >= 16 AND gpu IS NOT NULL)"), [
      "mem > 64G",
      "cores >= 16",
      "gpu IS NOT NULL",
    ])
  })

  it("is one part for alternatives, reduced to what each of them lacks", () => {
    assert.deepEqual(lacks("(os = 'linux' AND cores > 99) OR gpu = 'yes'"), ["cores > 99 OR gpu = 'yes'"])
  })

  it("and what it has instead are said in the same units", () => {
    assert.deepEqual(lacks("mem > 64 AND cores > 8"), ["mem > 64G", "cores > 8"])
    const has = ["mem", "disk", "slots", "arch", "cores", "gpu"].map(one =>
      printValue(one, { ...node, disk: 700 * 1024 ** 2 + 5, slots: 4, gpu: undefined }[one]),
    )
    assert.deepEqual(has, ["32G", "700M", "4", "'x64'", "8", "NULL"])
  })

  it("is turned with a NOT", () => {
    assert.deepEqual(lacks("NOT (os = 'linux' OR cores = 9)"), ["NOT os = 'linux'"])
    assert.deepEqual(lacks("NOT (os = 'linux' AND cores = 8)"), ["NOT os = 'linux' OR NOT cores = 8"])
    assert.deepEqual(lacks("NOT (gpu IS NULL)"), ["gpu IS NOT NULL"])
  })
})

// ---- of all texts and properties ---------------------------------------------------------------------------------

const name = fc.constantFrom("ram", "os", "cpu_flags", "gpu", "net.link-speed", "not_a", "x")
const text = fc.string({ unit: "grapheme", maxLength: 6 }).filter(one => !/\p{Cc}/u.test(one))
const literal = fc.oneof(
  text.map(one => ({ kind: "text", text: one }) as const),
  fc.tuple(fc.integer({ min: -1_000, max: 1_000 }), fc.constantFrom("", "K", "M", "G", "T")).map(([n, unit]) => ({
    kind: "number" as const,
    text: `${n}${unit}`,
    value: n * 1024 ** ["", "K", "M", "G", "T"].indexOf(unit),
  })),
)
const operator = fc.constantFrom<Operator>("=", "<>", "<", "<=", ">", ">=")
/** As literals in code are, so that they compare as equal. */
const plain = { noNullPrototype: true } as const
const predicate: fc.Arbitrary<Requirement> = fc.oneof(
  fc.record({ kind: fc.constant("compare" as const), name, operator, literal }, plain),
  fc.record({ kind: fc.constant("in" as const), name, list: fc.array(literal, { minLength: 1, maxLength: 3 }) }, plain),
  fc.record(
    {
      kind: fc.constant("like" as const),
      name,
      pattern: fc.string({ unit: fc.constantFrom("%", "_", "a", "'", "\\\\", "\\%", "💻"), maxLength: 6 }),
    },
    plain,
  ),
  fc.record({ kind: fc.constant("between" as const), name, low: literal, high: literal }, plain),
  fc.record({ kind: fc.constant("null" as const), name }, plain),
)
/** Chains within chains of the same kind are flat in what parsing gives. */
const chained = (kind: "and" | "or", of: readonly Requirement[]): Requirement => ({
  kind,
  of: of.flatMap(one => (one.kind === kind ? one.of : [one])),
})
const { property } = fc.letrec<{ property: Requirement }>(tie => ({
  property: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    predicate,
    fc
      .tuple(fc.constantFrom("and" as const, "or" as const), fc.array(tie("property"), { minLength: 2, maxLength: 3 }))
      .map(([kind, of]) => chained(kind, of)),
    tie("property").map(of => ({ kind: "not" as const, of })),
  ),
}))
const reports = fc.dictionary(name, fc.oneof(text, fc.integer(), fc.constantFrom("1", "2K", "a%", "")), { maxKeys: 5 })

describe("of any property", () => {
  it("printing and parsing gives the same again", () => {
    fc.assert(
      fc.property(property, one => assert.deepEqual(parseRequirement(printRequirement(one)), one)),
      { numRuns: 1_500 },
    )
  })

  it("and its opposite at most one matches, and the opposite of the opposite is itself", () => {
    fc.assert(
      fc.property(property, reports, (one, given) => {
        const here = lowerCased(given)
        const turned: Requirement = { kind: "not", of: one }
        assert(!(matches(one, here) && matches(turned, here)))
        assert.equal(matches({ kind: "not", of: turned }, here), matches(one, here))
      }),
      { numRuns: 1_500 },
    )
  })

  it("what a node lacks is empty exactly when it matches, and is itself what the node does not match", () => {
    fc.assert(
      fc.property(property, reports, (one, given) => {
        const here = lowerCased(given)
        const lacking = failing(one, here)
        assert.equal(lacking.length === 0, matches(one, here))
        for (const part of lacking) assert(!matches(parseRequirement(part), here), part)
      }),
      { numRuns: 1_500 },
    )
  })

  it("LIKE says what the same pattern says as a regular expression", () => {
    const small = fc.string({ unit: fc.constantFrom("a", "b", "💻"), maxLength: 8 })
    const pattern = fc.string({ unit: fc.constantFrom("a", "b", "%", "_", "💻"), maxLength: 6 })
    fc.assert(
      fc.property(small, pattern, (os, like) => {
        const same = new RegExp(`^${like.replaceAll("%", ".*").replaceAll("_", ".")}$`, "su")
        assert.equal(matches({ kind: "like", name: "os", pattern: like }, { os }), same.test(os))
      }),
      { numRuns: 1_500 },
    )
  })
})

describe("of any text", () => {
  const survives = (given: string): void => {
    try {
      assert.deepEqual(parseRequirement(printRequirement(parseRequirement(given))), parseRequirement(given))
    } catch (error) {
      assert(error instanceof RequirementError, String(error))
      assert.match(error.message, /^(property, column \d+: |the property has )/)
    }
  }

  it("parsing ends in a property or in an error with a column", () => {
    fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 200 }), survives), { numRuns: 1_500 })
  })

  it("made of its own words too", () => {
    const word = fc.constantFrom(
      ..."AND OR NOT IN LIKE IS NULL BETWEEN ( ) , = <> ! < >= mem os 'x' '' ' 5 64G -1 . \\ %".split(" "),
    )
    const words = fc.array(word, { maxLength: 30 }).map(all => all.join(" "))
    fc.assert(fc.property(words, survives), { numRuns: 1_500 })
  })
})
