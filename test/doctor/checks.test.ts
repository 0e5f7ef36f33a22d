// Goal: each check says what is wrong, how bad it is and what to do. Method: facts by hand.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { rootCertificates } from 'node:tls'
import { checkPrivateFiles } from '../../src/doctor/check/files.ts'
import { checkPasswords } from '../../src/doctor/check/passwords.ts'
import { checkTls, type TlsFacts } from '../../src/doctor/check/tls.ts'
import { checkTransport, type TransportFacts } from '../../src/doctor/check/transport.ts'
import { chainOf } from '../../src/doctor/probe/tls.ts'
import { said } from './said.ts'

const dayMs = 86_400_000
const nowMs = Date.parse('2026-01-01T00:00:00Z')

describe('the check of TLS', () => {
  const facts: TlsFacts = {
    nowMs,
    fault: undefined,
    terms: [],
    warnings: [],
    names: ['a.test'],
    hostname: undefined,
    chain: undefined,
    key: undefined,
  }
  const check = (over: Partial<TlsFacts>): readonly string[] =>
    said(checkTls({ ...facts, ...over }))
  const ending = (kind: 'certificate' | 'crl' | 'ocsp', leftMs: number) => ({
    terms: [{ kind, file: '/f', fromMs: nowMs + leftMs - 90 * dayMs, untilMs: nowMs + leftMs }],
    names: ['a.test'],
  })

  test('tells how long a certificate holds, two weeks before its end as a warning', () => {
    const [first] = check(ending('certificate', 15 * dayMs))
    assert.equal(first, 'ok term of the server certificate: /f holds for 15 days more')
    assert.match(
      check(ending('certificate', 13 * dayMs))[0] ?? '',
      /^warning term of the server certificate: /,
    )
    assert.match(check(ending('certificate', -1))[0] ?? '', /^error .* expired at 2025-12-31T23:59/)
  })

  test('tells the same of lists and responses, a day before', () => {
    for (const kind of ['crl', 'ocsp'] as const) {
      assert.match(check(ending(kind, 1.5 * dayMs))[0] ?? '', /^ok .*1 day more$/)
      assert.match(check(ending(kind, dayMs))[0] ?? '', /^warning /)
      assert.match(check(ending(kind, -1))[0] ?? '', /^error /)
    }
  })

  test('shows a fault alone, with the key', () => {
    const fault = { file: '/tls.crt', reason: 'it does not exist', remedy: 'put it there' }
    const key = { file: '/tls.key', mode: 0o600, isEncrypted: false }
    assert.deepEqual(check({ fault, key }), [
      'error TLS files: /tls.crt: it does not exist',
      'ok private key: /tls.key has mode 0600',
    ])
  })

  test('minds who may reach a key that is not encrypted', () => {
    const of = (mode: number, isEncrypted = false): string =>
      check({ key: { file: '/k', mode, isEncrypted } }).at(-1) ?? ''
    for (const mode of [0o600, 0o400, 0o640, 0o440]) assert.match(of(mode), /^ok /)
    assert.match(of(0o644), /^error .*mode 0644: others may reach it/)
    assert.match(of(0o601), /^error /)
    assert.match(of(0o660), /^error .*mode 0660: its group may replace it/)
    assert.match(of(0o644, true), /^ok .*encrypted/)
  })

  test('holds the names against the host that clients ask for', () => {
    const of = (hostname: string, ...names: readonly string[]): string =>
      check({ hostname, names })[0] ?? ''
    assert.match(
      of('a.test', 'b.test', 'A.test'),
      /^ok names of the server certificate: b\.test, A/,
    )
    assert.match(of('a.b.test', '*.b.test'), /^ok/)
    assert.match(
      of('b.test', '*.b.test'),
      /^error .*: b\.test, the host of server\.external_url, is/,
    )
    assert.match(of('a.a.b.test', '*.b.test'), /^error/)
    assert.match(of('192.0.2.1', '192.0.2.1'), /^ok/)
  })

  test('says where the chain leads', () => {
    const of = (end: 'public' | 'self' | 'unknown'): string =>
      check({ chain: { file: '/c.pem', end, issuer: 'CN=Root', length: 2 } }).at(-1) ?? ''
    assert.equal(
      of('public'),
      'ok chain of the server certificate: 2 certificates, issued by CN=Root',
    )
    assert.match(of('self'), /^advice .*ending at CN=Root, which signed itself$/)
    assert.match(of('unknown'), /^advice .*the last issued by CN=Root, which is no public CA$/)
  })

  test('finds where the chain leads among the CAs that Node.js knows', () => {
    const root = rootCertificates[0] ?? ''
    assert.equal(chainOf('/c.pem', root)?.end, 'public')
    assert.equal(chainOf('/c.pem', 'nothing'), undefined)
  })

  test('warns of a certificate without names, and passes warnings on', () => {
    const shown = check({ names: [], warnings: ['an old CA'] })
    assert.match(shown[0] ?? '', /^warning client CA: an old CA$/)
    assert.match(shown[1] ?? '', /^warning names .* no subject alternative name/)
  })
})

describe('the check of the transport', () => {
  const check = (over: Partial<TransportFacts>): string =>
    said(
      checkTransport({
        ...{ choice: 'auto', uwsProblem: 'no binary', uwsCaution: undefined, listenersForUws: 1 },
        ...over,
      }),
    ).join()

  test('warns where auto falls back, and knows where uws must not', () => {
    assert.match(check({}), /^warning transport: the slower node serves: no binary$/)
    assert.match(check({ choice: 'uws' }), /^error .*will not start: no binary$/)
    assert.match(check({ choice: 'node' }), /^ok .*by node$/)
    assert.match(check({ listenersForUws: 0 }), /^ok .*by node$/)
    assert.match(check({ uwsProblem: undefined }), /^ok .*by uws$/)
  })

  test('warns of a build that reads on after a pause, whoever chose', () => {
    const build = { uwsProblem: undefined, uwsCaution: 'it reads on' }
    assert.match(check(build), /^warning transport: the slower node serves: it reads on$/)
    assert.match(check({ ...build, choice: 'uws' }), /^warning transport: uws serves: it reads on$/)
    assert.match(check({ ...build, choice: 'node' }), /^ok .*by node$/)
  })
})

describe('the check of passwords', () => {
  const userOf = (username: string, leftMs?: number, isBcrypt = false) => ({
    ...{ username, isBcrypt },
    expiresAtMs: leftMs === undefined ? undefined : nowMs + leftMs,
  })

  test('is content with argon2id that holds', () => {
    const users = [userOf('a'), userOf('b', 15 * dayMs)]
    assert.deepEqual(said(checkPasswords({ nowMs, users })), [
      'ok passwords: 2 users, all argon2id',
    ])
  })

  test('warns of each password two weeks before its end, and of bcrypt once', () => {
    const users = [userOf('a', 13.5 * dayMs), userOf('b', 0.5 * dayMs, true), userOf('c', -1, true)]
    assert.deepEqual(said(checkPasswords({ nowMs, users })), [
      'warning passwords: that of a expires in 14 days',
      'warning passwords: that of b expires in 1 day',
      'warning passwords: that of c has expired and is refused',
      'advice passwords: 2 of 3 are bcrypt hashes: b, c',
    ])
  })
})

describe('the check of files with secrets', () => {
  const of = (...modes: readonly (number | undefined)[]): readonly string[] =>
    said(
      checkPrivateFiles(
        modes.map((mode, i) => {
          return { file: `/etc/${i}`, named: 'key_files', mode, isEncrypted: false }
        }),
      ),
    )

  test('lets the owner alone reach them', () => {
    assert.deepEqual(of(), [])
    assert.deepEqual(of(0o600, 0o400), ['ok files with secrets: 2 files, for the owner alone'])
    assert.deepEqual(of(0o600, 0o640, 0o644, 0o604), [
      'warning files with secrets: /etc/1 (key_files) has mode 0640: its group may reach it',
      'warning files with secrets: /etc/2 (key_files) has mode 0644: others may reach it',
      'warning files with secrets: /etc/3 (key_files) has mode 0604: others may reach it',
    ])
  })

  test('tells which are not there, and minds none that is encrypted', () => {
    assert.match(of(undefined)[0] ?? '', /^error .*\/etc\/0 \(key_files\) cannot be read$/)
    const file = { file: '/k', named: 'client_private_key', mode: 0o644, isEncrypted: true }
    assert.match(said(checkPrivateFiles([file]))[0] ?? '', /^ok .*one file/)
  })
})
