import { ContextVar } from 'logical-context'
import { mayInject, type Propagator } from 'logical-context/propagators'

export const region = new ContextVar<string>('region')

/** A user's own propagator, as in the guide. */
export const ownHeader: Propagator = {
  fields: ['x-region'],
  extract(context, carrier, peer) {
    const text = carrier.get('x-region')
    if (text === undefined || context.has(region)) return context
    if (peer.values && /^[a-z]{2}$/.test(text)) return context.with(region, text)
    peer.refuse(peer.values ? 'malformed' : 'refused', 'x-region')
    return context
  },
  inject(context, carrier, destination) {
    const value = context.get(region)
    if (value !== undefined && mayInject(destination, region) && !carrier.has('x-region'))
      carrier.set('x-region', value)
  },
}
