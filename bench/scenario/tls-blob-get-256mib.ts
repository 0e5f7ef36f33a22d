// A large layer from the page cache over TLS, where nginx has to copy and encrypt as everybody.

import { MIB } from '../content.ts'
import type { Scenario } from '../contract.ts'
import { keepAliveScenario } from '../tls-scenario-kind.ts'

const LAYER = { target: 'blob', size: 256 * MIB, connections: 1 } as const

export const tlsBlobGet256MiB: Scenario = keepAliveScenario({
  ...LAYER,
  name: 'tls-blob-get-256mib',
  asks: 'TLS blob GET, 256 MiB, 1 connection',
  edge: 'tls',
  expected: [{ against: 'nginx-static', atLeast: 1.1 }],
})

export const mtlsBlobGet256MiB: Scenario = keepAliveScenario({
  ...LAYER,
  name: 'mtls-blob-get-256mib',
  asks: 'mTLS blob GET, 256 MiB, 1 connection',
  edge: 'mtls',
  expected: [{ against: 'nginx-static', atLeast: 0.8, perCpu: true }],
})
