// Checks that the chosen HTTP implementation is the one that serves.
import type { Finding, TransportFacts } from './contract.ts'

const title = 'transport'

export function checkTransport(facts: TransportFacts): readonly Finding[] {
  const { choice, uwsProblem, listenersForUws } = facts
  if (choice === 'node' || listenersForUws === 0) {
    return [{ severity: 'ok', title, detail: 'every listener is served by node', remedy: '' }]
  }
  if (uwsProblem === undefined) {
    const detail = `${listenersForUws} of the listeners are served by uws`
    return [{ severity: 'ok', title, detail, remedy: '' }]
  }
  const remedy =
    'use a version of Node and of glibc that it has a binary for, or set server.transport = "node"'
  return choice === 'uws'
    ? [{ severity: 'error', title, detail: `the server will not start: ${uwsProblem}`, remedy }]
    : [{ severity: 'warning', title, detail: `the slower node serves: ${uwsProblem}`, remedy }]
}
