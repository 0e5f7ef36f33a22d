// The Open Policy Agents of a configuration, by name.

import type { OpaConfig } from '../../config/schema.ts'
import { parseServiceUrl } from '../../outbound/service-url.ts'
import { type GuardParts, type OpenGuards, openAll, openGuardCaller } from '../open-guards.ts'
import { createOpa } from './opa.ts'

/** Asks none of them yet. Errors: an Error that begins with the key that is wrong. */
export function openOpas(configs: readonly OpaConfig[], parts: GuardParts): Promise<OpenGuards> {
  return openAll(configs, async (config) => {
    const { name, path: document, cacheTtlMs, bearerToken } = config
    const path = dataPath(config)
    const auth =
      bearerToken === undefined ? undefined : ({ kind: 'bearer', token: bearerToken } as const)
    const call = { name: tableOf(config), what: 'an OPA', auth, hasSecret: auth !== undefined }
    const caller = await openGuardCaller(config, call, parts)
    const { counts, elapsed } = parts
    const guard = createOpa({ name, caller, path, document, cacheTtlMs, counts, elapsed })
    return { caller, guard }
  })
}

// A base path is kept, for an OPA behind a proxy.
function dataPath(config: OpaConfig): string {
  const table = tableOf(config)
  const { pathname, search } = parseServiceUrl(table, config.url, false)
  if (search !== '') throw new Error(`${table}.url: expected a URL without a query`)
  if (!/^[A-Za-z0-9_-]+(\/[A-Za-z0-9_-]+)*$/.test(config.path)) {
    throw new Error(`${table}.path: expected the path of a document, such as keelson/allow`)
  }
  return `${pathname.replace(/\/+$/, '')}/v1/data/${config.path}`
}

function tableOf({ name }: OpaConfig): string {
  return `auth.opa.${name}`
}
