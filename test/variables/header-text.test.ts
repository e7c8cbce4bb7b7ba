import { describe, expect, it } from 'vitest'
import { isFieldValue } from '../../src/variables/header-text.ts'

describe('isFieldValue', () => {
  it.each<[name: string, text: string]>([
    ['nothing', ''],
    ['words and spaces', 'two words'],
    ['a tab', 'a\tb'],
    ['the first and the last that can be printed', ' ~'],
  ])('is true of %s', (_, text) => {
    expect(isFieldValue(text)).toBe(true)
  })

  it.each<[name: string, text: unknown]>([
    ['a line end', 'a\nb'],
    ['the last control character below the space', 'a\x1f'],
    ['DEL', 'a\x7f'],
    ['NUL, as the last character', 'a\0'],
    ['a letter that is not ASCII', 'é'],
    ['a lone surrogate', '\ud800'],
    ['a number', 7],
  ])('is false of %s', (_, text) => {
    expect(isFieldValue(text)).toBe(false)
  })
})
