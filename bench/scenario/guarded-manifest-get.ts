// Pulling by tag as operators run it: ten rules, the access log and metrics on, clients that log in.
// nginx stays open and writes no log.

import type { Edge, Expectation, Guard, Scenario } from '../contract.ts'
import { requestScenario } from '../scenario-kind.ts'
import { keepAliveScenario } from '../tls-scenario-kind.ts'

const GUARDS = ['anonymous', 'basic', 'bearer'] as const satisfies readonly Guard[]
const EDGES = ['plain', 'tls', 'mtls'] as const satisfies readonly Edge[]
const TITLES = {
  plain: 'Manifest GET',
  tls: 'TLS manifest GET',
  mtls: 'mTLS manifest GET',
} as const
const CLIENTS = { anonymous: 'anonymous', basic: 'Basic', bearer: 'Bearer' } as const
const EXPECTED: readonly Expectation[] = [{ against: 'nginx-static', atLeast: 0.9 }]

export const guardedManifestGets: readonly Scenario[] = EDGES.flatMap((edge) =>
  GUARDS.map((guard) => {
    const named = {
      name: `manifest-get-${edge}-${guard}`,
      asks: `${TITLES[edge]} by tag, ${CLIENTS[guard]}, 10 rules, access log`,
      ...{ guard, target: 'tag' as const, expected: EXPECTED },
    }
    if (edge === 'mtls') return keepAliveScenario({ ...named, edge })
    const references = ['nginx-static'] as const
    return requestScenario({ ...named, edge, references, method: 'GET' })
  }),
)
