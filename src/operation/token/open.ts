// Puts together what a runtime has of tokens: their state, the service that issues them, the operator's
// calls.

import { randomBytes, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { TokenServiceConfig, UserDirectory } from '../../authenticate/token/contract.ts'
import type { MetadataStore } from '../../storage/metadata/contract.ts'
import type { TokenStore } from '../../storage/metadata/token-store.ts'
import { TokenAdmin } from './admin.ts'
import type { TokenAdminEvent, TokenEvent } from './audit.ts'
import { RefreshTokens } from './refresh-tokens.ts'
import { TokenKeeper } from './state.ts'
import { TokenService } from './token-service.ts'

export interface TokenParts {
  readonly store: TokenStore & Pick<MetadataStore, 'ensureSecret' | 'refresh'>
  /** Other processes write to the same store. */
  readonly shared: boolean
  readonly directory: UserDirectory
  readonly onEvent: (event: TokenEvent) => void
  readonly onCall: (event: TokenAdminEvent) => void
  readonly onFault: (what: string, error: unknown) => void
}

export interface Tokens {
  readonly keeper: TokenKeeper
  /** Undefined where there is none: then there are API keys alone. */
  readonly service: TokenService | undefined
  readonly admin: TokenAdmin
}

/** `keeper.close()` ends it. Errors: StorageError; Error where a key file cannot be used. */
export async function openTokens(
  config: TokenServiceConfig | undefined,
  parts: TokenParts,
): Promise<Tokens> {
  const { store, shared, directory, onEvent, onCall, onFault } = parts
  const now = Date.now
  const elapsed = (): number => performance.now()
  const privateKeys = (config?.keyFiles ?? []).map(readKeyFile)
  const keeper = await TokenKeeper.open({
    ...{ store, service: config, privateKeys, shared, now, elapsed, onFault },
  })
  const admin = new TokenAdmin({ store, keeper, directory, now, randomBytes, onCall })
  if (config === undefined) return { keeper, service: undefined, admin }
  const refreshTokens = new RefreshTokens({
    ...{ ttlMs: config.refreshTtlMs, store, directory, now, randomBytes },
    refresh: () => store.refresh(),
  })
  const service = new TokenService({
    ...{ config, keeper, refreshTokens, directory, now, onEvent },
    randomUuid: randomUUID,
  })
  return { keeper, service, admin }
}

function readKeyFile(path: string): { readonly path: string; readonly pem: string } {
  try {
    return { path, pem: readFileSync(path, 'utf8') }
  } catch (error) {
    const why = error instanceof Error ? error.message : 'unknown error'
    throw new Error(`auth.token_service.key_files: ${path} cannot be read: ${why}`)
  }
}
