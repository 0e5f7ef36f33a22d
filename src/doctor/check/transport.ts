// Checks that the chosen HTTP implementation is the one that serves.
import type { Finding } from '../contract.ts'
import { sayingsOf } from '../finding.ts'

export interface TransportFacts {
  readonly choice: 'auto' | 'uws' | 'node'
  /** Why the binary of uws does not load; undefined where it does. */
  readonly uwsProblem: string | undefined
  /** Why `auto` leaves a build alone that loads. */
  readonly uwsCaution: string | undefined
  /** Listeners that uws would serve. */
  readonly listenersForUws: number
}

export const transportRows = {
  transport: {
    title: 'transport',
    why: 'the node transport takes about three times as much processor time for a small request',
    link: 'docs/doctor.md#listeners-and-tls',
    error: '`server.transport = "uws"`, and its binary does not load',
    warning:
      '`"auto"`, and it does not load for a listener that it could serve, or its build does not stop reading when told to; `"uws"` with such a build',
  },
} as const

const say = sayingsOf(transportRows)

export function checkTransport(facts: TransportFacts): readonly Finding[] {
  const { choice, uwsProblem, uwsCaution, listenersForUws } = facts
  if (choice === 'node' || listenersForUws === 0) {
    return [say.ok('transport', 'every listener is served by node')]
  }
  if (uwsProblem === undefined && uwsCaution !== undefined) {
    const remedy =
      choice === 'uws'
        ? 'keep it only where no client sends faster than the server hashes, or set server.transport = "auto"'
        : 'use Node.js 20 for the fast one'
    const who = choice === 'uws' ? 'uws' : 'the slower node'
    return [say.warning('transport', `${who} serves: ${uwsCaution}`, { remedy })]
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
