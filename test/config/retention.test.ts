// Goal: what the retention tables say reaches those who compile the rules, each with its line, and a
// slip in them is refused with the name that was probably meant. Method: texts in, values or problems out.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { diffConfigs } from '../../src/config/diff.ts'
import { parse, problemsOf, store } from './parse.ts'

describe('retention policy', () => {
  test('rules keep their text and their line, globally and below a prefix', () => {
    const config = parse(
      `${store}[global.retention_policy]\nrules = [\n  "top_pushed(10)",\n]\n[repository."team/app".retention_policy]\nrules = ["true"]\n`,
    )
    assert.deepEqual(config.global.retentionPolicy, {
      rules: [{ text: 'top_pushed(10)', place: { file: '/etc/keelson/0.toml', line: 5 } }],
    })
    assert.deepEqual(
      config.repositories.map(({ prefix, retentionPolicy }) => [
        prefix,
        retentionPolicy?.rules.map(({ text, place }) => [text, place.line]),
      ]),
      [['team/app', [['true', 8]]]],
    )
  })

  test('without the table there is no policy', () => {
    const config = parse(`${store}[repository.dev]\n`)
    assert.equal(config.global.retentionPolicy, undefined)
    assert.equal(config.repositories[0]?.retentionPolicy, undefined)
  })

  test('what is misspelt is refused with its place and the nearest name', () => {
    assert.deepEqual(
      problemsOf(
        `${store}[global.retention_polcy]\n[repository.a.retention_policy]\nrule = []\n[repository.b.retention_policy]\nrules = [1]\ndefault = "deny"`,
      ),
      [
        '0.toml:3: global.retention_polcy: is not a known table: did you mean global.retention_policy?',
        '0.toml:5: repository.a.retention_policy.rule: is not a known key: did you mean repository.a.retention_policy.rules?',
        '0.toml:7: repository.b.retention_policy.rules: expected an array of strings; found 1',
        '0.toml:8: repository.b.retention_policy.default: is not a known key: did you mean global.access_policy.default?',
      ],
    )
  })

  test('rules, and tables of them, come and go while the server runs', () => {
    const rules = (table: string, rule: string): string =>
      `[${table}.retention_policy]\nrules = ["${rule}"]\n`
    const before = parse(`${store}${rules('global', 'true')}[repository.a]\n`)
    const after = parse(`${store}${rules('global', 'false')}${rules('repository.a', 'true')}`)
    assert.deepEqual(
      diffConfigs(before, after).map(({ key, reload }) => `${key} ${reload}`),
      ['global.retention_policy.rules live', 'repository.a.retention_policy.rules live'],
    )
  })
})
