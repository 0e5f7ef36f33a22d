// What the doctor looks at and what it says. Checks are pure: facts in, findings out.
import type { Term } from '../server/tls/load.ts'

export interface Finding {
  readonly severity: 'ok' | 'warning' | 'error'
  /** What was looked at. */
  readonly title: string
  readonly detail: string
  /** What to do; '' where there is nothing to do. */
  readonly remedy: string
}

/** What is known of the TLS files. */
export interface TlsFacts {
  readonly nowMs: number
  /** Why the files cannot be used; then there are no terms. */
  readonly fault:
    | { readonly file: string; readonly reason: string; readonly remedy: string }
    | undefined
  readonly terms: readonly Term[]
  readonly warnings: readonly string[]
  /** DNS names and addresses of the server certificate. */
  readonly names: readonly string[]
  readonly key: KeyFacts | undefined
}

export interface KeyFacts {
  readonly file: string
  /** Permission bits. */
  readonly mode: number
  readonly isEncrypted: boolean
}

export interface KernelFacts {
  /** Content of net.ipv4.tcp_migrate_req; undefined where the kernel has no such setting. */
  readonly tcpMigrateReq: string | undefined
  /** Whether a listener serves TLS with the uws transport. */
  readonly hasTlsOnUws: boolean
}

export interface TransportFacts {
  readonly choice: 'auto' | 'uws' | 'node'
  /** Why the binary of uws does not load; undefined where it does. */
  readonly uwsProblem: string | undefined
  /** Listeners that uws would serve. */
  readonly listenersForUws: number
}

export interface PasswordFacts {
  readonly nowMs: number
  readonly users: ReadonlyArray<{
    readonly username: string
    readonly isBcrypt: boolean
    readonly expiresAtMs: number | undefined
  }>
}

/** Everything that the checks ask for. */
export interface Facts {
  /** Undefined where no listener serves TLS. */
  readonly tls: TlsFacts | undefined
  readonly kernel: KernelFacts
  readonly transport: TransportFacts
  readonly passwords: PasswordFacts
}
