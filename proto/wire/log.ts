// An output that a job did not write, or that nobody kept, in the words of hub and agent alike.

/** Nothing inline, nothing in a blob, nothing dropped. */
export const noLog: { readonly inline: null; readonly blob: null; readonly droppedBytes: number } = {
  inline: null,
  blob: null,
  droppedBytes: 0,
}
