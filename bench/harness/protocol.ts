/** What the parent asks of a side's process. One question at a time. */
export type Question =
  | { readonly ask: 'check' }
  | { readonly ask: 'calibrate'; readonly batchMs: number }
  | { readonly ask: 'batch'; readonly count: number }

/** What the process answers: `ready` first of all, then one answer a question. */
export type Answer =
  | { readonly is: 'ready' }
  | { readonly is: 'done' }
  | { readonly is: 'count'; readonly count: number }
  | { readonly is: 'time'; readonly nsPerOp: number }
  | { readonly is: 'failed'; readonly error: string }
