// Answers for retention in tests: rules as the configuration has them, and runs of the job.

import assert from 'node:assert/strict'
import { retentionRefusal } from '../../../src/authorize/policy/lint-retention.ts'
import { compileRetention } from '../../../src/authorize/policy/retention.ts'
import type { PruneParts, PruneSettings } from '../../../src/maintain/retention/contract.ts'
import { createPruneJob } from '../../../src/maintain/retention/prune.ts'
import { parseTag } from '../../../src/oci/tag.ts'
import type { Pull } from '../../../src/storage/metadata/tag-times.ts'
import type { JobRun, MaintainScene, RunOptions } from '../../support/maintain.ts'
import { dayMs, hourMs, named } from '../gc/scene.ts'

/** The rules of all repositories, or by prefix, those of all under ''. */
export type Rules = readonly string[] | Readonly<Record<string, readonly string[]>>

export function settingsOf(rules: Rules, changed: Partial<PruneSettings> = {}): PruneSettings {
  const byPrefix = Object.entries(isList(rules) ? { '': rules } : rules)
  const policies = byPrefix.map(([prefix, texts]) => ({
    prefix,
    retentionPolicy: {
      rules: texts.map((text, index) => ({ text, place: { file: 'c.toml', line: index + 1 } })),
    },
  }))
  const global = policies.find(({ prefix }) => prefix === '')?.retentionPolicy
  const compiled = compileRetention(
    global,
    policies.filter(({ prefix }) => prefix !== ''),
  )
  assert.deepEqual(compiled.problems, [])
  assert.ok(compiled.rules)
  return {
    rules: compiled.rules.all,
    rulesFor: compiled.rules.rulesFor,
    refusal: retentionRefusal(compiled.rules, { pullTimes: true }),
    isImmutable: () => () => false,
    ...{ graceMs: hourMs, restoreWindowMs: 7 * dayMs, tagsPerSecond: 0 },
    ...changed,
  }
}

export function partsOf(settings: () => PruneSettings): PruneParts {
  return { settings, flushPulls: async () => undefined }
}

export function prune(
  scene: MaintainScene,
  rules: Rules,
  input: object = {},
  options: RunOptions & { readonly settings?: Partial<PruneSettings> } = {},
): Promise<JobRun> {
  const settings = settingsOf(rules, options.settings)
  return scene.run(createPruneJob(partsOf(() => settings)), input, options)
}

/** The tags that are there. */
export async function tagsOf(scene: MaintainScene, repository: string): Promise<readonly string[]> {
  return (await scene.metadata.listTags(named(repository), { limit: 1000 })) ?? []
}

/** As of now. */
export function pulled(
  scene: MaintainScene,
  repository: string,
  ...tags: readonly string[]
): Promise<void> {
  const pulls = tags.map((text): Pull => {
    const reference = parseTag(text)
    assert.ok(reference)
    return { repository: named(repository), reference, atMs: scene.nowMs }
  })
  return scene.metadata.recordPulls(pulls)
}

function isList(rules: Rules): rules is readonly string[] {
  return Array.isArray(rules)
}
