// Goal: whoever keeps the clock is believed, nobody else is, and a clock that is off is told. Method: what
// the programs print, as their manuals show it; a server that tells the time as the test likes.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { checkClock, checkSkew } from '../../src/doctor/check/clock.ts'
import { askClock, readClock } from '../../src/doctor/probe/clock.ts'
import { openRudeService, type RudeService, rudeManners } from '../support/rude-service.ts'
import { type FakeMachine, fakeHost } from './fake-tree.ts'
import { said } from './said.ts'

const chrony = (leap: string, off: string): string =>
  `Reference ID    : C0000201\nStratum         : 3\nSystem time     : ${off} seconds slow of NTP time\nLast offset     : +0.000000001 seconds\nLeap status     : ${leap}\n`

const timesync = '/run/systemd/timesync/synchronized'

describe('the check of the clock', () => {
  const says = async (machine: FakeMachine, isQuick = false): Promise<string> =>
    said(checkClock(await readClock(fakeHost(machine), isQuick))).join()

  const cases: ReadonlyArray<readonly [name: string, machine: FakeMachine, finding: RegExp]> = [
    [
      'chrony in order',
      { programs: { 'chronyc -n tracking': chrony('Normal', '0.000012345') } },
      /^ok clock: chrony says: synchronised, 0\.012 ms off$/,
    ],
    [
      'chrony at a loss',
      { programs: { 'chronyc -n tracking': chrony('Not synchronised', '0.0') } },
      /^warning clock: chrony says that it is not synchronised$/,
    ],
    [
      'chrony far off',
      { programs: { 'chronyc -n tracking': chrony('Normal', '3.5') } },
      /^warning clock: chrony says: synchronised, 3500\.000 ms off$/,
    ],
    [
      'a leap second ahead',
      { programs: { 'chronyc -n tracking': chrony('Insert second', '0.000001') } },
      /^ok clock/,
    ],
    [
      'timedated in order',
      { programs: { 'timedatectl show': 'Timezone=UTC\nNTP=yes\nNTPSynchronized=yes\n' } },
      /^ok clock: timedatectl says: synchronised$/,
    ],
    [
      'timedated at a loss',
      { programs: { 'timedatectl show': 'NTP=no\nNTPSynchronized=no\n' } },
      /^warning clock: timedatectl says that it is not/,
    ],
    [
      'chrony, which knows better than timedated',
      {
        programs: {
          'chronyc -n tracking': chrony('Normal', '0.1'),
          'timedatectl show': 'NTPSynchronized=no\n',
        },
      },
      /^ok clock: chrony/,
    ],
    [
      'the kernel in order',
      { programs: { 'adjtimex --print': '         mode: 0\n       status: 8193\n' } },
      /^ok clock: the kernel/,
    ],
    [
      'the kernel at a loss',
      { programs: { 'adjtimex --print': '       status: 64\n' } },
      /^warning clock: the kernel/,
    ],
    ['the mark of timesyncd', { tree: { [timesync]: '' } }, /^ok clock: systemd-timesyncd/],
    [
      'a daemon that does not tell',
      { tree: { '/proc/7/comm': 'ntpd\n' } },
      /^unknown clock: ntpd runs, and does not tell$/,
    ],
    ['nobody', { tree: { '/proc/1/comm': 'systemd\n' } }, /^warning clock: nobody keeps it$/],
    ['a container', { tree: { '/proc/1/comm': 'node\n' } }, /^unknown clock: who keeps it/],
    ['programs that print oddities', { programs: { 'timedatectl show': 'x' } }, /^unknown clock/],
  ]
  for (const [name, machine, finding] of cases) {
    test(`of ${name} it says ${finding.source}`, async () => {
      assert.match(await says(machine), finding)
    })
  }

  test('in a hurry no program is asked', async () => {
    const programs = { 'timedatectl show': 'NTPSynchronized=no\n' }
    assert.match(await says({ programs, tree: { [timesync]: '' } }, true), /^ok clock/)
  })
})

describe('the clock of another host', () => {
  let service: RudeService
  before(async () => {
    service = await openRudeService({ status: 200 })
  })
  after(() => service.close())

  const nowMs = Date.parse('2026-01-01T00:00:00.400Z')
  const ask = async (headers: Readonly<Record<string, string>>): Promise<string> => {
    service.behave({ status: 301, headers })
    return said(checkSkew([await askClock(new URL(`${service.url}/x?y`), () => nowMs)])).join()
  }

  test('agrees within what a Date can tell', async () => {
    assert.match(await ask({ Date: 'Thu, 01 Jan 2026 00:00:00 GMT' }), /^ok clock compared: agrees/)
    assert.match(await ask({ Date: 'Wed, 31 Dec 2025 23:59:59 GMT' }), /^ok/)
    assert.match(await ask({ Date: 'Thu, 01 Jan 2026 00:00:02 GMT' }), /^ok/)
    assert.equal(service.requests.at(-1)?.method, 'HEAD')
  })

  test('is told where it differs, and by how much at least', async () => {
    assert.match(
      await ask({ Date: 'Thu, 01 Jan 2026 00:00:10 GMT' }),
      /^warning clock compared: it is at least 9\.6 s behind that of http:\/\/127/,
    )
    assert.match(
      await ask({ Date: 'Wed, 31 Dec 2025 23:59:30 GMT' }),
      /^warning clock compared: it is at least 29\.4 s ahead of that of/,
    )
    assert.match(await ask({ Date: 'Thu, 01 Jan 2026 01:00:00 GMT' }), /^error clock compared/)
  })

  test('is as old as a cache on the way says', async () => {
    const aged = { Date: 'Wed, 31 Dec 2025 23:00:00 GMT', Age: '3600' }
    assert.match(await ask(aged), /^ok/)
  })

  test('is not known where it does not tell', async () => {
    assert.match(await ask({}), /^unknown clock compared: .*has no date$/)
    assert.match(await ask({ Date: 'yesterday' }), /^unknown clock compared: .*has no date$/)
    const absent = await askClock(new URL('http://127.0.0.1:1/'), () => nowMs)
    assert.match(said(checkSkew([absent])).join(), /^unknown .*ECONNREFUSED/)
  })

  test('is not waited for, however rude it is', async () => {
    for (const manner of rudeManners) {
      service.behave(manner)
      const facts = await askClock(new URL(service.url), () => nowMs, 200)
      assert.match(said(checkSkew([facts])).join(), /^unknown clock compared/, manner)
    }
  })
})
