// Asks those who keep the clock of this machine, and the clock of another one.
import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import type { ClockFacts, ClockWitness, SkewFacts } from '../check/clock.ts'
import type { Host } from '../host.ts'

const daemons: ReadonlySet<string> = new Set([
  ...['chronyd', 'systemd-timesyn', 'systemd-timesyncd', 'ntpd', 'ntpsec', 'openntpd', 'ptp4l'],
])
const processesMax = 4096
const atATime = 16
const answerMs = 3000

/** `isQuick`: by files alone, without asking a program. */
export async function readClock(host: Host, isQuick: boolean): Promise<ClockFacts> {
  const [chrony, manager, stamp, kernel] = await Promise.all([
    isQuick ? undefined : host.output('chronyc', ['-n', 'tracking']),
    isQuick ? undefined : host.output('timedatectl', ['show']),
    host.state('/run/systemd/timesync/synchronized'),
    isQuick ? undefined : host.output('adjtimex', ['--print']),
  ])
  const witnesses = [
    ofChrony(chrony),
    ofManager(manager),
    ofKernel(kernel),
    // Made when it was first synchronised since the start of the machine, and never taken away.
    stamp && { name: 'systemd-timesyncd', isSynchronized: true, offsetMs: undefined },
  ]
  const known = witnesses.filter((witness) => witness !== undefined)
  return {
    witnesses: known,
    // Whoever tells need not be looked for.
    daemons: known.length > 0 ? [] : await runningDaemons(host),
    seesAll: /^(?:systemd|init|runit|openrc-init|s6-svscan)$/.test(
      (await host.text('/proc/1/comm')) ?? '',
    ),
  }
}

// Source: chronyc(1) "tracking".
function ofChrony(printed: string | undefined): ClockWitness | undefined {
  const [, leap] = /^Leap status\s*: (.+)$/m.exec(printed ?? '') ?? []
  if (leap === undefined) return undefined
  const [, seconds] = /^System time\s*: (\d+(?:\.\d+)?) seconds/m.exec(printed ?? '') ?? []
  const offsetMs = seconds === undefined ? undefined : Number(seconds) * 1000
  return { name: 'chrony', isSynchronized: leap.trim() !== 'Not synchronised', offsetMs }
}

// The kernel's own mark, which every daemon sets. Source: org.freedesktop.timedate1(5).
function ofManager(printed: string | undefined): ClockWitness | undefined {
  const [, told] = /^NTPSynchronized=(yes|no)$/m.exec(printed ?? '') ?? []
  if (told === undefined) return undefined
  return { name: 'timedatectl', isSynchronized: told === 'yes', offsetMs: undefined }
}

const unsynchronized = 0x40

// Source: adjtimex(2) STA_UNSYNC.
function ofKernel(printed: string | undefined): ClockWitness | undefined {
  const [, status] = /^\s*status: (\d+)/m.exec(printed ?? '') ?? []
  if (status === undefined) return undefined
  const isSynchronized = (Number(status) & unsynchronized) === 0
  return { name: 'the kernel', isSynchronized, offsetMs: undefined }
}

async function runningDaemons(host: Host): Promise<readonly string[]> {
  const ids = ((await host.entries('/proc')) ?? []).filter((name) => /^\d+$/.test(name))
  const found = new Set<string>()
  // A few at a time: the threads that read them are those of a server that starts.
  for (let start = 0; start < Math.min(ids.length, processesMax); start += atATime) {
    const some = ids.slice(start, start + atATime)
    const names = await Promise.all(some.map((id) => host.text(`/proc/${id}/comm`)))
    for (const name of names) if (name !== undefined && daemons.has(name)) found.add(name)
  }
  return [...found]
}

/** HEAD of the URL. Never rejects. */
export function askClock(
  url: URL,
  now: () => number,
  timeoutMs: number = answerMs,
): Promise<SkewFacts> {
  const source = url.origin
  const startMs = now()
  return new Promise((settle) => {
    const fail = (fault: string): void => settle({ source, aheadMs: undefined, fault })
    const request = url.protocol === 'https:' ? requestHttps : requestHttp
    const call = request(url, { method: 'HEAD', agent: false }, ({ headers }) => {
      call.destroy()
      const { date, age } = headers
      const theirMs = Date.parse(date ?? '')
      if (Number.isNaN(theirMs)) return fail('its answer has no date')
      const agedMs = theirMs + (/^\d{1,9}$/.test(age ?? '') ? Number(age) * 1000 : 0)
      settle({ source, aheadMs: leastOffset(agedMs, startMs, now()), fault: undefined })
    })
    const timer = setTimeout(
      () => call.destroy(new Error(`no answer in ${timeoutMs} ms`)),
      timeoutMs,
    )
    call.on('close', () => clearTimeout(timer))
    call.on('error', (error) => fail(reasonOf(error)))
    call.end()
  })
}

function reasonOf(error: Error): string {
  // Several addresses of a name were tried: the message of that is empty.
  return error.message === '' && 'code' in error ? String(error.code) : error.message
}

// A Date header is cut to the second, and was written at some time between our asking and the end.
function leastOffset(theirMs: number, startMs: number, endMs: number): number {
  const leastMs = theirMs - endMs
  const mostMs = theirMs + 1000 - startMs
  return leastMs > 0 ? leastMs : Math.min(mostMs, 0)
}
