/** What the process with the load is told; its answer is the number of requests. */
export interface Order {
  port: number
  requests: number
}

/** Ends each reply, and is nowhere else in it. */
export const endOfReply = '~'
