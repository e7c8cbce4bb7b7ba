/**
 * The folders with the code of this package, as a frame shows them: with `--enable-source-maps`, a frame of the build has
 * the path of its source. In a bundle of the program the package has no folder of its own, and in one that is CommonJS
 * there is no `import.meta.url`.
 */
const ownFolders = /\/(?:tasks\/own-frames\.[jt]s|chunks\/core\.js)$/.test(import.meta.url)
  ? ['../../src/', '../../dist/'].flatMap((folder) => {
      const { pathname } = new URL(folder, import.meta.url)
      // A frame has an address, or a path: with a source map, or in CommonJS.
      return [pathname, decodeURIComponent(pathname)]
    })
  : []

/** The path of a frame of an installed package: with a source map, also in a bundle. */
const installed = /[\\/]node_modules[\\/]logical-context[\\/]/

/** Whether a line of a stack is in this package. */
export function isOwnFrame(frame: string): boolean {
  return installed.test(frame) || ownFolders.some((folder) => frame.includes(folder))
}
