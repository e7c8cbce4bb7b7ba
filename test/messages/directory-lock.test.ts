import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { lockDirectory } from '../../src/messages/directory-lock.ts'
import { temporaryDirectory } from '../servers/server.ts'

const name = 'logical-context.lock'

/** A directory with a lock of this process id. */
async function locked(pid: number | string): Promise<string> {
  const { path, remove } = await temporaryDirectory()
  onTestFinished(remove)
  await writeFile(join(path, name), String(pid))
  await utimes(join(path, name), 0, 0)
  return path
}

async function endedProcess(): Promise<number> {
  const child = spawn(process.execPath, ['--version'], { stdio: 'ignore' })
  await once(child, 'exit')
  return Number(child.pid)
}

describe('lockDirectory', () => {
  it('is held by one of many that start at once, over the lock of an ended process', async () => {
    const path = await locked(await endedProcess())

    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => lockDirectory(path)))

    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect(await readdir(path)).toEqual([name])
    expect(await readFile(join(path, name), 'utf8')).toBe(String(process.pid))
  })

  it.each<[lock: string, pid: () => number | string]>([
    ['of an earlier process with the same id, as in a restarted container', () => process.pid],
    ['that is empty', () => ''],
  ])('replaces a lock %s', async (_, pid) => {
    const path = await locked(pid())

    const unlock = await lockDirectory(path)
    await unlock()

    expect(await readdir(path)).toEqual([])
  })

  it('refuses a directory of a process that runs', async () => {
    const path = await locked(process.ppid)

    await expect(lockDirectory(path)).rejects.toThrow(`is in use by process ${process.ppid}`)
    expect(await readdir(path)).toEqual([name])
  })
})
