// Goal: a secret is read from wherever it is kept, and never shown. Method: every form in a
// configuration, with an environment and files of the test's own; every way of printing it.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { format, inspect } from 'node:util'
import { Secret } from '../../src/config/secret.ts'
import { formatConfig } from '../../src/config/summary.ts'
import { parse, parseIn, problemsIn, store } from './parse.ts'

const folder = mkdtempSync(join(tmpdir(), 'keelson-secret-'))
after(() => rmSync(folder, { recursive: true }))
const tls = '[server.tls]\nserver_certificate_bundle = "c"\nserver_private_key = "k"\n'

function file(name: string, content: string | Uint8Array): string {
  writeFileSync(join(folder, name), content)
  return JSON.stringify(join(folder, name))
}

function revealed(written: string, env: Record<string, string> = {}): string | undefined {
  return parseIn(
    env,
    `${store}${tls}private_key_passphrase = ${written}`,
  ).tls?.privateKeyPassphrase?.reveal()
}

function problemOf(written: string, env: Record<string, string> = {}): string {
  const problems = problemsIn(env, `${store}${tls}private_key_passphrase = ${written}`)
  assert.equal(problems.length, 1)
  const prefix = '0.toml:6: server.tls.private_key_passphrase: expected '
  assert.ok(problems[0]?.startsWith(prefix), problems[0])
  return problems[0]?.slice(prefix.length) ?? ''
}

describe('where a secret comes from', () => {
  test('a string is the secret itself', () => {
    assert.equal(revealed('" hush\\n"'), ' hush\n')
  })

  test('an environment variable is taken as it is', () => {
    assert.equal(revealed('{ env = "PASS" }', { PASS: 'hush\n' }), 'hush\n')
  })

  test('one newline at the end of a file is not part of it', () => {
    assert.equal(revealed(`{ file = ${file('unix', 'hush\n')} }`), 'hush')
    assert.equal(revealed(`{ file = ${file('dos', 'hush\r\n')} }`), 'hush')
    assert.equal(revealed(`{ file = ${file('two', ' hu\nsh \n\n')} }`), ' hu\nsh \n')
  })

  test('a credential is a file in the folder that systemd names', () => {
    file('key-pass', 'hush\n')
    const env = { CREDENTIALS_DIRECTORY: folder }
    assert.equal(revealed('{ credential = "key-pass" }', env), 'hush')
  })

  test('a table of its own is the same as an inline one', () => {
    const config = parseIn(
      { PASS: 'a' },
      `${store}${tls}[server.tls.private_key_passphrase]\nenv = "PASS"`,
    )
    assert.equal(config.tls?.privateKeyPassphrase?.reveal(), 'a')
  })

  test('a later file replaces the way to a secret instead of adding another', () => {
    const earlier = `${store}${tls}private_key_passphrase = { env = "ABSENT" }`
    const later = (written: string) => `[server.tls]\nprivate_key_passphrase = ${written}`
    const path = file('later', 'of the file')
    const fromFile = parse(earlier, later(`{ file = ${path} }`))
    assert.equal(fromFile.tls?.privateKeyPassphrase?.reveal(), 'of the file')
    const literal = parse(earlier, later('"plain"'))
    assert.equal(literal.tls?.privateKeyPassphrase?.reveal(), 'plain')
  })
})

describe('refusals', () => {
  const forms =
    'a string, or one of { env = "NAME" }, { file = "PATH" }, { credential = "NAME" }; found '
  for (const [written, found] of [
    ['""', 'an empty string'],
    ['123456', 'a number'],
    ['true', 'a boolean'],
    ['["hush"]', 'an array'],
    ['{}', 'a table'],
    ['{ env = "A", file = "b" }', 'a table'],
    ['{ envv = "A" }', 'a table'],
    ['{ env = 1 }', 'a table'],
    ['{ env = "" }', 'a table'],
    ['{ credential = "../x" }', 'a table'],
    ['{ credential = ".." }', 'a table'],
    ['[{ env = "A" }]', 'an array of tables'],
  ] as const) {
    test(`${written} is refused without being shown`, () => {
      assert.equal(problemOf(written, { A: 'hush' }), forms + found)
    })
  }

  test('what cannot be read is named', () => {
    const cases: readonly (readonly [written: string, found: RegExp])[] = [
      ['{ env = "PASS" }', /environment variable PASS is not set$/],
      ['{ env = "EMPTY" }', /environment variable EMPTY is empty$/],
      ['{ file = "/nowhere/pass" }', /ENOENT: .*'\/nowhere\/pass'$/],
      [`{ file = ${JSON.stringify(folder)} }`, /EISDIR/],
      [`{ file = ${file('empty', '\n')} }`, /empty is empty$/],
      [`{ file = ${file('long', Buffer.alloc(65_537, 'a'))} }`, /long is longer than 65536 bytes$/],
      [`{ file = ${file('bytes', Buffer.from([0xff]))} }`, /bytes is not UTF-8 text$/],
      ['{ credential = "pass" }', /systemd credential pass .* CREDENTIALS_DIRECTORY is not set$/],
    ]
    for (const [written, found] of cases) {
      const problem = problemOf(written, { EMPTY: '' })
      assert.match(problem, /^a readable secret; found: /)
      assert.match(problem, found)
    }
  })

  test('a credential that is absent is named with its folder', () => {
    mkdirSync(join(folder, 'credentials'))
    const env = { CREDENTIALS_DIRECTORY: join(folder, 'credentials') }
    assert.match(problemOf('{ credential = "pass" }', env), /ENOENT: .*\/credentials\/pass'$/)
  })
})

describe('how a secret is shown', () => {
  test('nothing that prints it prints its value', () => {
    const secret = new Secret('hush')
    const shown = [
      `${secret}`,
      String(secret),
      JSON.stringify({ secret }),
      inspect(secret),
      inspect({ deep: { secret } }, { showHidden: true, depth: 9, customInspect: true }),
      inspect(secret, { showHidden: true, customInspect: false }),
      format('%s %o %O %j %d', secret, secret, secret, secret, secret),
      JSON.stringify(structuredClone({ secret })),
      Object.entries(secret).join(),
      new Error('failed', { cause: secret }).stack ?? '',
    ]
    for (const text of shown) assert.ok(!text.includes('hush'), text)
    assert.deepEqual(shown.slice(0, 4), ['***', '***', '{"secret":"***"}', '***'])
    assert.equal(secret.reveal(), 'hush')
  })

  test('the printed configuration has where it comes from, or asterisks', () => {
    const config = (written: string) =>
      parseIn({ PASS: 'hush' }, `${store}${tls}private_key_passphrase = ${written}`)
    const literal = formatConfig(config('"hush"'))
    assert.ok(literal.includes('\nprivate_key_passphrase = "***"\n') && !literal.includes('hush'))
    const referred = formatConfig(config('{ env = "PASS" }'))
    assert.ok(referred.includes('\nprivate_key_passphrase = { env = "PASS" }\n'))
    assert.ok(!referred.includes('hush') && !JSON.stringify(config('"hush"')).includes('hush'))
  })
})
