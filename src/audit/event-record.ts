// Logins, tokens, admin calls, configurations and the server itself → their records.

import type { LoginEvent } from '../authenticate/login-event.ts'
import type { TokenAdminEvent, TokenEvent } from '../operation/token/audit.ts'
import { bounded, boundedList, boundedOrNull, type RecordBody } from './record.ts'

/** A call of the admin interface. */
export interface AdminEvent {
  /** Such as `token create`. */
  readonly call: string
  readonly result: 'done' | 'refused'
  /** What it was about: an id or a name; null where it was about nothing in particular. */
  readonly subject: string | null
  readonly reason: string | null
}

/** A configuration was taken, or not. */
export interface ConfigEvent {
  readonly result: 'loaded' | 'refused'
  readonly files: readonly string[]
  /** Of the effective configuration as TOML, secrets masked; null where it was refused. */
  readonly sha256: string | null
  readonly reason: string | null
  /** What a reload changed, a line for each key: `key: before → after`, secrets masked. */
  readonly changes?: readonly string[]
}

/** What a maintenance job has done, or that one began or ended. */
export interface MaintenanceEvent {
  /** Its kind, such as `gc`. */
  readonly job: string
  /** Id of the run. */
  readonly run: string
  /** `begin` and `end` of a run, or what was taken away or brought back. */
  readonly deed: string
  readonly repository?: string | undefined
  readonly digest?: string | undefined
  readonly tag?: string | undefined
  readonly bytes?: number | undefined
  /** A rule, a lease, a fault; of an end, what it came to. */
  readonly reason: string
}

export interface ServerEvent {
  readonly event: 'start' | 'stop'
  readonly version: string
  readonly pid: number
  /** `address:port` or the path of a socket, of each listener. */
  readonly listeners: readonly string[]
}

/** Who stands at the admin socket cannot be seen: only the service's own user can open it. */
const adminSocket = 'admin socket'

export function loginRecord(login: LoginEvent): RecordBody {
  return {
    method: login.method,
    result: login.result,
    reason: bounded(login.reason),
    id: boundedOrNull(login.id),
    username: boundedOrNull(login.username),
    address: login.address,
    certificate_subject: boundedOrNull(login.certificateSubject),
    provider: boundedOrNull(login.provider),
    token_id: boundedOrNull(login.tokenId),
  }
}

export function tokenRecord(token: TokenEvent): RecordBody {
  return {
    result: token.result,
    grant: token.grant,
    token_id: token.tokenId,
    method: token.method,
    id: boundedOrNull(token.id),
    username: boundedOrNull(token.username),
    scopes: boundedList(token.scopes),
    client_id: boundedOrNull(token.clientId),
    refresh_id: boundedOrNull(token.refreshId),
    reason: boundedOrNull(token.reason),
  }
}

export function tokenAdminRecord(admin: TokenAdminEvent): RecordBody {
  const { call, result, subject, reason } = admin
  return {
    ...adminRecord({ call: `token ${call}`, result, subject, reason }),
    username: boundedOrNull(admin.username),
    scopes: boundedList(admin.scopes),
  }
}

export function adminRecord({ call, result, subject, reason }: AdminEvent): RecordBody {
  return {
    call: bounded(call),
    result,
    by: adminSocket,
    subject: boundedOrNull(subject),
    reason: boundedOrNull(reason),
  }
}

export function configRecord(event: ConfigEvent): RecordBody {
  const { result, files, sha256, reason, changes } = event
  const body = { result, files: boundedList(files), sha256, reason: boundedOrNull(reason) }
  return changes === undefined ? body : { ...body, changes: boundedList(changes) }
}

export function maintenanceRecord(event: MaintenanceEvent): RecordBody {
  return {
    job: event.job,
    run: event.run,
    deed: event.deed,
    repository: boundedOrNull(event.repository),
    digest: boundedOrNull(event.digest),
    tag: boundedOrNull(event.tag),
    bytes: event.bytes ?? null,
    reason: bounded(event.reason),
  }
}

export function serverRecord({ event, version, pid, listeners }: ServerEvent): RecordBody {
  return { event, version, pid, listeners: boundedList(listeners) }
}
