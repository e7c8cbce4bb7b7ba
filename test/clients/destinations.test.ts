import { ContextVar } from 'logical-context'
import { describe, expect, it } from 'vitest'
import { compileDestinations, type Destinations, targetOf } from '../../src/clients/destinations.ts'

const tenant = new ContextVar<string>('tenant')
const user = new ContextVar<string>('user')
const password = new ContextVar<string>('password', { sensitive: true })

const matches = (list: Destinations, url: string) => compileDestinations('test', list)(new URL(url))

describe('compileDestinations', () => {
  it.each<[name: string, rule: string, url: string]>([
    ['the host itself', 'warehouse.internal', 'http://warehouse.internal/'],
    ['the host on any port', 'warehouse.internal', 'http://warehouse.internal:8080/'],
    ['the host with any scheme', 'warehouse.internal', 'https://warehouse.internal/'],
    ['the host in another case', 'warehouse.internal', 'http://WareHouse.Internal/'],
    ['a rule in another case', 'WAREHOUSE.internal', 'http://warehouse.internal/'],
    ['a URL with a final dot', 'warehouse.internal', 'http://warehouse.internal./'],
    ['a rule with a final dot', 'warehouse.internal.', 'http://warehouse.internal/'],
    ['a URL with userinfo', 'warehouse.internal', 'http://evil.test:evil@warehouse.internal/'],
    ['a host of one label', 'orders', 'http://orders:3000/'],
    ['a host with an underscore', 'orders_v2', 'http://orders_v2/'],
    ['a host one label below a suffix', '.svc.cluster.local', 'http://orders.svc.cluster.local/'],
    ['a host two labels below a suffix', '.svc.cluster.local', 'http://orders.shop.svc.cluster.local/'],
    ['a host below a suffix, final dot', '.svc.cluster.local', 'http://orders.svc.cluster.local./'],
    ['a host below a wildcard', '*.svc.cluster.local', 'http://orders.shop.svc.cluster.local/'],
    ['a wildcard with a scheme and a port', 'https://*.example.com:8443', 'https://api.example.com:8443/'],
    ['an address in a range', '10.0.0.0/8', 'http://10.200.1.1:3000/'],
    ['an address in another notation in a range', '10.0.0.0/8', 'http://0x0a000001/'],
    ['an address in a range with a mask', '10.20.0.0/255.255.0.0', 'https://10.20.1.1/'],
    ['an IPv6 address in a range', 'fd00::/8', 'http://[fd00::1]/'],
    ['a loopback address', 'loopback', 'http://127.0.0.1:3000/'],
    ['an IPv6 loopback address', 'loopback', 'http://[::1]/'],
    ['a unique local address', 'uniquelocal', 'http://192.168.1.1/'],
    ['the name localhost', 'localhost', 'http://localhost:3000/'],
    ['a suffix of one label', '.internal', 'http://warehouse.internal/'],
    ['a suffix with its port', '.internal:8080', 'http://warehouse.internal:8080/'],
    ['a port', 'localhost:3000', 'http://localhost:3000/'],
    ['a port with the other scheme', 'localhost:3000', 'https://localhost:3000/'],
    ['the default port of http', 'localhost:80', 'http://localhost/'],
    ['the default port of https', 'localhost:443', 'https://localhost/'],
    ['a port with leading zeros', 'localhost:0080', 'http://localhost/'],
    ['a scheme', 'https://api.example.com', 'https://api.example.com/'],
    ['a scheme in another case', 'HTTPS://api.example.com', 'https://api.example.com/'],
    ['a scheme with its default port', 'https://api.example.com', 'https://api.example.com:443/'],
    ['a scheme and a port', 'https://api.example.com:8443', 'https://api.example.com:8443/'],
    ['a scheme and a suffix', 'https://.example.com', 'https://api.example.com/'],
    ['an IPv4 address', '127.0.0.1', 'http://127.0.0.1:3000/'],
    ['an IPv4 address in another notation', '127.1', 'http://0x7f000001/'],
    ['an IPv6 address', '::1', 'http://[::1]:3000/'],
    ['an IPv6 address in brackets', '[::1]', 'http://[::1]/'],
    ['an IPv6 address in another notation', '0:0:0:0:0:0:0:1', 'http://[::1]/'],
    ['an IPv6 address and a port', '[::1]:3000', 'http://[::1]:3000/'],
    ['an IPv6 address with a scheme', 'http://[::1]:3000', 'http://[::1]:3000/'],
    ['a name in Unicode', 'bücher.example', 'https://xn--bcher-kva.example/'],
    ['a name in Punycode', 'xn--bcher-kva.example', 'https://bücher.example/'],
    ['a suffix in Unicode', '.bücher.example', 'https://api.xn--bcher-kva.example/'],
    ['full-width dots and letters', 'example.com', 'https://ｅｘａｍｐｌｅ。com/'],
  ])('matches %s', (_, rule, url) => {
    expect(matches([rule], url)).toBe(true)
  })

  it.each<[name: string, rule: string, url: string]>([
    ['the name before another one', 'api.example.com', 'https://api.example.com.evil.test/'],
    ['the name after other letters', 'example.com', 'https://notexample.com/'],
    ['the name before other letters', 'example.com', 'https://example.community/'],
    ['a name below the host', 'example.com', 'https://api.example.com/'],
    ['a name that ends like a suffix in the middle of a label', '.example.com', 'https://notexample.com/'],
    ['the name above a suffix', '.example.com', 'https://example.com/'],
    ['a name with a suffix before another one', '.example.com', 'https://api.example.com.evil.test/'],
    ['the name as userinfo', 'api.example.com', 'https://api.example.com@evil.test/'],
    ['the name as userinfo with a port', 'api.example.com', 'https://api.example.com:443@evil.test/'],
    ['the name in the path', 'api.example.com', 'https://evil.test/api.example.com'],
    ['the name after a backslash', 'api.example.com', 'https://evil.test\\@api.example.com/'],
    ['the name in the query', 'api.example.com', 'https://evil.test?@api.example.com'],
    ['the name in the fragment', 'api.example.com', 'https://evil.test#@api.example.com'],
    ['the name with two final dots', 'example.com', 'https://example.com../'],
    ['another port', 'localhost:3000', 'http://localhost:3001/'],
    ['the default port for another one', 'localhost:3000', 'http://localhost/'],
    ['the other scheme', 'https://api.example.com', 'http://api.example.com/'],
    ['the other scheme on the same port', 'https://api.example.com', 'http://api.example.com:443/'],
    ['a port other than that of the scheme', 'https://api.example.com', 'https://api.example.com:8443/'],
    ['a scheme that is not HTTP', 'https://api.example.com', 'wss://api.example.com/'],
    ['another IPv6 address', '::1', 'http://[::2]/'],
    ['an IPv6 address for the IPv4 one in it', '127.0.0.1', 'http://[::ffff:127.0.0.1]/'],
    ['an address that ends alike', '27.0.0.1', 'http://127.0.0.1/'],
    ['a look-alike in Cyrillic', 'example.com', 'https://exаmple.com/'],
    ['a name in Unicode that looks alike', 'bücher.example', 'https://bũcher.example/'],
    ['the name above a wildcard', '*.example.com', 'https://example.com/'],
    ['a name that ends like a wildcard in the middle of a label', '*.example.com', 'https://notexample.com/'],
    ['an address outside a range', '10.0.0.0/8', 'http://11.0.0.1/'],
    ['a name that looks like an address in a range', '10.0.0.0/8', 'http://10.0.0.1.evil.test/'],
    ['the name localhost for loopback addresses, as names are not resolved', 'loopback', 'http://localhost/'],
    ['an empty label below a suffix', '.example.com', 'http://.example.com/'],
    ['a name that is too long', '.example.com', `https://${'a.'.repeat(130)}example.com/`],
  ])('does not match %s', (_, rule, url) => {
    expect(matches([rule], url)).toBe(false)
  })

  it('returns the variables of a range', () => {
    const list: Destinations = [{ host: '10.0.0.0/8', only: [tenant] }, '10.1.0.0/16']

    expect(matches(list, 'http://10.2.0.1/')).toEqual([tenant])
    expect(matches(list, 'http://10.1.0.1/')).toBe(true)
  })

  it.each<[name: string, list: string[], shown: string]>([
    ['every name', ['*'], "'*'"],
    ['every name below the root', ['*.'], "'*.'"],
    ['every IPv4 address', ['0.0.0.0/0'], "'0.0.0.0/0'"],
    ['every IPv4 address, with a prefix of two digits', ['10.0.0.0/00'], "'10.0.0.0/00'"],
    ['every IPv4 address, with a mask', ['0.0.0.0/0.0.0.0'], "'0.0.0.0/0.0.0.0'"],
    ['every IPv6 address', ['::/0'], "'::/0'"],
    ['every IPv4 address in IPv6', ['::ffff:0.0.0.0/96'], "[ '::ffff:0.0.0.0/96' ]"],
    ['all public IPv6 addresses', ['2000::/3'], "[ '2000::/3' ]"],
    ['two halves of all addresses', ['0.0.0.0/1', '128.0.0.0/1'], "[ '0.0.0.0/1', '128.0.0.0/1' ]"],
  ])('throws a TypeError that says what to write instead of %s', (_, list, shown) => {
    const message =
      `contextFetch: expected a host of your own, got ${shown}, which is every host: each of them would receive the ` +
      "values. List your services, for example '*.example.com' or '10.20.0.0/16'."

    expect(() => compileDestinations('contextFetch', list)).toThrow(new TypeError(message))
  })

  it('matches no host by an empty list', () => {
    expect(matches([], 'http://localhost/')).toBe(false)
  })

  it('returns the variables of all rules that match', () => {
    const list: Destinations = [
      { host: '.example.com', only: [tenant] },
      { host: 'https://api.example.com', only: [user] },
      'warehouse.internal',
      { host: 'warehouse.internal', only: [tenant] },
    ]

    expect(matches(list, 'http://www.example.com/')).toEqual([tenant])
    expect(matches(list, 'https://api.example.com/')).toEqual([user, tenant])
    expect(matches(list, 'http://warehouse.internal/')).toBe(true)
    expect(matches(list, 'http://evil.test/')).toBe(false)
  })

  it('returns false for an empty list of variables', () => {
    expect(matches([{ host: 'example.com', only: [] }], 'http://example.com/')).toBe(false)
  })

  it.each<[name: string, entry: unknown]>([
    ['an empty text', ''],
    ['a dot', '.'],
    ['two dots', '..'],
    ['a suffix with two dots', '..example.com'],
    ['a wildcard in a name', 'api.*.example.com'],
    ['a wildcard for a part of a label', 'api*.example.com'],
    ['a wildcard without a dot', '*example.com'],
    ['a range with a port', '10.0.0.0/8:80'],
    ['a range with a scheme', 'https://10.0.0.0/8'],
    ['a range with a prefix that is too long', '10.0.0.0/33'],
    ['a range in an octal form', '010.0.0.0/8'],
    ['a wildcard for everything', '*'],
    ['a path', 'example.com/api'],
    ['a slash', 'https://example.com/'],
    ['a query', 'example.com?a'],
    ['a fragment', 'example.com#a'],
    ['userinfo', 'user@example.com'],
    ['a blank', 'example .com'],
    ['a line break', 'example.com\n'],
    ['a percent sign', 'ex%61mple.com'],
    ['a backslash', 'example.com\\a'],
    ['another scheme', 'ftp://example.com'],
    ['a scheme without a host', 'https://'],
    ['a port without a host', ':3000'],
    ['a port beyond the last', 'localhost:65536'],
    ['a port of six digits', 'localhost:000080'],
    ['a port that is not a number', 'localhost:http'],
    ['a leading full-width dot', '。com'],
    ['a leading dot and full-width dot', '.。com'],
    ['a colon without a port', 'example.com:'],
    ['two colons before a port', '[::1]::3000'],
    ['two ports', '[::1]:0:3000'],
    ['an IPv4 address out of range', '256.0.0.1'],
    ['a suffix of an IPv4 address', '.0.0.1'],
    ['a suffix of an IPv6 address', '.[::1]'],
    ['a broken IPv6 address', '[::1'],
    ['an IPv6 address with a port but without brackets', '::1:3000:'],
    ['a number', 3000],
    ['nothing', undefined],
    ['null', null],
    ['an array', ['example.com']],
    ['a RegExp', /example/],
    ['a rule without variables', { host: 'example.com' }],
    ['a rule without a host', { only: [tenant] }],
    ['a rule with an unknown member', { host: 'example.com', only: [tenant], port: 80 }],
    ['a rule with one variable for a list', { host: 'example.com', only: tenant }],
    ['a rule with a name for a variable', { host: 'example.com', only: ['tenant'] }],
    ['a rule with null for a variable', { host: 'example.com', only: [null] }],
    ['a rule with an object for a variable', { host: 'example.com', only: [{}] }],
    ['a rule with a sensitive variable', { host: 'example.com', only: [password] }],
  ])('throws a TypeError with the name of its owner for %s', (_, entry) => {
    expect(() => compileDestinations('contextFetch', [entry as string])).toThrow(TypeError)
    expect(() => compileDestinations('contextFetch', [entry as string])).toThrow(/^contextFetch: .*(expected|unknown)/)
  })
})

describe('targetOf', () => {
  it('returns the host in the form of a URL', () => {
    expect(targetOf('http:', 'Bücher.Example', '8080')).toEqual({
      protocol: 'http:',
      hostname: 'xn--bcher-kva.example',
      port: '8080',
    })
    expect(targetOf('http:', '::1', '')?.hostname).toBe('[::1]')
    expect(targetOf('http:', '[::1]', '')?.hostname).toBe('[::1]')
  })

  it.each(['', 'evil.test/warehouse.internal', 'evil.test#', 'user@host', 'a b', '10.0.0.1,10.0.0.2:50051'])(
    'returns null for %j',
    (host) => {
      expect(targetOf('http:', host, '')).toBeNull()
    },
  )
})
