// The name of a job's folder wherever those of a campaign stand side by side: in the stagein that gathers them, and where `cah get` puts them.

/** The index, as wide as the last of so many jobs has it, so that a list of names is in the order of the jobs. */
export function folderOf(index: number, jobs: number): string {
  return String(index).padStart(String(Math.max(0, jobs - 1)).length, "0")
}
