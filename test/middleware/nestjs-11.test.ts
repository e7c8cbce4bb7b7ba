import { NestFactory } from '@nestjs/core'
import { describe, expect, it, vi } from 'vitest'
import { describeNestjs } from '../contracts/nestjs.ts'

const older = await vi.hoisted(async () => (await import('../fixtures/install.ts')).requireOf('older-packages'))

// Also for the imports of the package itself.
vi.mock('@nestjs/common', () => older('@nestjs/common') as object)
vi.mock('@nestjs/core', () => older('@nestjs/core') as object)
vi.mock(
  '@nestjs/core/router/router-response-controller.js',
  () => older('@nestjs/core/router/router-response-controller.js') as object,
)
vi.mock(
  '@nestjs/core/router/router-execution-context.js',
  () => older('@nestjs/core/router/router-execution-context.js') as object,
)
vi.mock(
  '@nestjs/core/interceptors/interceptors-consumer.js',
  () => older('@nestjs/core/interceptors/interceptors-consumer.js') as object,
)
// Of two copies, one does not end the observables of the other.
vi.mock('rxjs', () => older('rxjs') as object)
vi.mock('@nestjs/platform-express', () => older('@nestjs/platform-express') as object)
vi.mock('@nestjs/platform-fastify', () => older('@nestjs/platform-fastify') as object)

describeNestjs('11')

describe('the packages of Nest 11', () => {
  it('are those that run here', () => {
    expect(NestFactory).toBe((older('@nestjs/core') as { NestFactory: unknown }).NestFactory)
    expect([older('@nestjs/core/package.json'), older('fastify/package.json')]).toMatchObject([
      { version: expect.stringMatching(/^11\./) },
      { version: '5.11.3' },
    ])
  })
})
