// Goal: a machine that lies, hangs or shows nothing costs findings, never the doctor. Method: every file it
// reads holds garbage, or is never answered; whatever comes of it must be findings as any others.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseConfig } from '../../src/config/load.ts'
import { diagnose } from '../../src/doctor/diagnose.ts'
import { examine } from '../../src/doctor/examine.ts'
import { gatherFacts, type Surroundings } from '../../src/doctor/facts.ts'
import type { Host } from '../../src/doctor/host.ts'
import { Dice, randomFrom } from '../support/dice.ts'
import { said } from './said.ts'

const config = parseConfig(
  [
    {
      file: '/etc/keelson/config.toml',
      text: `[[server.listener]]
bind_address = "::"
port = 8443
[[server.listener]]
socket = "/run/keelson/k.sock"
[blob_store.fs]
root_dir = "/srv/keelson"
[audit]
file = "/var/log/keelson/audit.jsonl"
[redis]
url = "redis://127.0.0.1:1"
`,
    },
  ],
  {},
)

function around(host: Host): Surroundings {
  return {
    ...{ host, files: ['/etc/keelson/config.toml'], problems: [] },
    ...{ uwsProblem: undefined, uwsCaution: undefined },
    ...{ isForUws: () => true, serverPid: 7, cores: 2, addresses: new Set<string>() },
    ...{ architecture: 'x64', env: {}, uid: 0, now: Date.now, clockUrl: undefined, isQuick: true },
  }
}

const words = [
  ...[
    '',
    '0',
    '-1',
    '1',
    '99999999999999999999',
    'max',
    'nan',
    '∞',
    '\0',
    'a b c',
    '0A',
    '::',
    ' - ',
  ],
  ...['Max open files', 'flags : ', 'MemTotal: kB', '0::/..', '4:memory:/../../..', 'yes', '[x]'],
  ...['Leap status : Normal', 'System time : 1e999 seconds', 'NTPSynchronized=maybe', 'mtu 0'],
  ...['22 1 0:0 / / rw - ext4 x rw', '0: 00000000:20FB 0:0 0A 0 0 0 0 0 9', 'CapEff:\tzz', 'Name:'],
]

function liar(dice: Dice): Host {
  const text = (): string =>
    Array.from({ length: dice.below(6) }, () => dice.pick(words)).join(dice.pick(['\n', ' ', '\t']))
  const maybe = <T>(answer: () => T): Promise<T | undefined> =>
    Promise.resolve(dice.chance(0.3) ? undefined : answer())
  const number = (): number => dice.pick([0, 1, -1, 2 ** 53, Number.NaN, 0o777, 0o1777])
  return {
    text: () => maybe(text),
    entries: () => maybe(() => [dice.pick(['1', '42', 'self', 'eth0', '..', '']), 'x']),
    target: () => maybe(() => `socket:[${dice.below(12)}]`),
    real: (path) => maybe(() => dice.pick([path, '/', '/x/y'])),
    state: () =>
      maybe(() => {
        const kind = dice.pick(['file', 'directory', 'socket', 'other'] as const)
        return { kind, mode: number(), uid: number(), gid: number() }
      }),
    mayWrite: () => Promise.resolve(dice.chance(0.5)),
    space: () =>
      maybe(() => {
        const room = { freeBytes: number(), totalBytes: number() }
        return { ...room, freeInodes: number(), totalInodes: number() }
      }),
    output: () => maybe(text),
  }
}

test('garbage in every place makes findings, and nothing else', async () => {
  for (let seed = 1; seed <= 150; seed++) {
    const facts = await gatherFacts(config, around(liar(new Dice(randomFrom(seed)))))
    const findings = diagnose(facts)
    assert.deepEqual(facts.failures, [], `seed ${seed}`)
    assert.ok(said(findings).length > 10, `seed ${seed}`)
    assert.ok(!findings.some(({ check }) => check === 'probe'), `seed ${seed}`)
  }
})

test('a machine that answers nothing is not known, and one that fails is told', async () => {
  const nothing = (): Promise<undefined> => Promise.resolve(undefined)
  const blank: Host = {
    ...{ text: nothing, entries: nothing, target: nothing, real: nothing, state: nothing },
    ...{ mayWrite: () => Promise.resolve(false), space: nothing, output: nothing },
  }
  const lines = said(await examine(config, around(blank)))
  assert.ok(lines.filter((line) => line.startsWith('unknown')).length > 10)
  const failing: Host = { ...blank, text: () => Promise.reject(new Error('planted')) }
  const told = said(await examine(config, around(failing)))
  assert.match(told.join('\n'), /^unknown not looked at kernel: planted$/m)
})

test('a machine that never answers is not waited for', async () => {
  const never = (): Promise<never> => new Promise(() => undefined)
  const host: Host = {
    ...{ text: never, entries: never, target: never, real: never, state: never },
    ...{ mayWrite: never, space: never, output: never },
  }
  const facts = await gatherFacts(config, around(host), 50)
  const lines = said(diagnose(facts))
  assert.ok(lines.includes('unknown not looked at storage: it took more than 50 ms'))
  assert.ok(lines.includes('ok configuration: it would be taken'))
})
