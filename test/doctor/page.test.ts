// Goal: docs/doctor.md tells of every check what the code does, and every link of a finding leads
// somewhere. Method: make the tables of the page from the catalogue; look for the heading of each link.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { catalog } from '../../src/doctor/catalog.ts'
import { severities } from '../../src/doctor/contract.ts'
import type { CheckRow, CheckRows } from '../../src/doctor/finding.ts'

const page = readFileSync('docs/doctor.md', 'utf8')

function tableOf(rows: CheckRows): string {
  const lines = Object.entries(rows).map(([check, row]) => {
    const levels = (['error', 'warning', 'advice'] as const).flatMap((level) => {
      const rule = row[level]
      return rule === undefined ? [] : [`**${level}**: ${rule}`]
    })
    const start = row.atStart ? ' ▸' : ''
    return `| \`${check}\`${start} | ${levels.join('<br>') || '–'} | ${row.why} |`
  })
  return ['| check | when | why |', '|---|---|---|', ...lines, ''].join('\n')
}

function sectionOf(heading: string): string {
  return page.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? ''
}

for (const [heading, rows] of Object.entries(catalog)) {
  test(`docs/doctor.md has the checks of "${heading}", as the code has them`, () => {
    const table = tableOf(rows)
    assert.ok(sectionOf(heading).includes(table), `below ## ${heading} expected:\n\n${table}`)
  })
}

test('no check has the id of another', () => {
  const ids = Object.values(catalog).flatMap((rows) => Object.keys(rows))
  assert.equal(new Set(ids).size, ids.length)
})

/** As GitHub makes it of a heading. */
function slug(heading: string): string {
  const kept = heading.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, '')
  return kept.trim().replaceAll(' ', '-')
}

test('every link leads to a heading that is there', () => {
  for (const rows of Object.values(catalog)) {
    for (const [check, { link }] of Object.entries<CheckRow>(rows)) {
      const [file = '', anchor = ''] = link.split('#')
      assert.ok(existsSync(file), `${check}: there is no ${file}`)
      const headings = [...readFileSync(file, 'utf8').matchAll(/^#+ (.+)$/gm)]
      const slugs = headings.map(([, heading = '']) => slug(heading))
      assert.ok(slugs.includes(anchor), `${check}: ${file} has no heading for #${anchor}`)
    }
  }
})

test('the page names every severity', () => {
  for (const severity of severities) {
    assert.ok(sectionOf('Reading the answer').includes(`| \`${severity}\` |`), severity)
  }
})
