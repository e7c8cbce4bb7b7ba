/** The IPv4 address in an IPv6 one, as a dual-stack socket shows it. RFC 4291, 2.5.5.2 */
const mappedPrefix = '::ffff:'

/**
 * Whether a socket's address is loopback, private, link-local or unique-local. Reads the form that Node writes; any
 * other is not private. RFC 1918, RFC 3927, RFC 4193, RFC 4291
 */
export function isPrivateAddress(address: string): boolean {
  if (!address.includes(':')) return isPrivateV4(address)
  const lower = address.toLowerCase()
  if (lower === '::1') return true
  if (lower.startsWith(mappedPrefix)) return isPrivateV4(lower.slice(mappedPrefix.length))
  // Up to the first colon; none before it is not a number, which shifts to zero.
  const first = Number.parseInt(lower, 16)
  return first >> 9 === 0xfc >> 1 || first >> 6 === 0xfe80 >> 6
}

function isPrivateV4(address: string): boolean {
  const parts = address.split('.', 5)
  if (parts.length !== 4 || !parts.every(isByte)) return false
  const first = Number(parts[0])
  const second = Number(parts[1])
  if (first === 10 || first === 127) return true
  if (first === 172) return second >= 16 && second <= 31
  return (first === 192 && second === 168) || (first === 169 && second === 254)
}

/** In decimal, without zeros in front, which some read as octal. */
function isByte(text: string): boolean {
  const value = Number(text)
  return value >= 0 && value <= 255 && String(value) === text
}
