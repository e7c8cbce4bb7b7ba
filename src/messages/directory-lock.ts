import { mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Locks a directory for this process. A lock whose process has ended is replaced. Returns the function that frees it.
 *
 * @throws {Error} if another process that still runs holds the lock.
 */
export async function lockDirectory(directory: string): Promise<() => Promise<void>> {
  await mkdir(directory, { recursive: true })
  const path = join(directory, 'logical-context.lock')
  for (let tries = 0; ; tries++) {
    try {
      const file = await open(path, 'wx')
      await file.writeFile(String(process.pid))
      await file.close()
      return () => rm(path, { force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const holder = Number(await readFile(path, 'utf8').catch(() => ''))
    if (tries > 0 || isRunning(holder)) {
      throw new Error(
        `The directory '${directory}' is in use by process ${holder}: two processes would corrupt the database. ` +
          'End that process, use another directory, or use a PostgreSQL server by its URL.',
      )
    }
    await rm(path, { force: true })
  }
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
