// How a scenario wants its servers started.

import type { Scenario, StartContext } from './contract.ts'
import type { Placement } from './machine.ts'
import { tlsFilesFor } from './tls-files.ts'

/** Makes the certificates that its edge needs. */
export async function startContextOf(
  scenario: Scenario,
  { serverCores }: Placement,
  directory: string,
): Promise<StartContext> {
  const { cores = 'one', guard = 'open', processes = 1, settings = '' } = scenario
  return {
    directory,
    serverCores: cores === 'one' ? serverCores : undefined,
    tls: await tlsFilesFor(scenario),
    ...{ guard, processes, settings },
  }
}
