import { describe, expect, it } from 'vitest'
import { isBaggageOctet } from '../../src/variables/baggage-grammar.ts'
import { percentDecode, percentEncode } from '../../src/variables/percent.ts'

const bad = '\ufffd'

describe('percentDecode', () => {
  it.each<[name: string, text: string, decoded: string]>([
    ['nothing', '', ''],
    ['a text without escapes', 'abc-._~+=/', 'abc-._~+=/'],
    ['a blank', 'DF%2028', 'DF 28'],
    ['a plus is not a blank', 'a+b', 'a+b'],
    ['hex in lower case', '%2f%c3%a9', '/é'],
    ['hex in mixed case', '%C3%a9', 'é'],
    ['an escape at the start', '%41bc', 'Abc'],
    ['an escape at the end', 'ab%43', 'abC'],
    ['an escaped percent sign, once', '%2541', '%41'],
    ['NUL', 'a%00b', 'a\0b'],
    ['line ends', 'a%0D%0Ab', 'a\r\nb'],
    ['two bytes', '%C3%BC', 'ü'],
    ['three bytes', '%E2%82%AC', '€'],
    ['four bytes', '%F0%9F%98%80', '😀'],
    ['a byte order mark, which is kept', '%EF%BB%BFa', '\ufeffa'],
    ['noncharacters', '%EF%BF%BF', '\uffff'],
    ['the last code point', '%F4%8F%BF%BF', '\u{10ffff}'],
    ['a mix of plain characters and bytes', 'a%C3%A9b%E2%82%ACc', 'aéb€c'],
    ['3.3.1.3 a byte that is not UTF-8', 'a%FFb', `a${bad}b`],
    ['3.3.1.3 a continuation byte alone', '%80', bad],
    ['3.3.1.3 two continuation bytes alone', '%80%BF', bad + bad],
    ['3.3.1.3 a sequence that is cut', '%C3', bad],
    ['3.3.1.3 a sequence that is cut by a character', '%C3a', `${bad}a`],
    ['3.3.1.3 three of four bytes', '%F0%9F%98', bad],
    ['3.3.1.3 a slash that is too long', '%C0%AF', bad + bad],
    ['3.3.1.3 NUL that is too long', '%C0%80', bad + bad],
    ['3.3.1.3 a surrogate as bytes', '%ED%A0%80', bad + bad + bad],
    ['3.3.1.3 beyond the last code point', '%F4%90%80%80', bad + bad + bad + bad],
    ['3.3.1.3 latin1', 'caf%E9', `caf${bad}`],
    ['a percent sign alone', '%', '%'],
    ['a percent sign at the end', '100%', '100%'],
    ['one digit at the end', '%4', '%4'],
    ['one hex digit and another character', '%4g', '%4g'],
    ['no hex digits', '%zz', '%zz'],
    ['two percent signs', '%%41', '%A'],
    ['a blank between the digits', '% 41', '% 41'],
    ['a sign before the digits', '%+1', '%+1'],
  ])('reads %s', (_name, text, decoded) => {
    expect(percentDecode(text)).toBe(decoded)
  })

  it('reads a text longer than any header', () => {
    expect(percentDecode('%41'.repeat(100_000))).toBe('A'.repeat(100_000))
    expect(percentDecode('%42')).toBe('B')
  })
})

describe('percentEncode', () => {
  it.each<[name: string, text: string, encoded: string]>([
    ['nothing', '', ''],
    ['letters and digits', 'aZ09', 'aZ09'],
    ['all octets that need no escape', "!#$&'()*+-./:<=>?@[]^_`{|}~", "!#$&'()*+-./:<=>?@[]^_`{|}~"],
    ['3.3.1.3 a percent sign', '100%', '100%25'],
    ['3.3.1.3 what looks like an escape', '%41', '%2541'],
    ['3.3.1 a blank', 'DF 28', 'DF%2028'],
    ['3.3.1 a quote', '"', '%22'],
    ['3.3.1 a comma', 'a,b', 'a%2Cb'],
    ['3.3.1 a semicolon', 'a;b', 'a%3Bb'],
    ['3.3.1 a backslash', 'a\\b', 'a%5Cb'],
    ['3.3.1 a tab', '\t', '%09'],
    ['3.3.1 line ends', 'a\r\nb', 'a%0D%0Ab'],
    ['3.3.1 NUL', '\0', '%00'],
    ['3.3.1 DEL', '\x7f', '%7F'],
    ['two bytes', 'é', '%C3%A9'],
    ['three bytes', '€', '%E2%82%AC'],
    ['four bytes', '😀', '%F0%9F%98%80'],
    ['a byte order mark', '\ufeff', '%EF%BB%BF'],
    ['a high surrogate alone', 'a\ud83db', 'a%EF%BF%BDb'],
    ['a low surrogate alone', '\ude00', '%EF%BF%BD'],
    ['surrogates in the wrong order', '\ude00\ud83d', '%EF%BF%BD%EF%BF%BD'],
    ['NBSP', '\u00a0', '%C2%A0'],
  ])('writes %s', (_name, text, encoded) => {
    expect(percentEncode(text, isBaggageOctet)).toBe(encoded)
  })
})
