// What retention goes by: the rules and limits of the configuration in force, compiled once for each.

import { retentionRefusal } from '../authorize/policy/lint-retention.ts'
import { compileRetention } from '../authorize/policy/retention.ts'
import { ConfigError } from '../config/problem.ts'
import type { Config } from '../config/schema.ts'
import { type AnyJob, anyJob } from '../maintain/job/any-job.ts'
import type { JobDeed, JobParts } from '../maintain/job/contract.ts'
import type { PruneParts, PruneSettings, TagCallsSource } from '../maintain/retention/contract.ts'
import { previewRoutes } from '../maintain/retention/preview.ts'
import { createPruneJob } from '../maintain/retention/prune.ts'
import { tagCalls, tagRoutes } from '../maintain/retention/tag-calls.ts'
import { createRepositoryRules, type RepositoryRules } from '../operation/repository-rules.ts'
import type { AdminCalls, AdminRoutes } from '../server/admin.ts'

/** The parts of retention, as the tables of maintenance take them. */
export interface Retention {
  readonly job: AnyJob
  readonly routes: AdminRoutes
  readonly calls: AdminCalls
}

interface RetentionHost {
  /** The one in force; asked each time. */
  readonly config: () => Config
  readonly parts: Pick<JobParts, 'metadata' | 'changing' | 'now' | 'shared'>
  /** Resolves when the store knows of every pull of this process. */
  readonly flushPulls: () => Promise<void>
  readonly record: (deed: JobDeed) => void
}

export function openRetention({ config, parts, flushPulls, record }: RetentionHost): Retention {
  const inForce = rememberLast(config, settingsOf)
  const prune: PruneParts = { settings: () => inForce().prune, flushPulls }
  const tags: TagCallsSource = { parts, record, settings: () => inForce().tags }
  return {
    job: anyJob(createPruneJob(prune)),
    routes: { ...previewRoutes({ ...prune, parts }), ...tagRoutes(tags) },
    calls: tagCalls(tags),
  }
}

interface Settings {
  readonly prune: PruneSettings
  readonly tags: ReturnType<TagCallsSource['settings']>
}

function settingsOf({ gc, global, repositories, retention }: Config): Settings {
  // A configuration whose rules do not compile is refused before it is in force.
  const { rules, problems } = compileRetention(global.retentionPolicy, repositories)
  if (rules === undefined) throw new ConfigError(problems)
  const limits: RepositoryRules = createRepositoryRules(global, repositories)
  const { graceMs, restoreWindowMs } = gc
  const isImmutable: PruneSettings['isImmutable'] = (name) => limits.rulesFor(name).isImmutable
  return {
    prune: {
      ...{
        rules: rules.all,
        rulesFor: rules.rulesFor,
        refusal: retentionRefusal(rules, retention),
      },
      ...{ isImmutable, graceMs, restoreWindowMs, tagsPerSecond: retention.tagsPerSecond },
    },
    tags: { graceMs, isImmutable, quotas: (name) => limits.rulesFor(name).quotas },
  }
}

function rememberLast<Source, Made>(source: () => Source, make: (of: Source) => Made): () => Made {
  let last: { readonly of: Source; readonly made: Made } | undefined
  return () => {
    const of = source()
    if (last?.of !== of) last = { of, made: make(of) }
    return last.made
  }
}
