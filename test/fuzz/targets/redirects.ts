import { followRedirects, type Hop } from '../../../src/clients/redirects.ts'
import { ensure, ensureSame, type FuzzTarget } from '../target.ts'

const secrets = ['authorization', 'cookie', 'proxy-authorization']
const maxHops = 21

export const redirects: FuzzTarget = {
  name: 'redirects',
  seeds: [
    '302 /next',
    '307 https://other.example/',
    '301 //other.example/a\n308 https://shop.example/',
    '303 \\\\evil.example',
    '302 ftp://x',
    '302 http://user:pass@x',
    '200 /no',
    '302 /é\n302 ?q',
    '308 :',
    '302 ?loop',
  ],
  tokens: [
    '\n',
    '301 ',
    '302 ',
    '303 ',
    '307 ',
    '308 ',
    '/',
    '//',
    'http://',
    'HTTPS:',
    'javascript:',
    '\\',
    '@',
    '#',
    '?',
    '%0d%0a',
    'shop.example',
    'evil.example',
    '\t',
    '..',
  ],
  read: (input) => follow(input),
  async check(input) {
    const { hops, error } = await follow(input)
    ensure(hops.length <= maxHops, 'follows twenty redirects at most', hops.length)
    if (error !== undefined)
      ensure(error instanceof TypeError && error.message === 'fetch failed', 'rejects as fetch does', error)
    const answerTo = answersOf(input)
    let isElsewhere = false
    for (const [place, { url, method, headers, body }] of hops.entries()) {
      if (place === 0) continue
      const before = hops[place - 1] as Hop
      const { status, location } = answerTo(place - 1)
      const expected = URL.parse(Buffer.from(location, 'latin1').toString('utf8'), before.url)
      ensureSame(url.href, expected?.href, 'goes where the platform’s parser says')
      ensure(
        /^https?:$/.test(url.protocol) && url.username === '' && url.password === '',
        'goes to HTTP only, without credentials',
        url.href,
      )
      isElsewhere ||= url.origin !== before.url.origin
      if (isElsewhere)
        ensure(
          secrets.every((name) => !headers.has(name)),
          'takes no secrets to another origin',
          url.href,
        )
      const isPost = before.method === 'POST' && status !== 303 && status > 302
      ensureSame(
        [method, body !== undefined],
        isPost ? ['POST', true] : ['GET', false],
        'sends the body again only where it must',
      )
    }
  },
}

interface Answer {
  status: number
  location: string
}

/** What the server answers, a line each; then that all is well, or for ever the same. */
function answersOf(input: string): (place: number) => Answer {
  const answers = input.split('\n').map((line) => ({ status: Number(line.slice(0, 3)), location: line.slice(4) }))
  const isEndless = input.endsWith('loop')
  return (place) => answers[isEndless ? place % answers.length : place] ?? { status: 200, location: '' }
}

async function follow(input: string): Promise<{ hops: Hop[]; error: unknown }> {
  const answerTo = answersOf(input)
  const first: Hop = {
    url: new URL('https://shop.example/a/b'),
    method: 'POST',
    headers: new Headers({ authorization: 'secret', cookie: 'secret', 'content-type': 'text/plain' }),
    body: { again: () => 'text', release() {} },
    settings: {},
  }
  const hops = [first]
  const answer = () => {
    const { status, location } = answerTo(hops.length - 1)
    return { status, headers: { get: () => location }, body: null } as unknown as Response
  }
  try {
    await followRedirects(answer(), first, async (hop) => {
      hops.push(hop)
      return answer()
    })
    return { hops, error: undefined }
  } catch (error) {
    return { hops, error }
  }
}
