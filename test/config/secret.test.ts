// Goal: a secret is read from wherever it is kept, and never shown. Method: every form in a
// configuration, with an environment and files of the test's own; every way of printing it.
import assert from 'node:assert/strict'
import { Console } from 'node:console'
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { after, describe, test } from 'node:test'
import { format, inspect } from 'node:util'
import { deserialize, getHeapSnapshot, serialize } from 'node:v8'
import { Secret } from '../../src/config/secret.ts'
import { formatConfig } from '../../src/config/summary.ts'
import { parse, parseIn, problemsIn, store } from './parse.ts'

const folder = mkdtempSync(join(tmpdir(), 'keelson-secret-'))
after(() => rmSync(folder, { recursive: true }))
const tls = '[server.tls]\nserver_certificate_bundle = "c"\nserver_private_key = "k"\n'

function file(name: string, content: string | Uint8Array): string {
  writeFileSync(join(folder, name), content, { mode: 0o600 })
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

describe('who else may reach a secret', () => {
  const opened = (name: string, mode: number): string => {
    const path = file(name, 'hush\n')
    chmodSync(join(folder, name), mode)
    return path
  }

  for (const mode of [0o604, 0o644, 0o602, 0o601, 0o444, 0o777]) {
    const shown = mode.toString(8).padStart(4, '0')
    test(`a file of mode ${shown} is refused with the command that helps`, () => {
      const path = join(folder, `open-${shown}`)
      const problem = problemOf(`{ file = ${opened(`open-${shown}`, mode)} }`)
      const why = `${path} has mode ${shown}, so that others may reach it: chmod o= ${path}`
      assert.equal(problem, `a readable secret; found: ${why}`)
      chmodSync(path, mode & 0o770)
      assert.equal(revealed(`{ file = ${JSON.stringify(path)} }`), 'hush')
    })
  }

  test('its group may, and a credential of systemd is as good as any file', () => {
    for (const mode of [0o400, 0o600, 0o640, 0o660]) {
      assert.equal(revealed(`{ file = ${opened('group', mode)} }`), 'hush')
    }
    opened('credential', 0o444)
    const env = { CREDENTIALS_DIRECTORY: folder }
    assert.match(problemOf('{ credential = "credential" }', env), /has mode 0444, .*chmod o= /)
    opened('credential', 0o400)
    assert.equal(revealed('{ credential = "credential" }', env), 'hush')
  })

  test('of a symbolic link its target counts, as where a cluster mounts secrets', () => {
    opened('target', 0o440)
    symlinkSync('target', join(folder, '..data'))
    symlinkSync('..data', join(folder, 'link'))
    const link = JSON.stringify(join(folder, 'link'))
    assert.equal(revealed(`{ file = ${link} }`), 'hush')
    chmodSync(join(folder, 'target'), 0o644)
    assert.match(problemOf(`{ file = ${link} }`), /\/link has mode 0644/)
  })
})

describe('the end of a secret', () => {
  test('one that was wiped shows nothing and reveals nothing', () => {
    const secret = new Secret('hush')
    const other = new Secret('hush')
    assert.ok(secret.equals(other) && other.equals(secret) && secret.equals(secret))
    assert.ok(!secret.equals(new Secret('tush')) && !secret.equals(new Secret('hush ')))
    secret.wipe()
    secret.wipe()
    assert.throws(() => secret.reveal(), /^Error: a secret was asked for after its configuration/)
    assert.equal(`${secret}`, '***')
    assert.ok(!secret.equals(other) && !other.equals(secret))
    assert.equal(other.reveal(), 'hush')
  })

  test('its bytes are overwritten, in memory that it shares with nothing', () => {
    let bytes: Buffer | undefined
    const { allocUnsafeSlow } = Buffer
    try {
      Buffer.allocUnsafeSlow = (size) => {
        const buffer = allocUnsafeSlow(size)
        bytes = buffer
        return buffer
      }
      const secret = new Secret('hush ü')
      assert.equal(bytes?.toString(), secret.reveal())
      assert.equal(bytes?.buffer.byteLength, bytes?.length)
      secret.wipe()
    } finally {
      Buffer.allocUnsafeSlow = allocUnsafeSlow
    }
    assert.deepEqual([...(bytes ?? [1])], new Array(7).fill(0))
  })

  test('what a file was read into is overwritten at once', () => {
    const made: Buffer[] = []
    const { allocUnsafeSlow } = Buffer
    try {
      Buffer.allocUnsafeSlow = (size) => {
        const buffer = allocUnsafeSlow(size)
        made.push(buffer)
        buffer.fill(1)
        return buffer
      }
      revealed(`{ file = ${file('read', 'hush')} }`)
    } finally {
      Buffer.allocUnsafeSlow = allocUnsafeSlow
    }
    const [read] = made
    assert.ok(read !== undefined && read.length > 65_536)
    assert.ok(read.every((byte) => byte === 0))
  })
})

describe('a snapshot of the heap', () => {
  async function isInHeap(value: Buffer): Promise<boolean> {
    const chunks: Buffer[] = []
    for await (const chunk of getHeapSnapshot()) chunks.push(Buffer.from(chunk as Uint8Array))
    return Buffer.concat(chunks).includes(value)
  }

  test('it has a secret only while somebody holds what was revealed', async () => {
    // Bytes alone: a string of them would be in the heap itself.
    const value = Buffer.from(randomBytes(24).map((byte) => 97 + (byte % 26)))
    const written = `{ file = ${file('heap', value)} }`
    const config = parse(`${store}${tls}private_key_passphrase = ${written}`)
    assert.ok(!(await isInHeap(value)))
    const held = [config.tls?.privateKeyPassphrase?.reveal()]
    assert.ok(await isInHeap(value))
    assert.equal(held[0]?.length, 24)
  })
})

function printed(print: (to: Console) => void): string {
  let text = ''
  const stdout = new Writable({
    write: (chunk, _encoding, done) => {
      text += String(chunk)
      done()
    },
  })
  print(new Console({ stdout }))
  return text
}

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
      new Error(`failed: ${secret}`, { cause: secret }).stack ?? '',
      inspect(new Error('failed', { cause: { secret } })),
      inspect(new Map([[secret, new Set([secret])]]), { showProxy: true }),
      JSON.stringify([secret, { toJSON: () => secret }]),
      `${[secret]}`,
      inspect(Object.assign(new Error('failed'), { secret })),
      printed((to) => to.log(secret, { secret }, '%s %o', secret)),
      printed((to) => to.table([{ secret }])),
      printed((to) => to.dir({ secret }, { showHidden: true })),
      inspect(deserialize(serialize({ secret })), { showHidden: true }),
      JSON.stringify(Object.getOwnPropertyDescriptors(secret)),
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
