// `npm test`: all tests. Arguments are parts of paths: `npm test -- wire link` runs the tests whose path contains either. `npm test -- cases`
// runs those that users' reports left behind, and lists them by report. `npm run check` does more than tests.
import { runCases } from "./cases.ts"
import { runTests } from "./runner.ts"

const filters = process.argv.slice(2)
process.exitCode = (await (filters.join() === "cases" ? runCases() : runTests(filters))) ? 0 : 1
