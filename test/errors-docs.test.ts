import { describe, expect, it } from 'vitest'
import { readSource } from './architecture/source-file.ts'

describe('the error codes', () => {
  it('have a section in docs/errors.md each, and every section has a code', () => {
    const codes = codesIn(readSource('src/errors.ts').text)
    const headings = headingsIn(readSource('docs/errors.md').text)

    expect(codes).not.toEqual([])
    expect({
      'codes without a section in docs/errors.md': codes.filter((code) => !headings.includes(code)),
      'sections without a code in src/errors.ts': headings.filter((heading) => !codes.includes(heading)),
    }).toEqual({
      'codes without a section in docs/errors.md': [],
      'sections without a code in src/errors.ts': [],
    })
  })

  it('are found in the type, and headings in the text', () => {
    expect(codesIn("type ErrorCode =\n  | 'LCTX_A'\n  | 'LCTX_B'\n\nconst other = 'LCTX_C'")).toEqual([
      'LCTX_A',
      'LCTX_B',
    ])
    expect(headingsIn('# Errors\n\n## LCTX_A\n\n### LCTX_B\n\n## `LCTX_C`\n')).toEqual(['LCTX_A', 'LCTX_C'])
  })
})

function codesIn(source: string): string[] {
  const declaration = /type ErrorCode =[^]*?(?=\n\s*\n|$)/.exec(source)?.[0] ?? ''
  return Array.from(declaration.matchAll(/'(\w+)'/g), (match) => match[1] ?? '')
}

function headingsIn(markdown: string): string[] {
  return Array.from(markdown.matchAll(/^## `?(LCTX_\w+)`?\s*$/gm), (match) => match[1] ?? '')
}
