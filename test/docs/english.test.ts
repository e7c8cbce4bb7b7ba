import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { findPatterns, patterns, textFiles } from './english.ts'

describe('findPatterns', () => {
  it.each([
    ['is no …', 'a `fn` that is no function throws'],
    ['told of', 'Told of each failure of a task'],
    ['nobody', 'nobody waits for it'],
    ['whoever', 'whoever calls it'],
    ['anew', 'writes the page anew'],
    ['dear', 'a second storage is dearer'],
    ['for want of', 'fails for want of a route'],
    ['leave it away', 'leave it away'],
    ['for one', 'a request, for one, has a value'],
    ['bears', 'the header that bears the id'],
    ['gives', 'gives the task’s value'],
    ['given back', 'a value that was given back'],
    ['in vain', 'waits in vain'],
    ['all the same', 'runs the function all the same'],
    ['is there', 'the value that is there'],
    ['stands', 'the key stands in the line'],
    ['beside', 'beside the floor'],
    ['lets … run', 'Lets the listeners run in `scope`'],
    ['Of a …:', '/** Of a block: the list in which its unit holds it. */'],
    ['behind', 'the hooks behind the reply'],
    ['knows, tells, asks', 'the group knows the names of its tasks'],
    ['knows, tells, asks', 'tells the callee of the span'],
    ['knows, tells, asks', 'a step that the body asks for'],
    ['knows, tells, asks', 'the header it is told to read'],
    ['knows, tells, asks', 'takes what the server believes of its peer'],
    ['a test that lets, says, …', "  it('lets an error out', () => {"],
    ['a test that lets, says, …', "it.each([true])('says that it was cut, %s', () => {"],
  ])('finds the pattern "%s"', (name, text) => {
    expect(findPatterns(text).map((hit) => hit.pattern.name)).toEqual([name])
  })

  it('has a row above for each pattern', () => {
    expect(patterns.map(({ name }) => name)).toHaveLength(22)
  })

  it.each([
    'there is no function',
    'is no longer open',
    'a server behind a load balancer',
    'a server behind our private proxy',
    'a task left behind',
    'stands for a value',
    'one for one',
    'Of the values, two are kept.',
    'if you want to know the reason, or users ask for it',
    'const told = heard(await ask(client))',
  ])('finds nothing in "%s"', (text) => {
    expect(findPatterns(text)).toEqual([])
  })

  it('names the line, also of words that a line break in a comment separates', () => {
    const text = 'const a = 1\n/**\n * A value that is\n * no function\n */\nnobody()\n'

    expect(findPatterns(text).map(({ line, text: found }) => [line, found])).toEqual([
      [3, '* A value that is'],
      [6, 'nobody()'],
    ])
  })
})

describe('the texts of this repository', () => {
  it('use none of the patterns', () => {
    const files = textFiles()

    const places = files.flatMap((file) =>
      findPatterns(readFileSync(file, 'utf8')).map(
        ({ line, pattern, text }) => `${file}:${line}: ${pattern.name}: ${text}`,
      ),
    )

    expect(files.length).toBeGreaterThan(100)
    expect(places).toEqual([])
  })
})
