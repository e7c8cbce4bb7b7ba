/** The shortest and plainest text near `text` that still fails: parts are left out, and characters made plain. */
export async function minimize(text: string, fails: (text: string) => Promise<boolean>): Promise<string> {
  let smallest = text
  for (let size = Math.ceil(text.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < smallest.length;) {
      const shorter = smallest.slice(0, at) + smallest.slice(at + size)
      if (await fails(shorter)) smallest = shorter
      else at += size
    }
  }
  for (let at = 0; at < smallest.length; at++) {
    const plainer = `${smallest.slice(0, at)}a${smallest.slice(at + 1)}`
    if (plainer !== smallest && (await fails(plainer))) smallest = plainer
  }
  return smallest
}
