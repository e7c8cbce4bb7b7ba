import type { BodyAct, PolicySpec, Step } from './program.ts'

/** A step as a line of a program that people read. */
export function printAct({ flow, ...act }: Step): string {
  return `flow ${flow} ${printRest()}`

  function printRest(): string {
    switch (act.does) {
      case 'set':
        return `sets ${act.variable} to ${String(act.value)}`
      case 'delete':
        return `deletes ${act.variable}`
      case 'override':
        return `overrides ${act.variable} with ${String(act.value)}`
      case 'restore':
        return `restores override ${act.override}`
      case 'go on':
        return `goes on by ${act.way}`
      case 'block':
        return `runs a block with ${act.variable} = ${String(act.value)}`
      case 'capture':
        return 'takes a snapshot'
      case 'run':
        return `runs a block of snapshot ${act.snapshot}`
      case 'bind':
        return 'binds a function'
      case 'call bound':
        return `calls bound function ${act.bound}`
      case 'spawn':
        return `spawns under ${printPolicy(act.policy)}`
      case 'gather':
        return `gathers ${act.count}`
      case 'withTimeout':
        return `calls withTimeout, whose limit is ${act.limit}`
      case 'shield':
        return 'calls shield'
      case 'open a unit':
        return act.lateWrites === 'throw' ? 'opens a unit' : 'opens a unit that reports late writes'
      case 'end':
        return 'ends'
      case 'make a generator':
        return `makes a generator, ${act.kind}`
      case 'step a generator':
        return `steps generator ${act.generator}`
      case 'start a worker':
        return 'starts a worker'
      case 'hand over':
        return `hands over to worker ${act.worker} a job, ${act.job}`
      default:
        return act satisfies never
    }
  }
}

export function printBody(generator: number, body: BodyAct): string {
  if (body.act === 'set') return `generator ${generator} sets ${body.variable} to ${String(body.value)}`
  if (body.act === 'delete') return `generator ${generator} deletes ${body.variable}`
  return `generator ${generator} starts a flow`
}

function printPolicy(policy: PolicySpec): string {
  return typeof policy === 'string' ? policy : `only [${policy.only.join(', ')}]`
}
