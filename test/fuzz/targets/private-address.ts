import { BlockList, isIP, isIPv4, SocketAddress } from 'node:net'
import { isPrivateAddress } from '../../../src/propagators/trust.ts'
import { ensureSame, type FuzzTarget } from '../target.ts'

const list = new BlockList()
for (const [net, prefix] of [
  ['10.0.0.0', 8],
  ['127.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['169.254.0.0', 16],
  ['100.64.0.0', 10],
] as const) {
  list.addSubnet(net, prefix, 'ipv4')
}
list.addAddress('::1', 'ipv6')
for (const [net, prefix] of [
  ['fc00::', 7],
  ['fe80::', 10],
] as const)
  list.addSubnet(net, prefix, 'ipv6')

export const privateAddress: FuzzTarget = {
  name: 'private-address',
  seeds: [
    '10.0.0.1',
    '127.0.0.1',
    '172.31.255.255',
    '172.32.0.0',
    '192.168.0.1',
    '169.254.1.1',
    '8.8.8.8',
    '::1',
    'fd00::1',
    'fe80::1',
    'febf::',
    '::ffff:10.0.0.1',
    '2001:db8::1',
  ],
  tokens: ['.', ':', '::', '0', '10', '127', '172.16', '255', 'ffff', '::ffff:', 'fc', 'fe8', '%eth0', '0x', '+', 'e1'],
  read: isPrivateAddress,
  check(input) {
    const isPrivate = isPrivateAddress(input)
    // A socket has an address that Node has written; of anything else only that nothing throws.
    if (isIP(input) === 0 || input.includes('%')) return
    const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(input)?.[1]
    const address = mapped ?? input
    if (!isIPv4(address) && !isAsNodeWrites(address)) return
    ensureSame(isPrivate, list.check(address, isIPv4(address) ? 'ipv4' : 'ipv6'), 'finds the private ranges')
  },
}

function isAsNodeWrites(address: string): boolean {
  return new SocketAddress({ address, family: 'ipv6' }).address === address
}
