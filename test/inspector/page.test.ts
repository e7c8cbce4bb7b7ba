import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { ContextVar, runInScope, spawn, TaskGroup } from 'logical-context'
import type { Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { requests } from '../../examples/server/requests.ts'
import { startProgram } from '../examples/program.ts'
import { needs } from '../servers/server.ts'
import { chromiumProgram, startChromium } from './chromium.ts'
import { EventReader } from './event-reader.ts'
import { appWith, handlerWith } from './served.ts'

const { name, skip } = needs(chromiumProgram, 'chromium')

const tenant = new ContextVar<string>('tenant', { onSpawn: 'keep' })
const user = new ContextVar<string>('user')
const password = new ContextVar<string>('password', { sensitive: true })
const fields = { tenant, user }

describe.skipIf(skip)(`the page of the inspector, in Chromium${name}`, { timeout: 60_000 }, () => {
  let browser: Awaited<ReturnType<typeof startChromium>>
  let page: Page
  const problems: string[] = []

  beforeAll(async () => {
    browser = await startChromium()
    page = await browser.newPage()
    page.on('pageerror', (error) => problems.push(String(error)))
    page.on('console', (message) => {
      if (message.type() === 'error' && !/ERR_|Failed to load/.test(message.text())) problems.push(message.text())
    })
  }, 60_000)
  afterAll(() => browser?.[Symbol.asyncDispose]())
  afterEach(() => {
    if (problems.length > 0) throw new Error(problems.splice(0).join('\n'))
  })

  /** Opens the page, and waits for its stream. */
  async function open(address: string): Promise<void> {
    await page.goto(`${address}/`)
    await page.getByText('live,').waitFor()
  }

  /** The row of the table with this text. */
  const row = (text: string | RegExp) => page.getByRole('row').filter({ hasText: text })
  const names = () => page.locator('tbody tr b').allInnerTexts()

  it('shows rows while the work runs, and what each of them sees, but no sensitive value', async () => {
    const { promise: opened, resolve: openGate } = Promise.withResolvers<void>()
    const shop = await appWith({ fields }, (app) =>
      app.get('/orders/:id', async () => {
        tenant.set('acme')
        user.set('ann')
        password.set('canary-password')
        spawn(() => opened, { name: 'send-receipt' })
        spawn(() => opened, { name: 'reindex', policy: { only: [tenant] } })
        return 'ok'
      }),
    )
    await open(shop.page)
    expect(await page.getByText('No request yet').isVisible()).toBe(true)

    await fetch(`${shop.url}/orders/1`)

    await row('GET /orders/:id').waitFor()
    await row('send-receipt').filter({ hasText: 'running' }).waitFor()
    expect(await row('reindex').getByRole('gridcell').allInnerTexts()).toEqual([
      expect.stringContaining('reindex'),
      'only tenant',
      'acme',
      '·',
      expect.stringContaining('running'),
      expect.stringMatching(/\d+ m?s$/),
    ])
    openGate()
    await row('send-receipt').filter({ hasText: 'done' }).waitFor()
    expect(await page.content()).not.toContain('canary')
    expect(await page.title()).toBe('Inspector')
  })

  it('shows a task that waits in a full group, and filters the problems', async () => {
    const { promise: opened, resolve: openGate } = Promise.withResolvers<void>()
    onTestFinished(() => openGate())
    const group = new TaskGroup({ name: 'mail', maxConcurrent: 1 })
    const shop = await appWith({ fields }, (app) => {
      app.get('/good', async () => 'ok')
      app.get('/full', async () => {
        group.spawn(() => opened, { name: 'first-mail' })
        group.spawn(() => opened, { name: 'stuck-mail' })
        return 'ok'
      })
    })
    await open(shop.page)

    await fetch(`${shop.url}/good`)
    await fetch(`${shop.url}/full`)
    await row('stuck-mail').filter({ hasText: '⚠ waiting' }).waitFor()
    await page.getByText('mail: 1 running, 1 queued').waitFor()
    await row('GET /good').waitFor()
    await page.getByLabel('only problems').check()

    await row('GET /good').waitFor({ state: 'detached' })
    expect(await names()).toEqual(['GET /full', 'first-mail', 'stuck-mail'])
    await row('stuck-mail').click()
    await page.getByRole('complementary', { name: 'Details' }).getByText('waits for a slot in the group mail').waitFor()
  })

  it('filters by text, name, service, policy and outcome', async () => {
    const shop = await appWith({ fields }, (app) => {
      app.get('/a', async () => {
        user.set('ann')
        spawn(() => {}, { name: 'apart', policy: 'isolate' })
        return 'ok'
      })
      app.get('/b', async () => {
        throw new Error('broken')
      })
    })
    await open(shop.page)
    await fetch(`${shop.url}/a`)
    await fetch(`${shop.url}/b`)
    await row('apart').waitFor()
    await row('GET /b').waitFor()
    const onlyA = ['GET /a', 'apart']

    for (const [choose, expected] of [
      [() => page.getByLabel('Search').fill('ANN'), onlyA],
      [() => page.getByLabel('Name').fill('/b'), ['GET /b']],
      [() => page.getByLabel('Policy').selectOption('isolate'), onlyA],
      [() => page.getByLabel('Outcome').selectOption('failed'), ['GET /b']],
      [() => page.getByRole('combobox', { name: 'Service' }).selectOption('shop'), ['GET /b', ...onlyA]],
    ] as const) {
      await choose()
      await expect.poll(names).toEqual(expected)
      await page.getByRole('button', { name: 'Clear' }).click()
      await expect.poll(names).toEqual(['GET /b', ...onlyA])
    }
  })

  it('is used by the keyboard alone', async () => {
    const shop = await appWith({ fields }, (app) =>
      app.get('/', async () => {
        user.set('ann')
        spawn(() => spawn(() => {}, { name: 'inner' }), { name: 'outer' })
        return 'ok'
      }),
    )
    await open(shop.page)
    await fetch(shop.url)
    await row('inner').waitFor()
    const focused = () => page.locator(':focus').innerText()
    const press = (key: string) => page.keyboard.press(key)

    await page.getByLabel('only problems').focus()
    await press('Tab')
    expect(await focused()).toContain('GET /')
    await press('ArrowDown')
    expect(await focused()).toContain('outer')
    await press('ArrowRight')
    expect(await focused()).toContain('inner')
    await press('ArrowLeft')
    await press('ArrowLeft')
    await row('inner').waitFor({ state: 'detached' })
    expect(await page.locator(':focus').getAttribute('aria-expanded')).toBe('false')
    await press('ArrowRight')
    await row('inner').waitFor()
    await press('End')
    expect(await focused()).toContain('inner')
    await press('Home')
    await press('Enter')
    const details = page.getByRole('complementary', { name: 'Details' })
    await details.getByRole('rowheader', { name: 'user' }).waitFor()
    await press('Escape')
    await details.waitFor({ state: 'detached' })
    expect(await focused()).toContain('GET /')
  })

  it('has roles and names for a screen reader', async () => {
    const shop = await appWith({ fields }, (app) => app.get('/', async () => void spawn(() => {}, { name: 'receipt' })))
    await open(shop.page)
    await fetch(shop.url)
    await row('receipt').waitFor()

    expect(await page.getByRole('treegrid', { name: 'Traces' }).count()).toBe(1)
    expect(await row('receipt').getAttribute('aria-level')).toBe('2')
    expect(await row('GET /').getAttribute('aria-expanded')).toBe('true')
    expect(await page.getByRole('search', { name: 'Filters' }).getByRole('combobox').count()).toBe(4)
    expect(await page.getByRole('status').first().innerText()).toMatch(/^live, 0 problems$/)
    const unnamed = await page
      .locator('button, input, select')
      .evaluateAll(
        (all) =>
          (
            all as unknown as { labels?: ArrayLike<unknown> | null; innerText: string; ariaLabel: string | null }[]
          ).filter(({ labels, innerText, ariaLabel }) => !labels?.length && innerText === '' && !ariaLabel).length,
      )
    expect(unnamed).toBe(0)
  })

  it.each(['light', 'dark'] as const)('has controls whose borders are easy to see: %s', async (colorScheme) => {
    await page.emulateMedia({ colorScheme })
    onTestFinished(() => page.emulateMedia({ colorScheme: null }))
    const { page: address } = await handlerWith()
    await open(address)

    const controls = page.locator('button, input:not([type=checkbox]), select')
    const colors = await controls.evaluateAll((all) => {
      const { document, getComputedStyle } = globalThis as unknown as Browser
      const { backgroundColor: outside } = getComputedStyle(document.body)
      return all.map((control) => {
        const { borderTopColor: border, backgroundColor: inside } = getComputedStyle(control)
        return { border, inside, outside }
      })
    })

    expect(colors.length).toBeGreaterThan(5)
    // WCAG 2.2, 1.4.11 Non-text Contrast
    for (const { border, inside, outside } of colors)
      for (const surface of [inside, outside]) expect(contrast(border, surface)).toBeGreaterThanOrEqual(3)
  })

  it('pauses, and shows the news afterwards', async () => {
    const { page: address } = await handlerWith()
    await open(address)
    await page.getByRole('button', { name: 'Pause' }).click()

    runInScope(() => {}, { name: 'meanwhile' })
    runInScope(() => {}, { name: 'last' })
    await (await EventReader.open(address)).row('last')
    expect(await names()).toEqual([])
    await page.getByRole('button', { name: 'Pause' }).click()

    await row('meanwhile').waitFor()
  })

  it('continues after its connection broke', async () => {
    const { page: address } = await handlerWith()
    const proxy = await cuttableProxy(Number(new URL(address).port))
    await open(`http://127.0.0.1:${proxy.port}/__context`)
    runInScope(() => {}, { name: 'before' })
    await row('before').waitFor()

    proxy.cut()
    await page.getByText('not connected').waitFor()
    runInScope(() => {}, { name: 'while it was cut' })

    await row('while it was cut').waitFor()
    expect(await names()).toEqual(['while it was cut', 'before'])
    expect(proxy.lastEventIds.filter((id) => id !== undefined)).toEqual([expect.stringMatching(/^[0-9a-f]{8}\.\d+$/)])
  })

  it('shows the close of a server', async () => {
    const { promise: opened, resolve: openGate } = Promise.withResolvers<void>()
    const shop = await appWith({}, (app) => app.get('/', async () => void spawn(() => opened, { name: 'receipt' })))
    await open(shop.page)
    await fetch(shop.url)
    await row('receipt').waitFor()

    const closed = shop.app.close()
    const status = page.getByRole('status').filter({ hasText: 'drains: 0 requests and 1 task left' })
    await status.waitFor()
    const said = await status.innerText()
    const elapsed = page.locator('.drain')
    const before = await elapsed.innerText()
    await expect.poll(() => elapsed.innerText()).not.toBe(before)
    // A screen reader reads each change of a status, and the time changes five times a second.
    expect(await status.innerText()).toBe(said)
    openGate()
    await closed

    await page.getByText('drained: nothing is left').waitFor()
  })

  // `npm run inspector-picture`
  it.runIf(process.env['INSPECTOR_PICTURE'])(
    'makes the picture of the guide from the shop',
    { timeout: 300_000 },
    async () => {
      const shop = startProgram('examples/server/start.ts')
      onTestFinished(() => shop.kill('SIGKILL'))
      const [, gateway = ''] = await shop.saw(/(\S+)\/__context/)
      await open(`${gateway}/__context`)

      // One succeeds, one is cancelled by its client, one fails.
      const [tea, , , nectar, , cocoa] = requests
      for (const { call } of [nectar, tea].flatMap((request) => request ?? [])) await fetch(`${gateway}/orders`, call)
      await row('refresh-price-cache').filter({ hasText: 'done' }).waitFor()
      const cancelled = fetch(`${gateway}/orders`, cocoa?.call).catch(() => {})
      await row('POST /reservations').filter({ hasText: 'running' }).waitFor()
      cocoa?.connection.abort()
      await cancelled
      await expect.poll(() => row('send-receipt').filter({ hasText: 'done' }).count(), { timeout: 10_000 }).toBe(2)
      await expect.poll(() => row('GET /prices').filter({ hasText: 'done' }).count(), { timeout: 10_000 }).toBe(2)
      await row('reindex').first().click()
      await page.setViewportSize({ width: 1240, height: 570 })

      await page.screenshot({ path: 'docs/guides/inspector.png' })
    },
  )
})

/** What a function that runs in the page uses of it. */
interface Browser {
  readonly document: { readonly body: unknown }
  getComputedStyle(element: unknown): { readonly backgroundColor: string; readonly borderTopColor: string }
}

/** The contrast ratio of two colors, such as `rgb(1, 2, 3)`. WCAG 2.2, "contrast ratio" and "relative luminance" */
function contrast(...colors: [string, string]): number {
  const [darker = 0, lighter = 0] = colors
    .map((color) => {
      const [red = 0, green = 0, blue = 0] = (color.match(/\d+/g) ?? [])
        .map((part) => Number(part) / 255)
        .map((part) => (part <= 0.040_45 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue
    })
    .toSorted((one, other) => one - other)
  return (lighter + 0.05) / (darker + 0.05)
}

/** A proxy whose connections can be cut. It notes the last event of each request for the stream. */
async function cuttableProxy(port: number) {
  const sockets = new Set<Socket>()
  const lastEventIds: (string | undefined)[] = []
  const server = createServer((client) => {
    const upstream = connect(port, '127.0.0.1')
    for (const socket of [client, upstream]) sockets.add(socket.on('error', () => {}))
    client.on('data', (bytes) => {
      const head = bytes.toString('latin1')
      if (head.startsWith('GET /__context/events')) lastEventIds.push(/^last-event-id: (.*)$/im.exec(head)?.[1]?.trim())
    })
    client.pipe(upstream).pipe(client)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const cut = () => {
    for (const socket of sockets) socket.destroy()
    sockets.clear()
  }
  onTestFinished(() => {
    cut()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, lastEventIds, cut }
}
