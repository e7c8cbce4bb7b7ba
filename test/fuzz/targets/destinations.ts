import { BlockList, isIP, isIPv4 } from 'node:net'
import { compileDestinations, targetOf } from '../../../src/clients/destinations.ts'
import { ensure, ensureSame, type FuzzTarget } from '../target.ts'

export const destinations: FuzzTarget = {
  name: 'destinations',
  seeds: [
    'api.example.com\nhttp://api.example.com/',
    '.example.com\nhttps://a.b.example.com:8443/x',
    '.example.com\nhttps://badexample.com/',
    'https://api.example.com\nhttp://api.example.com/',
    'localhost:3000\n[::1]:3000\nhttp://[::1]:3000/',
    '10.0.0.1\nhttp://0x0a.1/',
    '*.example.com\nhttps://a.example.com/',
    '10.0.0.0/8\nhttp://10.1.1.1/',
    'fd00::/8\nhttp://[fd00::1]/',
    'bücher.example\nhttp://xn--bcher-kva.example./',
    'example.com\nhttp://user@evil.com@example.com/',
  ],
  tokens: [
    '\n',
    '.',
    ':',
    '/',
    '//',
    '@',
    '?',
    '#',
    '\\',
    'example.com',
    'http://',
    'https://',
    'evil.com',
    ':80',
    ':443',
    '[::1]',
    '127.1',
    '%2e',
    '。',
    'xn--',
    ' ',
    '*',
    '*.',
    '/8',
    '10.0.0.0',
    'fd00::',
  ],
  read: (input) => judged(input),
  check(input) {
    const { rules, url, told } = judged(input)
    // No client calls another scheme.
    if (url === null || told === undefined || !(url.protocol in schemes)) return
    ensureSame(
      told,
      rules.some((rule) => reaches(rule, url)),
      'matches the listed hosts, and no others',
    )
    // A host that no list can name is none of a client's parts either.
    if (!/^[\w-][\w.-]*$|^\[/.test(url.hostname)) return
    const target = targetOf(url.protocol, url.hostname.replace(/^\[|\]$/g, ''), url.port)
    ensureSame(target?.hostname, url.hostname, 'matches a host by its parts as by its URL')
  },
}

/** The last line is the URL of a call, those before it are the list. */
function judged(input: string): { rules: string[]; url: URL | null; told: boolean | undefined } {
  const rules = input.split('\n')
  const url = URL.parse(rules.pop() ?? '')
  let judge
  try {
    judge = compileDestinations('fuzz', rules)
  } catch (error) {
    const isTold = error instanceof TypeError && /^fuzz: expected .* got /s.test(error.message)
    ensure(isTold, 'refuses at registration, with expected and got', String(error))
    return { rules, url, told: undefined }
  }
  return { rules, url, told: url === null ? undefined : judge(url) === true }
}

const schemes: Record<string, string> = { 'http:': '80', 'https:': '443' }

function isInRange(address: string, net: string, prefix: number): boolean {
  if (isIP(address) === 0 || isIP(address) !== isIP(net)) return false
  const list = new BlockList()
  list.addSubnet(net, prefix, isIPv4(net) ? 'ipv4' : 'ipv6')
  return list.check(address, isIPv4(address) ? 'ipv4' : 'ipv6')
}

/** By whole labels of the names, which the platform's own parser has written. */
function reaches(rule: string, url: URL): boolean {
  const [, net = '', prefix] = /^([^/]+)\/(\d+)$/.exec(rule) ?? []
  if (prefix !== undefined) return isInRange(url.hostname.replace(/^\[|\]$/g, ''), net, Number(prefix))
  const [, scheme, dot, rest = ''] = /^(?:(https?):\/\/)?((?:\*?\.)?)(.*)$/is.exec(rule) ?? []
  const isBareIPv6 = rest.includes(':') && URL.canParse(`http://[${rest}]/`)
  const listed = URL.parse(`http://${isBareIPv6 ? `[${rest}]` : rest}/`)
  if (listed === null) return false
  const [name, host] = [listed.hostname, url.hostname].map((text) => text.replace(/\.$/, ''))
  const protocol = scheme && `${scheme.toLowerCase()}:`
  if (protocol && protocol !== url.protocol) return false
  const written = isBareIPv6 ? undefined : /:(\d+)$/.exec(rest)?.[1]
  const port = written === undefined ? protocol && schemes[protocol] : String(Number(written))
  if (port && port !== (url.port || schemes[url.protocol])) return false
  if ((host as string).length > 255 || host?.startsWith('.')) return false
  return dot !== '' ? (host as string).endsWith(`.${name}`) : host === name
}
