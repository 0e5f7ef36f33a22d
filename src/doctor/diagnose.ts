// The list of checks: facts in, findings out. A check that fails is a finding, too.
import { sayProbe } from './catalog.ts'
import { checkClock, checkSkew } from './check/clock.ts'
import { checkConfiguration } from './check/configuration.ts'
import { checkFiles } from './check/files.ts'
import { checkKernel } from './check/kernel.ts'
import { checkNetwork } from './check/network.ts'
import { checkPaging } from './check/paging.ts'
import { checkPasswords } from './check/passwords.ts'
import { checkProcessor, checkRates } from './check/processor.ts'
import { checkResources } from './check/resources.ts'
import { checkServices } from './check/services.ts'
import { checkPlaces } from './check/storage.ts'
import { checkSync } from './check/sync-rate.ts'
import { checkTls } from './check/tls.ts'
import { checkTransport } from './check/transport.ts'
import type { Finding } from './contract.ts'
import type { Facts } from './facts.ts'

/** What all checks say, in a fixed order. Never throws. */
export function diagnose(facts: Facts): readonly Finding[] {
  return [
    ...said('configuration', facts.configuration, checkConfiguration),
    ...said('transport', facts.transport, checkTransport),
    ...said('network', facts.network, checkNetwork),
    ...said('TLS', facts.tls, checkTls),
    ...said('passwords', facts.passwords, checkPasswords),
    ...said('files', facts.files, checkFiles),
    ...said('storage', facts.places, checkPlaces),
    ...said('sync', facts.sync, checkSync),
    ...said('processor', facts.processor, checkProcessor),
    ...said('measurements', facts.rates, checkRates),
    ...said('resources', facts.resources, checkResources),
    ...said('paging', facts.paging, checkPaging),
    ...said('kernel', facts.kernel, checkKernel),
    ...said('clock', facts.clock, checkClock),
    ...said('clocks of others', facts.skews, checkSkew),
    ...said('services', facts.services, checkServices),
    ...facts.failures.map(({ theme, reason }) => sayProbe.unknown('probe', reason, theme)),
  ]
}

function said<Theme>(
  theme: string,
  facts: Theme | undefined,
  check: (facts: Theme) => readonly Finding[],
): readonly Finding[] {
  if (facts === undefined) return []
  try {
    return check(facts)
  } catch (error) {
    return [sayProbe.unknown('probe', String(error), theme)]
  }
}
