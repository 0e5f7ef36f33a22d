// What a CI fleet that opens and drops connections costs: the handshake alone, on both transports.
// The client of a full handshake works as hard as the server, so what counts is the server's CPU.

import type { Scenario } from '../contract.ts'
import { connectionScenario } from '../tls-scenario-kind.ts'

const EDGES = [
  ['tls', 1],
  ['optional', 0.55],
  ['mtls', 0.55],
] as const

export const tlsHandshakes: readonly Scenario[] = EDGES.flatMap(([edge, floor]) =>
  (['1.3', '1.2'] as const).flatMap((version) =>
    [false, true].map((resume) =>
      connectionScenario({
        ...{ edge, version, resume, mode: 'handshake' },
        expected: resume ? [{ against: 'nginx-static', atLeast: floor, perCpu: true }] : [],
      }),
    ),
  ),
)

/** What an RSA key costs in place of a P-256 one. */
export const tlsHandshakeRsa: Scenario = connectionScenario({
  ...{ edge: 'tls', version: '1.3', resume: false, mode: 'handshake', key: 'rsa' },
  expected: [],
})
