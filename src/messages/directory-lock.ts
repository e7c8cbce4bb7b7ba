import { randomUUID } from 'node:crypto'
import { link, mkdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Locks a directory for this process. A lock whose process has ended is replaced. Returns the function that frees it.
 *
 * @throws {Error} if another process that still runs holds the lock.
 */
export async function lockDirectory(directory: string): Promise<() => Promise<void>> {
  await mkdir(directory, { recursive: true })
  const path = join(await realpath(directory), 'logical-context.lock')
  const own = `${path}.${randomUUID()}`
  try {
    // A link appears with its content at once: no process reads a lock that has no holder yet.
    await writeFile(own, String(process.pid))
    while (!(await linked(own, path))) await removeStale(directory, path)
  } finally {
    await rm(own, { force: true })
  }
  return () => rm(path, { force: true })
}

/** Whether a file has got a second name, which no file had. */
async function linked(file: string, name: string): Promise<boolean> {
  try {
    await link(file, name)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** @throws {Error} if the holder of the lock still runs. */
async function removeStale(directory: string, path: string): Promise<void> {
  const holder = Number(await readFile(path, 'utf8').catch(() => ''))
  if (holder === process.pid ? await isOfThisProcess(path) : isRunning(holder)) {
    throw new Error(
      `The directory '${directory}' is in use by process ${holder}: two processes would corrupt the database. ` +
        'End that process, use another directory, or use a PostgreSQL server by its URL.',
    )
  }
  // Another process may have replaced the lock meanwhile: only one of them moves a file, and sees whose lock it was.
  const stale = `${path}.${randomUUID()}`
  await rename(path, stale).catch(() => {})
  const moved = await readFile(stale, 'utf8').catch(() => '')
  if (moved !== '' && Number(moved) !== holder) await linked(stale, path)
  await rm(stale, { force: true })
}

/** An ended process can have had the id of this one: a restarted container often has the same. */
async function isOfThisProcess(path: string): Promise<boolean> {
  const startedAt = Date.now() - process.uptime() * 1000
  return stat(path).then(
    ({ mtimeMs }) => mtimeMs >= startedAt,
    () => false,
  )
}

/** Whether a process exists. A signal of 0 is only checked, never sent. */
function isRunning(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // The process exists and belongs to another user.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
