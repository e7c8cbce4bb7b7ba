/** A message to the process with the load. Its answer is the number of requests. */
export interface Order {
  port: number
  requests: number
}

/** The last character of each reply. It occurs once. */
export const endOfReply = '~'
