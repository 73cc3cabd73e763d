// A page of what lies in memory in no order: the first few after some id. In one pass, for sorting all of 100,000 nodes to show a
// thousand of them would hold up the hub's loop for seconds over a whole list.

/** Those with the least ids greater than `after`, by id. */
export function firstAfter<T extends { readonly id: string }>(all: Iterable<T>, after: string, limit: number): T[] {
  let page: T[] = []
  /** From here on an id cannot be of the page. */
  let bound: string | null = null
  for (const one of all) {
    if (one.id <= after || (bound !== null && one.id >= bound)) continue
    page.push(one)
    if (page.length < 2 * limit) continue
    page = page.sort(byId).slice(0, limit)
    bound = page.at(-1)!.id
  }
  return page.sort(byId).slice(0, limit)
}

function byId(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0
}
