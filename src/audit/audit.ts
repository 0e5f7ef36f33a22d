// The audit log: who logged in, who was let do what, who was not and why, and what operators changed.

import type { LoginEvent } from '../authenticate/login-event.ts'
import type { DecisionRecord } from '../authorize/authorize.ts'
import type { TokenAdminEvent, TokenEvent } from '../operation/token/audit.ts'
import type { ActionKind } from '../route/action.ts'
import type { Logger } from '../telemetry/log.ts'
import { type DecisionFacts, factsOf, factsOfRefusal, type Refusal } from './decision-facts.ts'
import { decisionRecord } from './decision-record.ts'
import { DecisionTrace } from './decision-trace.ts'
import {
  type AdminEvent,
  adminRecord,
  type ConfigEvent,
  configRecord,
  loginRecord,
  type MaintenanceEvent,
  maintenanceRecord,
  type ServerEvent,
  serverRecord,
  tokenAdminRecord,
  tokenRecord,
} from './event-record.ts'
import { type AuditFigures, AuditQueue } from './queue.ts'

/** The table `[audit]`. */
export interface AuditConfig {
  /** Undefined: the ordinary log is told, and nothing is ever refused. */
  readonly file?: string | undefined
  /** Actions recorded also when they are allowed; `*` for all. */
  readonly allow: readonly string[]
  readonly onFull: 'refuse' | 'drop'
  /** In records. */
  readonly queueMax: number
  readonly hashChain: boolean
  readonly sync: 'none' | 'batch'
  /** Whether the denials of those who showed no credentials are written. */
  readonly anonymous: boolean
}

/** What the ordinary log is told where there is no file. */
export interface PlainLog {
  decision(facts: DecisionFacts): void
  login(login: LoginEvent): void
  token(token: TokenEvent): void
  tokenAdmin(admin: TokenAdminEvent): void
}

export interface AuditParts {
  readonly log: Logger
  readonly plain: PlainLog
  /** Wall clock, in ms since the epoch. */
  readonly now: () => number
  /** Monotonic, in ms. */
  readonly elapsed: () => number
  readonly randomUuid: () => string
}

/**
 * One per process. Errors of `decision`, `login`, `token` and `assertRoom`: OciError UNAVAILABLE (503)
 * where the queue is full and `onFull` says so; nothing else throws.
 */
export interface Audit {
  /** Of every denial, and of what is allowed where `records` says so. */
  decision(record: DecisionRecord): void
  /** A refusal that no policy made; the id under which it can be found. Errors: as `decision`. */
  refusal(refusal: Refusal): string
  login(login: LoginEvent): void
  token(token: TokenEvent): void
  /** These have happened: they are recorded though the queue is full. Ask `assertRoom` before. */
  tokenAdmin(admin: TokenAdminEvent): void
  admin(admin: AdminEvent): void
  /** As these; but with `onFull` 'drop' it may be lost, and counted. Wait for `hasRoom` before. */
  maintenance(event: MaintenanceEvent): void
  config(config: ConfigEvent): void
  server(server: ServerEvent): void
  assertRoom(): void
  /** Whether a job may go on: it waits where a request would be refused. */
  hasRoom(): boolean
  /** Which allowed actions to tell; undefined: none, as without a file. */
  readonly records: ((kind: ActionKind) => boolean) | undefined
  readonly trace: DecisionTrace
  /** Undefined without a file. */
  figures(): AuditFigures | undefined
  /** After a rotation. Resolves when the file is open anew, or the old one had to stay. */
  reopen(): Promise<void>
  /** Writes what waits; what cannot be written goes to the ordinary log. */
  close(): Promise<void>
}

const closeTimeoutMs = 10_000

/** Errors: Error for the operator where the file cannot be opened, or is no audit log. */
export async function openAudit(config: AuditConfig, parts: AuditParts): Promise<Audit> {
  const { file } = config
  const common = commonOf(config, parts)
  if (file === undefined) return plainAudit(common, parts)
  const { log, now, elapsed } = parts
  const queue = await AuditQueue.open({
    ...{ path: file, queueMax: config.queueMax, onFull: config.onFull, now, elapsed },
    isChained: config.hashChain,
    syncs: config.sync === 'batch',
    onFault: (message, error) => {
      if (error === undefined) log.warn({ file }, message)
      else log.error({ err: error, file }, message)
    },
    onLost: (lines) => {
      log.error({ file, lost: lines.length }, 'the audit log could not be written to its end')
      for (const line of lines) log.error({ audit: line.trimEnd() }, 'not in the audit log')
    },
  }).catch((error: unknown) => {
    const message = error instanceof Error ? error.message : String(error)
    throw new Error(`audit.file: ${message}`, { cause: error })
  })
  return fileAudit(queue, common, config)
}

interface Common extends Pick<Audit, 'records' | 'trace'> {
  readonly factsOf: (record: DecisionRecord) => DecisionFacts
  readonly factsOfRefusal: (refusal: Refusal) => DecisionFacts
}

function commonOf({ file, allow }: AuditConfig, { now, randomUuid }: AuditParts): Common {
  const actions = new Set(allow)
  const isAll = actions.has('*')
  return {
    trace: new DecisionTrace(),
    records:
      file === undefined || actions.size === 0 ? undefined : (kind) => isAll || actions.has(kind),
    factsOf: (record) => factsOf(record, now()),
    factsOfRefusal: (refusal) => factsOfRefusal(refusal, randomUuid(), now()),
  }
}

function tellers(
  { factsOf, factsOfRefusal }: Common,
  tell: (facts: DecisionFacts) => void,
): Pick<Audit, 'decision' | 'refusal'> {
  return {
    decision: (record) => tell(factsOf(record)),
    refusal: (refusal) => {
      const facts = factsOfRefusal(refusal)
      tell(facts)
      return facts.decisionId
    },
  }
}

function fileAudit(queue: AuditQueue, common: Common, config: AuditConfig): Audit {
  const { anonymous, onFull } = config
  const { trace, records } = common
  const tell = (facts: DecisionFacts): void => {
    if (!facts.isBare || anonymous || facts.allowed) {
      queue.add('decision', () => decisionRecord(facts))
    }
    if (!facts.allowed) trace.add(facts)
  }
  return {
    ...{ trace, records, ...tellers(common, tell) },
    login: (login) => queue.add('login', () => loginRecord(login)),
    token: (token) => queue.add('token', () => tokenRecord(token)),
    tokenAdmin: (admin) => queue.add('admin', () => tokenAdminRecord(admin), true),
    admin: (admin) => queue.add('admin', () => adminRecord(admin), true),
    maintenance: (event) =>
      queue.add('maintenance', () => maintenanceRecord(event), onFull === 'refuse'),
    config: (config) => queue.add('config', () => configRecord(config), true),
    server: (server) => queue.add('server', () => serverRecord(server), true),
    assertRoom: () => queue.assertRoom(),
    hasRoom: () => queue.hasRoom(),
    figures: () => queue.figures(),
    reopen: () => queue.reopen(),
    close: () => queue.close(closeTimeoutMs),
  }
}

function plainAudit(common: Common, { plain, log }: AuditParts): Audit {
  const { trace, records } = common
  const tell = (facts: DecisionFacts): void => {
    plain.decision(facts)
    if (!facts.allowed) trace.add(facts)
  }
  return {
    ...{ trace, records, ...tellers(common, tell) },
    login: plain.login,
    token: plain.token,
    tokenAdmin: plain.tokenAdmin,
    admin: (admin) => log.info({ admin }, 'admin call'),
    maintenance: (event) => {
      // Blobs come by the hundred thousand, and the log has its own lines about runs.
      const isSeldom = !event.deed.endsWith('-blob') && !['begin', 'end'].includes(event.deed)
      if (!isSeldom) log.debug({ maintenance: event }, 'maintenance')
      else log.info({ maintenance: event }, 'maintenance')
    },
    config: ({ result, files, sha256, changes }) => {
      if (result === 'loaded' && changes === undefined)
        log.info({ files, sha256 }, 'configuration loaded')
    },
    // The log has its own lines about that, and about reloads.
    server: () => {},
    assertRoom: () => {},
    hasRoom: () => true,
    figures: () => undefined,
    reopen: async () => {},
    close: async () => {},
  }
}
