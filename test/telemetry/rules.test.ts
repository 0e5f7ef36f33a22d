// Goal: each alert of docs/prometheus fires when it should and not before, reads metrics that there are, and
// so does the dashboard. Method: promtool with made-up series, and the rows of docs/metrics.md.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { attempt } from '../support/run.ts'
import { projectRoot } from '../support/server.ts'
import { needs } from '../support/tools.ts'
import { documentedRows, readText, seriesNames, seriesOf } from './page-metrics.ts'
import { ruleCases } from './rule-cases.ts'

const rulesFile = 'docs/prometheus/keelson.rules.yml'
const job = 'keelson'

interface AlertRule {
  readonly name: string
  readonly expression: string
  readonly severity: string
  readonly summary: string
  readonly description: string
}

/** The file keeps each value on a line of its own. */
function readRules(): readonly AlertRule[] {
  const [, ...alerts] = readText(rulesFile).split('      - alert: ')
  return alerts.map((text) => {
    const value = (key: string): string => {
      const found = new RegExp(`^ +${key}: (.*)$`, 'm').exec(text)?.[1] ?? ''
      if (found.startsWith('"')) return JSON.parse(found) as string
      return found.startsWith("'") ? found.slice(1, -1).replaceAll("''", "'") : found
    }
    return {
      name: text.split('\n')[0] ?? '',
      expression: value('expr'),
      severity: value('severity'),
      summary: value('summary'),
      description: value('description'),
    }
  })
}

const rules = readRules()
const known = seriesNames(documentedRows().values())

function labelled(series: string, instance: string): string {
  const [, name = '', labels = ''] = /^(\w+)(?:\{(.*)\})?$/.exec(series) ?? []
  const all = [labels, `job="${job}"`, `instance="${instance}"`]
  return `${name}{${all.filter((label) => label !== '').join(',')}}`
}

/** As the templates of the annotations are filled in. */
function filled(template: string, labels: Readonly<Record<string, string>>): string {
  return template.replaceAll(/\{\{ \$labels\.(\w+) \}\}/g, (_, name: string) => labels[name] ?? '')
}

function expectedAlert(rule: AlertRule, labels: Readonly<Record<string, string>>): object {
  return {
    exp_labels: { ...labels, severity: rule.severity },
    exp_annotations: {
      summary: filled(rule.summary, labels),
      description: filled(rule.description, labels),
    },
  }
}

// A registry for each case: a group of tests costs promtool over a second, whatever it holds.
function promtoolGroups(): readonly object[] {
  const groups = new Map<string, { interval: string; series: object[]; alerts: object[] }>()
  for (const rule of rules) {
    const found = ruleCases[rule.name]
    if (found === undefined) continue
    const { fires, silent, also = [], labels = {}, at = '75m', interval = '1m' } = found
    const group = groups.get(at) ?? { interval, series: [], alerts: [] }
    groups.set(at, group)
    for (const [kind, series] of Object.entries({ fires, silent })) {
      for (const [name, values] of Object.entries(series)) {
        group.series.push({ series: labelled(name, `${kind}-${rule.name}`), values })
      }
    }
    const expected = [`fires-${rule.name}`, ...also].map((instance) =>
      expectedAlert(rule, { job, instance, ...labels }),
    )
    group.alerts.push({ eval_time: at, alertname: rule.name, exp_alerts: expected })
  }
  return [...groups.values()].map(({ interval, series, alerts }) => {
    return { interval, input_series: series, alert_rule_test: alerts }
  })
}

describe('the alerts', () => {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-rules-'))
  after(() => rmSync(folder, { recursive: true }))

  test('pass promtool', needs('promtool'), async () => {
    const checked = await attempt('promtool', ['check', 'rules', join(projectRoot, rulesFile)])
    assert.equal(checked.code, 0, checked.stdout + checked.stderr)
  })

  test('each have a case of their own, a severity and words for the operator', () => {
    assert.deepEqual(
      rules.map(({ name }) => name),
      Object.keys(ruleCases),
    )
    for (const { name, severity, summary, description } of rules) {
      assert.match(severity, /^(?:info|warning|critical)$/, name)
      assert.ok(summary.includes('{{ $labels.instance }}'), name)
      assert.match(description, /[.?]$/, name)
    }
  })

  // All of them in one run, which names those that fail.
  test('each fire when they should, and not else', needs('promtool'), async () => {
    const file = join(folder, 'tests.yml')
    const tests = promtoolGroups()
    // JSON is YAML as well.
    writeFileSync(file, JSON.stringify({ rule_files: [join(projectRoot, rulesFile)], tests }))
    const { code, stdout, stderr } = await attempt('promtool', ['test', 'rules', file])
    assert.equal(code, 0, stdout + stderr)
  })

  for (const rule of rules) {
    test(`${rule.name} reads metrics that there are`, () => {
      for (const name of seriesOf(rule.expression)) {
        assert.ok(name === 'up' || known.has(name), name)
      }
    })
  }
})

interface Panel {
  readonly title: string
  readonly type: string
  readonly targets?: ReadonlyArray<{ readonly expr: string }>
}

describe('the dashboard', () => {
  const { panels, templating, uid } = JSON.parse(readText('docs/grafana/keelson.json')) as {
    readonly uid: string
    readonly panels: readonly Panel[]
    readonly templating: { readonly list: ReadonlyArray<{ readonly name: string }> }
  }

  test('can be imported: it names no data source of ours', () => {
    assert.equal(uid, 'keelson')
    assert.deepEqual(
      templating.list.map(({ name }) => name),
      ['datasource', 'job', 'instance'],
    )
    assert.doesNotMatch(
      readText('docs/grafana/keelson.json'),
      /"uid": "(?!keelson"|\$\{datasource\})/,
    )
  })

  test('reads metrics that there are', () => {
    const drawn = panels.filter(({ type }) => type !== 'row')
    assert.ok(drawn.length >= 20)
    for (const { title, targets = [] } of drawn) {
      assert.ok(targets.length > 0, title)
      for (const { expr } of targets) {
        for (const name of seriesOf(expr)) assert.ok(known.has(name), `${title}: ${name}`)
      }
    }
  })

  test('asks what promtool takes for rules', needs('promtool'), async () => {
    const folder = mkdtempSync(join(tmpdir(), 'keelson-dashboard-'))
    after(() => rmSync(folder, { recursive: true }))
    const asked = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
    const recorded = asked.map((expr, index) => ({
      record: `panel:${index}`,
      expr: expr.replaceAll('$__rate_interval', '5m'),
    }))
    const file = join(folder, 'panels.yml')
    writeFileSync(file, JSON.stringify({ groups: [{ name: 'panels', rules: recorded }] }))
    const { code, stdout, stderr } = await attempt('promtool', ['check', 'rules', file])
    assert.equal(code, 0, stdout + stderr)
  })
})
