/**
 * The folders with the code of this package, as a frame shows them: with `--enable-source-maps`, a frame of the build has
 * the path of its source. In a bundle of the program the package has no folder of its own.
 */
const ownFolders = /\/(?:tasks\/own-frames\.[jt]s|chunks\/core\.js)$/.test(import.meta.url)
  ? ['../../src/', '../../dist/'].flatMap((folder) => {
      const { pathname } = new URL(folder, import.meta.url)
      // A frame has an address, or a path: with a source map, or in CommonJS.
      return [pathname, decodeURIComponent(pathname)]
    })
  : []

/** Whether a line of a stack is in this package. */
export function isOwnFrame(frame: string): boolean {
  return ownFolders.some((folder) => frame.includes(folder))
}
