// A job's parameters as people read them: "seed=3 colour=red" where they have names, otherwise the line as it was written. Pure.
import type { CampaignSpec, Job } from "../proto/gen/cah/v1/job_pb.ts"
import { quoteWord } from "./submit/shellwords.ts"

/** By name, in the order of the names. Null: they have none, or the line is not what it should be. */
export function namedParameters(names: readonly string[], line: string): [string, string][] | null {
  if (names.length === 0 || line === "") return null
  try {
    const values: unknown = JSON.parse(line)
    if (!Array.isArray(values) || values.length !== names.length) return null
    return names.map((name, index) => [name, String(values[index])])
  } catch {
    return null
  }
}

export function parametersInWords(spec: CampaignSpec | undefined, job: Job): string {
  const line = job.parameters?.line ?? ""
  const named = namedParameters(spec?.parameterNames ?? [], line)
  return named === null ? line : named.map(([name, value]) => `${name}=${quoteWord(value)}`).join(" ")
}
