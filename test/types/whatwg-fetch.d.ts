// The own types of this package, which GraphQL Yoga imports, add the library `dom` to the whole program.
export declare const Response: typeof globalThis.Response
export declare function createFetch(): {
  fetch: typeof globalThis.fetch
  Request: typeof globalThis.Request
  Response: typeof globalThis.Response
}
