// Goal: the figures of tuning.md are those that were measured, and what was not says so. Method: find each
// recorded ratio and cost that the page quotes in its text, and each bullet's source or its mark.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { projectRoot } from '../support/server.ts'

interface Result {
  readonly setting: string
  readonly ratio: number
  readonly cpuMicroseconds: number
}

interface Run {
  readonly name: string
  readonly results: readonly Result[]
}

const page = readFileSync(join(projectRoot, 'tuning.md'), 'utf8').replaceAll(/\n +/g, ' ')
const [, file = ''] = /\((bench\/result\/[\d-]+tuning\.json)\)/.exec(page) ?? []
const runs: readonly Run[] = JSON.parse(readFileSync(join(projectRoot, file), 'utf8'))

function resultOf(scenario: string, setting: string): Result {
  const found = runs
    .filter(({ name }) => name === scenario)
    .flatMap(({ results }) => results)
    .find((result) => result.setting === setting)
  return found ?? assert.fail(`${file} has no ${setting} of ${scenario}`)
}

const quotedRatios: Readonly<Record<string, readonly string[]>> = {
  'manifest-get-by-tag': ['shared', 'no-reply-cache'],
  'push-256mib-x1': ['slab-128k', 'slab-4m', 'slabs-2'],
  'push-256mib-x4': ['workers-2', 'budget-8m', 'budget-256m'],
  'push-100kib-docker': ['semi-space-64', 'not-durable'],
  'cold-blobs': ['threads-2', 'threads-16'],
}

for (const [scenario, settings] of Object.entries(quotedRatios)) {
  for (const setting of settings) {
    test(`the ratio of ${setting} in ${scenario} is the one that was measured`, () => {
      const { ratio } = resultOf(scenario, setting)
      assert.match(page, new RegExp(`\\b${String(ratio).replace('.', '\\.')}\\b`))
    })
  }
}

test('the costs in CPU are those that were measured', () => {
  for (const [scenario, setting] of [
    ['manifest-get-by-tag', 'defaults'],
    ['manifest-get-by-tag', 'shared'],
    ['manifest-get-by-tag', 'no-reply-cache'],
    ['blob-get-8kib', 'defaults'],
    ['blob-get-8kib', 'semi-space-2'],
    ['blob-get-8kib', 'semi-space-64'],
  ] as const) {
    const { cpuMicroseconds } = resultOf(scenario, setting)
    assert.ok(page.includes(`${cpuMicroseconds} µs`), `${scenario} ${setting} ${cpuMicroseconds}`)
  }
})

test('every result file that the page names is there', () => {
  for (const [path] of page.matchAll(/bench\/result\/[\w.-]+\.(json|md)/g)) {
    assert.ok(existsSync(join(projectRoot, path)), path)
  }
})

test('what concerns machines with other hardware is marked as not measured', () => {
  const [, section = ''] = /\n## CPU\n([\s\S]*?)\n## /.exec(page) ?? []
  const bullets = section.split('\n').filter((line) => line.startsWith('- '))
  assert.ok(bullets.length >= 4)
  for (const bullet of bullets) assert.ok(bullet.includes('*not measured here*'), bullet)
})
