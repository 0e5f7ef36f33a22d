// Goal: docs/retention.md is true. Method: compare its tables with the program's own, and ask its examples
// about tags.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { lintRetention } from '../../src/authorize/policy/lint-retention.ts'
import {
  compileRetention,
  type RetainedTag,
  retentionVocabulary,
} from '../../src/authorize/policy/retention.ts'
import { isRecord } from '../../src/authorize/policy/vocabulary.ts'
import { parseConfig } from '../../src/config/load.ts'
import { parseRepositoryName } from '../../src/oci/name.ts'

const page = readFileSync('docs/retention.md', 'utf8')

/** The rows of the first table below the heading, less its head. */
function rowsBelow(heading: string): readonly string[] {
  const [, section = ''] = page.split(`\n### ${heading}\n`)
  const [table = ''] = /^\|.*\|$(?:\n\|.*\|$)*/m.exec(section) ?? []
  return table.split('\n').slice(2)
}

test('the variables are those of the program, with their types', () => {
  const rows = Object.entries(retentionVocabulary.variables).flatMap(([name, { fields }]) =>
    Object.entries(fields).map(([field, variable]) =>
      isRecord(variable) ? '' : `| \`${name}.${field}\` | ${variable.type} | ${variable.doc} |`,
    ),
  )
  assert.deepEqual(rowsBelow('Variables'), rows)
})

test('the functions are those of the program', () => {
  const rows = Object.values(retentionVocabulary.functions).map(
    ({ declaration, doc }) => `| \`${declaration}\` | ${doc} |`,
  )
  assert.deepEqual(rowsBelow('Functions'), rows)
})

/** Whether the example after the sentence keeps the tag. */
function keeps(start: string, part: Partial<RetainedTag> & { readonly days: number }): boolean {
  const at = page.indexOf(start)
  assert.notEqual(at, -1, start)
  const [, toml = ''] = /```toml\n(.*?)```/s.exec(page.slice(at)) ?? []
  const text = `[blob_store.memory]\n[metadata_store.memory]\n${toml}`
  const config = parseConfig([{ file: '/etc/keelson/config.toml', text }])
  const { rules } = compileRetention(config.global.retentionPolicy, config.repositories)
  assert.ok(rules)
  assert.deepEqual(lintRetention(rules, config), [])
  const now = 1_800_000_000
  const { days, repository = 'dev/app', ...rest } = part
  const tag: RetainedTag = {
    ...{ tag: 'pr-1', repository, now, pushedAt: now - days * 86_400, pulledAt: 0 },
    ...{ isTopPushed: () => false, isTopPulled: () => false },
    ...rest,
  }
  const name = parseRepositoryName(repository)
  assert.ok(name)
  return rules.rulesFor(name).some((rule) => rule.judge(tag).keeps)
}

test('the examples keep what they say', () => {
  const ten = 'Keep the last ten pushed tags'
  assert.equal(keeps(ten, { days: 90 }), false)
  assert.equal(keeps(ten, { days: 90, isTopPushed: (count) => count === 10 }), true)
  assert.equal(keeps(ten, { days: 90, pulledAt: 1_800_000_000 - 29 * 86_400 }), true)
  const releases = 'Keep releases for ever'
  for (const tag of ['v1.2.3', '1.2.3', '10.20.30']) {
    assert.equal(keeps(releases, { days: 900, tag }), true, tag)
  }
  for (const tag of ['v1.2', '1.2.3-rc1', 'x1.2.3', 'main']) {
    assert.equal(keeps(releases, { days: 15, tag }), false, tag)
    assert.equal(keeps(releases, { days: 13, tag }), true, tag)
  }
  const main = 'Keep `main` and `latest` everywhere'
  assert.equal(keeps(main, { days: 90, tag: 'main' }), true)
  assert.equal(keeps(main, { days: 90, tag: 'mainline' }), false)
  const top = { isTopPushed: (count: number) => count >= 50 }
  assert.equal(keeps(main, { days: 90, ...top }), false)
  assert.equal(keeps(main, { days: 90, repository: 'prod/app', ...top }), true)
  assert.equal(keeps(main, { days: 90, repository: 'production', ...top }), false)
  assert.equal(keeps(main, { days: 90, repository: 'prod/archive/x' }), true)
})
