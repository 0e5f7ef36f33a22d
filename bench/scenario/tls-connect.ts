// A client that opens a connection for each request: what it gains by resuming its session.

import type { Scenario } from '../contract.ts'
import { connectionScenario } from '../tls-scenario-kind.ts'

export const tlsConnects: readonly Scenario[] = (['tls', 'mtls'] as const).flatMap((edge) =>
  [false, true].map((resume) =>
    connectionScenario({ edge, resume, version: '1.3', mode: 'connect', expected: [] }),
  ),
)
