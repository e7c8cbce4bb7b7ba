import { ContextVar } from 'logical-context'
import { sqlCommenter } from 'logical-context/clients/sqlcommenter'
import { ensure, ensureSame, type FuzzTarget } from '../target.ts'

const tenant = new ContextVar<string>('tenant')
const { append } = sqlCommenter({ fields: { tenant } })
const longest = 1024

/** The first line is a key, the second a value; the rest is a statement. */
export const sqlComment: FuzzTarget = {
  name: 'sql-comment',
  seeds: [
    'tenant\nacme\nselect 1',
    "route\n/orders/*\nselect 'a' from b;",
    'k\n*/; drop table t; /*\nselect 1;\n',
    "k\n'\\\nupdate t set a = $1 ;  ",
    'k\n\ud800\nselect 1 /* mine */',
    '\n\nselect 1 -- mine',
    'a=b,c\n%27%2A\nselect 1',
  ],
  tokens: [
    '\n',
    '*/',
    '/*',
    "'",
    "\\'",
    '\\',
    '--',
    ';',
    '%',
    '%2A',
    '$1',
    ',',
    '=',
    '\0',
    'é',
    '😀',
    '\ud800',
    '`',
    '"',
  ],
  read: (input) => [tenant.run(input, () => append('select 1')), append(input)],
  check(input) {
    const [key = '', value = '', ...lines] = input.split('\n')
    const statement = lines.join('\n')
    // A key must not be empty.
    const written = sqlCommenter({ fields: { [`k${key}`]: tenant } })
    const text = tenant.run(value, () => written.append(statement))

    const has = value !== '' && value.length <= longest && !/\/\*|--/.test(statement)
    if (!has) return ensureSame(text, statement, 'leaves the statement as it is')
    const body = statement.trimEnd()
    const start = body.endsWith(';') ? body.slice(0, -1) : body
    const end = body.endsWith(';') ? '*/;' : '*/'
    ensure(text.startsWith(`${start} /*`) && text.endsWith(end), 'appends a comment', text)
    const comment = text.slice(start.length + 3, -end.length)
    ensure(/^[\w.!~'()%=\\-]*$/.test(comment), 'encodes all other characters', comment)
    ensureSame(pairsOf(comment), [[`k${key}`.toWellFormed(), value.toWellFormed()]], 'is read as it was written')
  },
}

/** By the specification's algorithm: split, remove the quotes, remove the escapes, decode. */
function pairsOf(comment: string): string[][] {
  return comment.split(',').map((pair) => {
    const equals = pair.indexOf('=')
    const [key, quoted] = [pair.slice(0, equals), pair.slice(equals + 1)]
    ensure(/^'(?:[^'\\]|\\')*'$/.test(quoted), 'escapes each quote of a value', quoted)
    return [key, quoted.slice(1, -1)].map((text) => decodeURIComponent(text.replaceAll(String.raw`\'`, "'")))
  })
}
