import { describe, expect, it } from 'vitest'
import { anyCaseHexByte, hexByte, isHex, isId } from '../../src/variables/hex.ts'

describe('isHex', () => {
  it.each<[name: string, text: string, start: number, length: number]>([
    ['all digits', '0123456789abcdef', 0, 16],
    ['the first digits', 'a0-', 0, 2],
    ['the last digits', '-a0', 1, 2],
    ['digits in the middle', '-a0-', 1, 2],
    ['zeros', '00', 0, 2],
    ['no digit, if the length is zero', '-', 0, 0],
  ])('takes %s', (_name, text, start, length) => {
    expect(isHex(text, start, length)).toBe(true)
  })

  it.each<[name: string, text: string, start: number, length: number]>([
    ['what ends before the last digit', 'a0', 0, 3],
    ['what begins after the end', 'a0', 2, 1],
    ['an empty text', '', 0, 1],
    ['upper case', 'A0', 0, 2],
    ['the character below 0', '/0', 0, 2],
    ['the character above 9', '0:', 0, 2],
    ['the character below a', '0`', 0, 2],
    ['the character above f', '0g', 0, 2],
    ['a digit that is not ASCII', '0٠', 0, 2],
    ['the last character there is', '0\uffff', 0, 2],
  ])('refuses %s', (_name, text, start, length) => {
    expect(isHex(text, start, length)).toBe(false)
  })
})

describe('isId', () => {
  it.each<[name: string, text: string, answer: boolean]>([
    ['a digit in front', '-1000-', true],
    ['a digit at the end', '-0001-', true],
    ['the highest digits', '-ffff-', true],
    ['zeros next to other digits', '10000f', false],
    ['no hex', '-100g-', false],
  ])('looks at its own place only: %s', (_name, text, answer) => {
    expect(isId(text, 1, 4)).toBe(answer)
  })

  it('refuses what ends before the last digit', () => {
    expect(isId('1000', 0, 5)).toBe(false)
  })
})

describe('hexByte', () => {
  it.each<[text: string, at: number, value: number]>([
    ['00', 0, 0],
    ['0f', 0, 0x0f],
    ['f0', 0, 0xf0],
    ['ff', 0, 0xff],
    ['-1a-', 1, 0x1a],
    ['-1a', 1, 0x1a],
  ])('reads %s at %i', (text, at, value) => {
    expect(hexByte(text, at)).toBe(value)
  })

  it.each<[name: string, text: string, at: number]>([
    ['nothing', '', 0],
    ['one digit', '1', 0],
    ['the last digit of two', '11', 1],
    ['no hex in front', 'g1', 0],
    ['no hex after it', '1g', 0],
    ['upper case', '1A', 0],
  ])('returns more than a byte for %s', (_name, text, at) => {
    expect(hexByte(text, at)).toBeGreaterThan(0xff)
  })
})

describe('anyCaseHexByte', () => {
  it.each<[text: string, value: number]>([
    ['00', 0],
    ['1a', 0x1a],
    ['1A', 0x1a],
    ['Fa', 0xfa],
    ['fF', 0xff],
    ['AF', 0xaf],
  ])('reads %s', (text, value) => {
    expect(anyCaseHexByte(text, 0)).toBe(value)
  })

  it.each(['', '1', 'G1', '1G', '@1', '1`', ':1'])('returns more than a byte for "%s"', (text) => {
    expect(anyCaseHexByte(text, 0)).toBeGreaterThan(0xff)
  })
})
