// Goal: a directory that hangs, breaks off, rambles or answers something else lets nobody in, is never
// taken for "wrong password", and takes neither time nor memory without a bound. Method: a server that
// says what each test wants, byte for byte, in the place of one answer.
import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { after, describe, test } from 'node:test'
import type { LoginOutcome } from '../../../src/authenticate/basic.ts'
import { element } from '../../../src/authenticate/ldap/ber.ts'
import type { LdapConfig } from '../../../src/authenticate/ldap/contract.ts'
import { Secret } from '../../../src/config/secret.ts'
import { OciError } from '../../../src/oci/error.ts'
import { Dice, randomFrom } from '../../support/dice.ts'
import { until } from '../../support/until.ts'
import {
  type Asked,
  bindResult,
  entry,
  type Liar,
  message,
  octets,
  result,
  type Said,
  searchDone,
  sequence,
  startLiar,
} from './liar.ts'
import { openLdap, outcomeOf } from './scene.ts'

const base = 'ou=people,dc=x'
const groupBase = 'ou=groups,dc=x'
const dn = `uid=alice,${base}`
const success: LoginOutcome = {
  result: 'success',
  user: {
    id: 'ldap:corp',
    username: 'alice',
    groups: ['builders'],
    expiresAtMs: undefined,
    authMethod: 'ldap',
  },
}

type Place = 'service bind' | 'user search' | 'user bind' | 'group search'
const places: readonly Place[] = ['service bind', 'user search', 'user bind', 'group search']

function placeOf({ kind, name }: Asked): Place {
  if (kind === 'bind') return name === 'cn=search' ? 'service bind' : 'user bind'
  return name === base ? 'user search' : 'group search'
}

function truth(asked: Asked): readonly Said[] {
  const { id, password } = asked
  switch (placeOf(asked)) {
    case 'service bind':
      return [bindResult(id, 0)]
    case 'user bind':
      return [bindResult(id, password === 'right' ? 0 : 49)]
    case 'user search':
      return [entry(id, dn, { uid: ['alice'] }), searchDone(id)]
    case 'group search':
      return [entry(id, `cn=builders,${groupBase}`, { cn: ['builders'] }), searchDone(id)]
  }
}

const liars: Liar[] = []
after(() => Promise.all(liars.map((liar) => liar.close())))

function config(port: number): Partial<LdapConfig> {
  return {
    url: `ldap://127.0.0.1:${port}`,
    bindDn: 'cn=search',
    bindPassword: new Secret('secret'),
    userBase: base,
    groupBase,
  }
}

interface Tried {
  readonly login: Promise<LoginOutcome>
  readonly liar: Liar
}

/** Logs in with the right password at a directory that says `lie` in one place, and else the truth. */
async function tryLie(
  place: Place,
  lie: (id: number) => readonly Said[],
  more: Partial<LdapConfig> = {},
): Promise<Tried> {
  const liar = await startLiar((asked) => (placeOf(asked) === place ? lie(asked.id) : truth(asked)))
  liars.push(liar)
  const ldap = openLdap({ ...config(liar.port), ...more })
  const login = ldap.check('alice', 'right').finally(() => ldap.close())
  return { login, liar }
}

function unavailable(error: unknown): boolean {
  assert.ok(error instanceof OciError, String(error))
  assert.equal(error.code, 'UNAVAILABLE')
  assert.ok(error.headers.some(([name]) => name === 'Retry-After'))
  return true
}

async function assertFault(place: Place, lie: (id: number) => readonly Said[]): Promise<void> {
  const { login } = await tryLie(place, lie)
  await assert.rejects(outcomeOf(login), unavailable, place)
}

test('told the truth, a login succeeds, and with a wrong password it does not', async () => {
  const liar = await startLiar(truth)
  liars.push(liar)
  const ldap = openLdap(config(liar.port))
  assert.deepEqual(await ldap.check('alice', 'right'), success)
  assert.deepEqual(await ldap.check('alice', 'left'), { result: 'wrong-password' })
  ldap.close()
})

test('an answer may come byte by byte, and with lengths written in four bytes', async () => {
  const liar = await startLiar((asked, socket) => {
    const bytes = Buffer.concat(truth(asked).map((said) => wide(said as Buffer)))
    for (const byte of bytes) socket.write(Buffer.from([byte]))
    return []
  })
  liars.push(liar)
  const ldap = openLdap(config(liar.port))
  assert.deepEqual(await ldap.check('alice', 'right'), success)
  ldap.close()
})

// Of the outermost element only, as that is what is read first.
function wide(bytes: Buffer): Buffer {
  const content = bytes.subarray(bytes[1]! < 0x80 ? 2 : 6)
  const head = Buffer.from([0x30, 0x84, 0, 0, 0, 0])
  head.writeUInt32BE(content.length, 2)
  return Buffer.concat([head, content])
}

describe('in the place of any answer', () => {
  const lies: Readonly<Record<string, (id: number) => readonly Said[]>> = {
    'the end': () => ['close'],
    'half an answer and the end': (id) => [bindResult(id, 0).subarray(0, 6), 'close'],
    HTTP: () => [Buffer.from('HTTP/1.1 200 OK\r\n\r\n')],
    'a result without a code': (id) => [message(id, sequence(0x61)), message(id, sequence(0x65))],
    'a result that is a code alone': (id) => [
      message(id, sequence(0x61, element(0x0a, Buffer.from([0])))),
    ],
    'a code in no bytes': (id) => [
      message(id, sequence(0x61, element(0x0a, Buffer.alloc(0)), octets(''), octets(''))),
    ],
    'success, of something else': (id) => [message(id, result(0x67, 0))],
    'success, of another question': (id) => [bindResult(id + 1, 0), searchDone(id + 1)],
    'a notice that it ends': () => [
      message(0, result(0x78, 52, element(0x8a, Buffer.from('1.3.6.1.4.1.1466.20036')))),
    ],
    'a length of 2 GiB': () => [Buffer.from([0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 2, 1, 2])],
    'a length below nothing': () => [Buffer.from([0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 2, 1, 2])],
    'a length that is not given': () => [Buffer.from([0x30, 0x80, 2, 1, 2, 0, 0])],
    'a part that is longer than the whole': (id) => [
      Buffer.from([0x30, 0x0c, 2, 1, id, 0x61, 0x7f, 0x0a, 1, 0, 4, 0, 4, 0]),
    ],
    'a referral': (id) => [
      message(id, result(0x61, 10, sequence(0xa3, octets('ldap://127.0.0.1:1/')))),
    ],
    'a megabyte of answers to nothing': (id) => [
      Buffer.concat(Array(50_000).fill(searchDone(id + 9))),
    ],
  }
  for (const [title, lie] of Object.entries(lies)) {
    test(`${title} is a fault`, async () => {
      for (const place of places) await assertFault(place, lie)
    })
  }

  test('silence is a fault when its time is over, and the connections are closed', async () => {
    for (const place of places) {
      const { login } = await tryLie(place, () => ['nothing'], { timeoutMs: 300 })
      await assert.rejects(outcomeOf(login), unavailable, place)
    }
  })

  test('random bytes are a fault', async () => {
    const dice = new Dice(randomFrom(20_261))
    const tries = Array.from({ length: 60 }, async () => {
      const place = dice.pick(places)
      const bytes = Buffer.from(Array.from({ length: 1 + dice.below(300) }, () => dice.below(256)))
      const { login } = await tryLie(place, () => [bytes], { timeoutMs: 1000 })
      await assert.rejects(outcomeOf(login), unavailable, bytes.toString('hex'))
    })
    await Promise.all(tries)
  })

  test('whatever is bent of true answers, a wrong password is never right', async () => {
    const dice = new Dice(randomFrom(11_22))
    const tries = Array.from({ length: 200 }, () => assertBent(dice.fork()))
    await Promise.all(tries)
  })
})

async function assertBent(dice: Dice): Promise<void> {
  const place = dice.pick(places)
  const liar = await startLiar((asked) => {
    const bytes = Buffer.concat(truth(asked) as Buffer[])
    if (placeOf(asked) !== place) return [bytes]
    const at = dice.below(bytes.length)
    // What the code says is for the directory to say.
    if (place !== 'user bind' || at < 7 || at > 9) bytes[at] = dice.below(256)
    return [dice.chance(0.3) ? bytes.subarray(0, at) : bytes]
  })
  const ldap = openLdap({ ...config(liar.port), timeoutMs: 1000 })
  const outcome = await ldap.check('alice', 'left').catch((error: unknown) => error)
  if (outcome instanceof Error) unavailable(outcome)
  else assert.notEqual((outcome as LoginOutcome).result, 'success')
  ldap.close()
  await liar.close()
}

test('what directories say of their own troubles is a fault', async () => {
  for (const code of [1, 2, 3, 7, 8, 10, 11, 13, 14, 51, 52, 80]) {
    await assertFault('user bind', (id) => [bindResult(id, code)])
    await assertFault('user search', (id) => [searchDone(id, code)])
    await assertFault('group search', (id) => [searchDone(id, code)])
  }
})

test('what directories say of the account or the password is a refusal', async () => {
  const outcomes = { 49: 'wrong-password', 32: 'wrong-password', 19: 'refused', 53: 'refused' }
  for (const [code, expected] of Object.entries(outcomes)) {
    const { login } = await tryLie('user bind', (id) => [bindResult(id, Number(code))])
    assert.deepEqual(await login, { result: expected })
  }
})

test('a password that must be changed before all else is expired', async () => {
  const control = sequence(0x30, octets('2.16.840.1.113730.3.4.4'), octets('0'))
  const { login } = await tryLie('user bind', (id) => [
    message(id, result(0x61, 0), sequence(0xa0, control)),
  ])
  assert.deepEqual(await login, { result: 'expired' })
})

test('a second answer right behind the first is a fault, whichever comes first', async () => {
  await assertFault('user bind', (id) => [Buffer.concat([bindResult(id, 49), bindResult(id, 0)])])
  await assertFault('user bind', (id) => [Buffer.concat([bindResult(id, 0), bindResult(id, 49)])])
})

describe('an entry', () => {
  const value = (bytes: Buffer): Buffer =>
    sequence(0x64, octets(dn), sequence(0x30, sequence(0x30, octets('uid'), bytes)))
  const lies: Readonly<Record<string, (id: number) => Buffer>> = {
    'without a name': (id) => entry(id, '', { uid: ['alice'] }),
    'with a name that is no UTF-8': (id) =>
      entry(id, Buffer.from([0x75, 0x3d, 0xff]), { uid: ['alice'] }),
    'with a name as an attribute': (id) =>
      entry(id, dn, { uid: ['alice'], dn: [`uid=bob,${base}`] }),
    'without what was asked for': (id) => entry(id, dn, {}),
    'with a value that is no text': (id) => entry(id, dn, { uid: [Buffer.from([0xff, 0xfe])] }),
    // The library would read these for ever.
    'with a value longer than its list': (id) =>
      message(id, value(Buffer.from([0x31, 0x03, 0x04, 0x7f, 0x61]))),
    'with a list longer than the entry': (id) =>
      message(id, value(Buffer.from([0x31, 0x7f, 4, 1, 97]))),
    'with a number for a value': (id) =>
      message(id, value(sequence(0x31, element(2, Buffer.from([1]))))),
    'with a text for an attribute': (id) =>
      message(id, sequence(0x64, octets(dn), sequence(0x30, octets('u')))),
  }
  for (const [title, lie] of Object.entries(lies)) {
    test(`${title} is a fault`, async () => {
      for (const place of ['user search', 'group search'] as const) {
        if (place === 'group search' && title === 'without a name') continue
        await assertFault(place, (id) => [lie(id).subarray(), searchDone(id)])
      }
    })
  }

  test('of a strange name is no user', async () => {
    for (const uid of ['', 'github:alice', 'a\nb', 'x'.repeat(257), ' alice']) {
      const { login } = await tryLie('user search', (id) => [
        entry(id, dn, { uid: [uid] }),
        searchDone(id),
      ])
      assert.deepEqual(await login, { result: 'unfit-user' }, uid)
    }
    const several = { uid: ['bob', 'carol'] }
    const { login } = await tryLie('user search', (id) => [entry(id, dn, several), searchDone(id)])
    assert.deepEqual(await login, { result: 'unfit-user' })
  })

  test('that comes with others is no user, and a flood of them is a fault', async () => {
    const some = (id: number, count: number): Buffer =>
      Buffer.concat(
        Array.from({ length: count }, (_, i) => entry(id, `uid=${i},${base}`, { uid: [`${i}`] })),
      )
    const { login } = await tryLie('user search', (id) => [some(id, 3), searchDone(id)])
    assert.deepEqual(await login, { result: 'unfit-user' })
    await assertFault('user search', (id) => [some(id, 20_000), searchDone(id)])
  })
})

test('references to other directories are not followed', async () => {
  const elsewhere = await startLiar(truth)
  liars.push(elsewhere)
  const reference = (id: number): Buffer =>
    message(id, sequence(0x73, octets(`ldap://127.0.0.1:${elsewhere.port}/`)))
  const { login } = await tryLie('user search', (id) => [reference(id), searchDone(id)])
  assert.deepEqual(await login, { result: 'unknown-user' })
  const { login: second } = await tryLie('group search', (id) => [
    reference(id),
    entry(id, `cn=builders,${groupBase}`, { cn: ['builders'] }),
    searchDone(id),
  ])
  assert.deepEqual(await second, success)
  assert.equal(elsewhere.connections, 0)
})

test('what comes before StartTLS is done is never an answer', async () => {
  const yes = message(1, result(0x78, 0))
  // The beginning of an answer that would end in the first bytes said over TLS.
  const prefix = Buffer.from([0x30, 0x40, 2, 1, 2, 0x61, 0x3b, 0x0a, 1, 0, 4, 0, 4, 0x34])
  const lies: ReadonlyArray<readonly Said[]> = [
    [Buffer.concat([yes, prefix])],
    [Buffer.concat([yes, bindResult(2, 0)])],
    [message(1, result(0x78, 2))],
    [message(2, result(0x78, 0))],
    [message(1, sequence(0x78))],
    [bindResult(1, 0)],
    [Buffer.alloc(100_000, 0x30)],
    ['close'],
    [yes, Buffer.from('no TLS')],
  ]
  for (const lie of lies) {
    const liar = await startLiar(({ kind }) => (kind === 'extended' ? lie : []))
    liars.push(liar)
    const ldap = openLdap({ ...config(liar.port), startTls: true })
    await assert.rejects(outcomeOf(ldap.check('alice', 'right')), unavailable)
    // Nothing was said in clear text but that one question.
    assert.deepEqual([...new Set(liar.asked.map(({ kind }) => kind))], ['extended'])
    ldap.close()
  }
})

test('a directory that talks without being asked is not believed', async () => {
  const liar = await startLiar(truth, bindResult(2, 0))
  liars.push(liar)
  const ldap = openLdap(config(liar.port))
  await assert.rejects(outcomeOf(ldap.check('alice', 'right')), unavailable)
  ldap.close()
})

test('a connection that was closed meanwhile is replaced within the login', async () => {
  const searched = new WeakSet<Socket>()
  const liar = await startLiar((asked, socket) => {
    // It ends when it is used again, as one that was idle for too long.
    if (placeOf(asked) === 'user search' && searched.has(socket)) return ['close']
    if (asked.kind === 'search') searched.add(socket)
    return truth(asked)
  })
  liars.push(liar)
  const ldap = openLdap(config(liar.port))
  assert.deepEqual(await ldap.check('alice', 'right'), success)
  assert.deepEqual(await ldap.check('alice', 'right'), success)
  assert.deepEqual(ldap.status().faults, 0)
  ldap.close()
})

test('so many wait for a directory that hangs, and the next is told at once', async () => {
  const liar = await startLiar(() => ['nothing'])
  liars.push(liar)
  const ldap = openLdap({ ...config(liar.port), connectionsMax: 2, timeoutMs: 60_000 }, [], 3)
  const logins = Array.from({ length: 4 }, () => ldap.check('alice', 'right'))
  const ended = Promise.allSettled(logins)
  await until('three wait', () => ldap.status().waiting === 3 && liar.connections > 0)
  await assert.rejects(outcomeOf(ldap.check('alice', 'right')), unavailable)
  assert.equal(liar.connections, 1)
  ldap.close()
  for (const each of await ended) assert.ok(each.status === 'rejected' && unavailable(each.reason))
})
