import { xRequestId } from 'logical-context/propagators'
import { requestId as variable } from 'logical-context/variables'
import { isRequestId } from '../../../src/variables/request-id.ts'
import { ensureSame, type FuzzTarget } from '../target.ts'
import { extractAll, injectAll } from './peers.ts'

const field = 'x-request-id'
const propagator = xRequestId({ generate: () => 'made-here' })

export const requestId: FuzzTarget = {
  name: 'request-id',
  seeds: ['7b0f2a4e-8f43-4a4c-9a43-0c2f5f1d2a11', 'a.b_c-D9', 'x'.repeat(128), 'x'.repeat(129), 'a b', 'a, a', ''],
  tokens: ['a', '-', '.', '_', '/', ':', ', ', ' ', '\r\n', 'x'.repeat(64), 'é'],
  read: isRequestId,
  check(input) {
    const trimmed = input.replace(/^[ \t]+|[ \t]+$/g, '')
    const isUsable = /^[A-Za-z\d._-]{1,128}$/.test(trimmed) && !trimmed.endsWith('\n')
    ensureSame(isRequestId(trimmed), isUsable, 'accepts usable ids only')

    const { found } = extractAll(propagator, { [field]: input })
    ensureSame(found.get(variable), isUsable ? trimmed : 'made-here', 'accepts a usable id, or makes one')
    ensureSame(injectAll(propagator, found).found[field], found.get(variable), 'writes the id as it is')
    const { found: written } = injectAll(propagator, found.with(variable, trimmed))
    ensureSame(
      written[field],
      isUsable ? trimmed : undefined,
      'writes no id that may not be used, not even a program’s',
    )
  },
}
