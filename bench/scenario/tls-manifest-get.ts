// Pulling by tag over TLS that is already up: with wrk on uws, with our own client on node-tls.

import type { Scenario } from '../contract.ts'
import { requestScenario } from '../scenario-kind.ts'
import { keepAliveScenario } from '../tls-scenario-kind.ts'

export const tlsManifestGet: Scenario = requestScenario({
  name: 'tls-manifest-get',
  asks: 'TLS manifest GET by tag (1.2 kB)',
  method: 'GET',
  target: 'tag',
  edge: 'tls',
  expected: [
    { against: 'nginx-static', atLeast: 1.15 },
    { against: 'nginx-static', atLeast: 1, perCpu: true },
    { against: 'bare-uws', atLeast: 0.75 },
  ],
})

export const mtlsManifestGet: Scenario = keepAliveScenario({
  name: 'mtls-manifest-get',
  asks: 'mTLS manifest GET by tag (1.2 kB)',
  edge: 'mtls',
  target: 'tag',
  expected: [{ against: 'nginx-static', atLeast: 0.5, perCpu: true }],
})
