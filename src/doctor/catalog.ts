// Every check of the doctor, in the order in which its findings come, by theme.
import { clockRows } from './check/clock.ts'
import { configurationRows } from './check/configuration.ts'
import { fileRows } from './check/files.ts'
import { kernelRows } from './check/kernel.ts'
import { networkRows } from './check/network.ts'
import { pagingRows } from './check/paging.ts'
import { passwordRows } from './check/passwords.ts'
import { processorRows } from './check/processor.ts'
import { resourceRows } from './check/resources.ts'
import { serviceRows } from './check/services.ts'
import { storageRows } from './check/storage.ts'
import { syncRows } from './check/sync-rate.ts'
import { tlsRows } from './check/tls.ts'
import { transportRows } from './check/transport.ts'
import { type CheckRows, sayingsOf } from './finding.ts'

export const probeRows = {
  probe: {
    title: 'not looked at',
    why: 'what the doctor cannot see it cannot judge',
    link: 'docs/doctor.md#reading-the-answer',
  },
} as const

/** By heading of docs/doctor.md. */
export const catalog: Readonly<Record<string, CheckRows>> = {
  Configuration: configurationRows,
  'Listeners and TLS': { ...transportRows, listen: networkRows.listen, ...tlsRows },
  'Logins and policies': passwordRows,
  Files: fileRows,
  Storage: storageRows,
  'Processor and measurements': { ...processorRows, ...syncRows },
  'Memory and processors': { ...resourceRows, ...pagingRows },
  'Kernel and network': { ...kernelRows, mtu: networkRows.mtu },
  Clock: clockRows,
  Services: serviceRows,
  'Reading the answer': probeRows,
}

export const sayProbe: ReturnType<typeof sayingsOf<typeof probeRows>> = sayingsOf(probeRows)

/** Those that a server which starts looks at. */
export const atStart: ReadonlySet<string> = new Set(
  Object.values(catalog).flatMap((rows) =>
    Object.entries(rows).flatMap(([check, { atStart }]) => (atStart ? [check] : [])),
  ),
)
