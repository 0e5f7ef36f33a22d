// Answers for what is true of every guard, whatever the service behind it is: it allows where the service
// allows in time and as agreed, and nowhere else. Run by the tests of each kind.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { anonymous, type Identity } from '../../src/authenticate/identity.ts'
import type { Asked, Guard, Question, Verdict } from '../../src/authorize/guard.ts'
import {
  openRudeService,
  type RudeAnswer,
  type RudeService,
  rudeManners,
} from '../support/rude-service.ts'
import { until, within } from '../support/until.ts'
import { act, actionKinds, certified, user } from './scene.ts'

export interface ContractGuardOptions {
  readonly url: string
  readonly timeoutMs: number
  /** Failures in a row. */
  readonly breakerFailures: number
  readonly breakerCooldownMs: number
  readonly concurrencyMax: number
  /** 0: each question is put. */
  readonly cacheTtlMs: number
  readonly elapsed: () => number
}

export interface ContractGuard {
  readonly guard: Guard
  close(): Promise<void>
}

export interface GuardKind {
  /** For the names of the tests. */
  readonly kind: string
  readonly allow: RudeAnswer
  readonly deny: RudeAnswer
  /** Answers in time that were not agreed on, with their names. */
  readonly otherwise: Readonly<Record<string, RudeAnswer>>
  open(options: ContractGuardOptions): Promise<ContractGuard>
}

const identities: Readonly<Record<string, Identity>> = {
  anonymous,
  'a user': user('alice', 'dev', 'ops'),
  'a certificate': certified({ commonNames: ['build'], organizations: ['Infrastructure'] }),
}

const patient = 10_000
const never = 1_000_000

/** A request around an action, as the transports tell it. */
export function around(changes: Partial<Omit<Asked, 'header'>> & { host?: string } = {}): Asked {
  const { host = 'registry.test', ...others } = changes
  return {
    ...{ method: 'GET', path: '/v2/team/app/manifests/v1', query: '', isSecure: true },
    header: (name) => (name === 'host' ? host : ''),
    clientIp: () => '192.0.2.7',
    ...others,
  }
}

/** Every action that is served, asked for by nobody, a user and a certificate. */
export function everyQuestion(): readonly Question[] {
  return Object.values(identities).flatMap((identity) =>
    actionKinds.map((kind) => ({ identity, action: act(kind), asked: around() })),
  )
}

/** All verdicts; a guard that throws, rejects or does not answer in time fails the test. */
export async function askAll(
  guard: Guard,
  questions: readonly Question[] = everyQuestion(),
): Promise<readonly Verdict[]> {
  return Promise.all(questions.map(async (question) => within('a verdict', ask(guard, question))))
}

async function ask(guard: Guard, question: Question): Promise<Verdict> {
  return guard.ask(question)
}

async function scene(
  t: { after(step: () => Promise<unknown>): void },
  kind: GuardKind,
  changes: Partial<ContractGuardOptions> = {},
): Promise<{ readonly service: RudeService; readonly guard: Guard; close(): Promise<void> }> {
  const service = await openRudeService(kind.allow)
  t.after(() => service.close())
  const { guard, close } = await kind.open({
    ...{ url: service.url, timeoutMs: patient, concurrencyMax: 64, cacheTtlMs: 0 },
    ...{ breakerFailures: never, breakerCooldownMs: 1000, elapsed: () => performance.now() },
    ...changes,
  })
  t.after(close)
  return { service, guard, close }
}

const results = (verdicts: readonly Verdict[]): readonly string[] => [
  ...new Set(verdicts.map(({ result }) => result)),
]

/** Declares the tests of one kind of guard. */
export function guardContract(kind: GuardKind): void {
  agreedTests(kind)
  failureTests(kind)
  breakerTests(kind)
  lifeTests(kind)
}

function agreedTests(kind: GuardKind): void {
  const one: Question = {
    identity: user('alice'),
    action: act('get-manifest'),
    asked: around(),
  }

  test(`${kind.kind}: what the service allows is allowed, for every action and identity`, async (t) => {
    const { guard, service } = await scene(t, kind)
    assert.deepEqual(results(await askAll(guard)), ['allow'])
    assert.equal(service.requests.length, everyQuestion().length)
  })

  test(`${kind.kind}: what the service denies is denied, for every action and identity`, async (t) => {
    const { guard, service } = await scene(t, kind)
    service.behave(kind.deny)
    assert.deepEqual(results(await askAll(guard)), ['deny'])
  })

  test(`${kind.kind}: a remembered verdict is given at once, until its time is over`, async (t) => {
    let nowMs = 0
    const { guard, service } = await scene(t, kind, { cacheTtlMs: 1000, elapsed: () => nowMs })
    for (const [answer, result] of [
      [kind.allow, 'allow'],
      [kind.deny, 'deny'],
    ] as const) {
      service.behave(answer)
      const before = service.requests.length
      const first = await guard.ask(one)
      assert.deepEqual([first.result, first.isCached], [result, false])
      nowMs += 999
      for (let i = 0; i < 3; i += 1) {
        const again = guard.ask(one)
        assert.ok(!(again instanceof Promise))
        assert.deepEqual([again.result, again.isCached], [result, true])
      }
      assert.equal(service.requests.length, before + 1)
      nowMs += 1
    }
    assert.equal((await guard.ask(one)).isCached, false)
  })

  test(`${kind.kind}: without a cache each request is a question`, async (t) => {
    const { guard, service } = await scene(t, kind)
    assert.equal((await guard.ask(one)).result, 'allow')
    service.behave(kind.deny)
    assert.equal((await guard.ask(one)).result, 'deny')
    assert.deepEqual(results(await askAll(guard, [one, one, one])), ['deny'])
    assert.equal(service.requests.length, 5)
  })

  test(`${kind.kind}: many who ask the same at once are one question`, async (t) => {
    const { guard, service } = await scene(t, kind, { cacheTtlMs: 1000 })
    service.behave('never answers')
    const verdicts = askAll(guard, [one, one, one, one])
    await until('a question', () => service.requests.length > 0)
    service.release(kind.allow)
    assert.deepEqual(results(await verdicts), ['allow'])
    assert.equal(service.requests.length, 1)
  })
}

function failureTests(kind: GuardKind): void {
  for (const manner of rudeManners) {
    test(`${kind.kind}: a service that ${manner} denies every action and identity`, async (t) => {
      const { guard, service } = await scene(t, kind, { timeoutMs: 400, cacheTtlMs: 60_000 })
      service.behave(manner)
      const verdicts = await askAll(guard)
      assert.deepEqual(results(verdicts), ['unavailable'])
      for (const { isCached, reason } of verdicts) {
        assert.equal(isCached, false)
        assert.ok(reason)
      }
      service.behave(kind.allow)
      // On a busy machine the short time can pass anew; what was remembered would stay far longer.
      const deadline = performance.now() + 20_000
      let later = await askAll(guard)
      while (results(later).includes('unavailable') && performance.now() < deadline) {
        assert.ok(later.every(({ result, isCached }) => !isCached || result === 'allow'))
        later = await askAll(guard)
      }
      assert.deepEqual(results(later), ['allow'], 'a failure was remembered')
    })
  }

  for (const [name, answer] of Object.entries(kind.otherwise)) {
    test(`${kind.kind}: ${name} denies every action and identity, and is not remembered`, async (t) => {
      const { guard, service } = await scene(t, kind, { cacheTtlMs: 60_000 })
      service.behave(answer)
      assert.ok(!results(await askAll(guard)).includes('allow'))
      service.behave(kind.allow)
      assert.deepEqual(results(await askAll(guard)), ['allow'], 'a failure was remembered')
    })
  }

  test(`${kind.kind}: a redirect to where it would be allowed is not followed`, async (t) => {
    const elsewhere = await openRudeService(kind.allow)
    t.after(() => elsewhere.close())
    const { guard, service } = await scene(t, kind)
    for (const status of [301, 302, 303, 307, 308]) {
      service.behave({ status, headers: { Location: `${elsewhere.url}/` } })
      assert.deepEqual(results(await askAll(guard)), ['unavailable'])
    }
    assert.equal(elsewhere.requests.length, 0)
  })

  test(`${kind.kind}: where nobody listens every action and identity is denied`, async (t) => {
    const { guard, service } = await scene(t, kind, { cacheTtlMs: 60_000 })
    await service.stop()
    assert.deepEqual(results(await askAll(guard)), ['unavailable'])
    await service.start()
    assert.deepEqual(results(await askAll(guard)), ['allow'])
  })

  test(`${kind.kind}: a request that cannot be read is denied, not thrown`, async (t) => {
    const { guard } = await scene(t, kind)
    const asked = around({
      clientIp: () => {
        throw new Error('no address')
      },
    })
    const verdict = await guard.ask({ identity: anonymous, action: act('get-manifest'), asked })
    assert.equal(verdict.result, 'unavailable')
  })
}

function breakerTests(kind: GuardKind): void {
  const questions = actionKinds.map((name): Question => {
    return { identity: anonymous, action: act(name), asked: around() }
  })

  test(`${kind.kind}: one that failed too often is left alone, and everything is denied`, async (t) => {
    let nowMs = 0
    const { guard, service } = await scene(t, kind, {
      ...{ breakerFailures: 3, breakerCooldownMs: 1000, elapsed: () => nowMs },
    })
    service.behave('closes at once')
    for (const question of questions.slice(0, 3)) {
      assert.equal((await guard.ask(question)).result, 'unavailable')
    }
    service.behave(kind.allow)
    const asked = service.requests.length
    assert.deepEqual(results(await askAll(guard)), ['unavailable'])
    assert.equal(service.requests.length, asked)

    nowMs += 1000
    service.behave('never answers')
    const probe = ask(guard, questions[0] as Question)
    await until('the one that tries', () => service.requests.length === asked + 1)
    assert.deepEqual(results(await askAll(guard)), ['unavailable'])
    assert.equal(service.requests.length, asked + 1)
    service.release(kind.allow)
    assert.equal((await probe).result, 'allow')
    service.behave(kind.allow)
    assert.deepEqual(results(await askAll(guard)), ['allow'])
  })
}

function lifeTests(kind: GuardKind): void {
  test(`${kind.kind}: no more questions are under way than the bound, and all are answered`, async (t) => {
    // So many that all the others may wait.
    const { guard, service } = await scene(t, kind, { concurrencyMax: 4 })
    service.behave('never answers')
    const verdicts = askAll(guard)
    let answered = 0
    const all = everyQuestion().length
    while (answered < all) {
      await until('as many as may be', () => service.open === Math.min(4, all - answered))
      answered += service.open
      service.release(kind.allow)
    }
    assert.deepEqual(results(await verdicts), ['allow'])
    assert.equal(service.openMax, 4)
    assert.ok(service.connections <= 4)
  })

  test(`${kind.kind}: closing ends what is under way, and denies it and all that follows`, async (t) => {
    const { guard, service, close } = await scene(t, kind, { concurrencyMax: 2 })
    service.behave('never answers')
    const verdicts = askAll(guard)
    await until('questions', () => service.open === 2)
    await close()
    assert.deepEqual(results(await verdicts), ['unavailable'])
    await until('closed connections', () => service.open === 0)
    service.behave(kind.allow)
    const asked = service.requests.length
    assert.deepEqual(results(await askAll(guard)), ['unavailable'])
    assert.equal(service.requests.length, asked)
  })
}
