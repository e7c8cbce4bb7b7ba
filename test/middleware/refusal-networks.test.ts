import { ContextVar } from 'logical-context'
import { Inbound, type Refusal } from 'logical-context/middleware/inbound'
import { w3cBaggage } from 'logical-context/propagators'
import { expect, it } from 'vitest'

const tenant = new ContextVar<string>('tenant')

/** The addresses of the refusals that `onRefusal` received, one message from each address. */
function reportedOf(addresses: readonly string[]): string[] {
  const refusals: Refusal[] = []
  const inbound = new Inbound({
    propagators: [w3cBaggage({ members: { tenant } })],
    onRefusal: (refusal) => refusals.push(refusal),
  })
  for (const remoteAddress of addresses) {
    inbound.open('job', { headers: { baggage: 'tenant=acme' }, socket: { remoteAddress } } as never).close()
  }
  expect(inbound.peers.counters.refused).toBe(addresses.length)
  return refusals.map(({ address }) => address)
}

it('reports the /64 of an IPv6 address once: a host can use all of its addresses', () => {
  const first = ['2001:db8:1:2::1', '2001:db8:1:3::1', '2001:db8::1']

  expect(reportedOf([...first, '2001:db8:1:2:3:4:5:6', '2001:db8:1:2:ffff::', '2001:db8:0:0:5::2'])).toEqual(first)
})

it('reports the /24 of an IPv4 address once, also of one in an IPv6 address', () => {
  expect(
    reportedOf(['203.0.113.1', '203.0.113.200', '203.0.112.1', '::ffff:203.0.111.1', '::ffff:203.0.111.2']),
  ).toEqual(['203.0.113.1', '203.0.112.1', '::ffff:203.0.111.1'])
})
