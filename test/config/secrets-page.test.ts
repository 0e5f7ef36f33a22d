// Goal: docs/secrets.md has every secret of the schema, and what it says of them is so. Method: compare
// its table with the rows, and its message with the product's.
import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Section } from '../../src/config/entry.ts'
import { schema } from '../../src/config/schema.ts'
import { blocksOf } from '../support/page.ts'
import { problemsIn, store } from './parse.ts'

const page = readFileSync('docs/secrets.md', 'utf8')

test('the page names every secret key, and whether it changes live', () => {
  const sections: readonly (readonly [string, Section])[] = Object.entries(schema)
  const expected = sections.flatMap(([table, { keys, named }]) =>
    Object.entries(keys).flatMap(([key, { kind, reload }]) => {
      const header = named === undefined ? table : `${table}.<${named}>`
      const when = reload === 'live' ? 'live' : 'start'
      return kind === 'secret' ? [`| \`[${header}]\` | \`${key}\` | ${when} |`] : []
    }),
  )
  const shown = page.split('\n').filter((line) => /^\| `\[/.test(line))
  assert.ok(expected.length > 10)
  assert.deepEqual(shown.toSorted(), expected.toSorted())
})

test('the refusal that the page shows is that of the product', () => {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-secrets-page-'))
  try {
    const path = join(folder, 'guard')
    writeFileSync(path, 'hush')
    chmodSync(path, 0o644)
    const hook = `[auth.webhook.guard]\nurl = "https://a.test"\nbearer_token = { file = "${path}" }\n`
    const [problem = ''] = problemsIn({}, `${store}${hook}`)
    const [message = ''] = blocksOf(page, 'text')
    const shown = problem.replaceAll(path, '/etc/keelson/guard').replace('0.toml', 'config.toml')
    assert.equal(`${shown}\n`, message)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
