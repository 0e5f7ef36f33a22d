// Checks that the chosen HTTP implementation is the one that serves.
import type { Finding } from '../contract.ts'
import { sayingsOf } from '../finding.ts'

export interface TransportFacts {
  readonly choice: 'auto' | 'uws' | 'node'
  /** Why the binary of uws does not load; undefined where it does. */
  readonly uwsProblem: string | undefined
  /** Listeners that uws would serve. */
  readonly listenersForUws: number
}

export const transportRows = {
  transport: {
    title: 'transport',
    why: 'the node transport takes about three times as much processor time for a small request',
    link: 'docs/doctor.md#listeners-and-tls',
    error: '`server.transport = "uws"`, and its binary does not load',
    warning: '`"auto"`, and it does not load for a listener that it could serve',
  },
} as const

const say = sayingsOf(transportRows)

export function checkTransport(facts: TransportFacts): readonly Finding[] {
  const { choice, uwsProblem, listenersForUws } = facts
  if (choice === 'node' || listenersForUws === 0) {
    return [say.ok('transport', 'every listener is served by node')]
  }
  if (uwsProblem === undefined) {
    return [say.ok('transport', `${listenersForUws} of the listeners are served by uws`)]
  }
  const remedy =
    'use a version of Node and of glibc that it has a binary for, or set server.transport = "node"'
  return choice === 'uws'
    ? [say.error('transport', `the server will not start: ${uwsProblem}`, { remedy })]
    : [say.warning('transport', `the slower node serves: ${uwsProblem}`, { remedy })]
}
