// Answers for findings in tests: as lines, after what holds for every one of them was seen to.
import assert from 'node:assert/strict'
import { catalog } from '../../src/doctor/catalog.ts'
import type { Finding } from '../../src/doctor/contract.ts'
import type { CheckRow } from '../../src/doctor/finding.ts'

const rows = new Map(Object.values(catalog).flatMap((each) => Object.entries<CheckRow>(each)))

/** `severity title: detail` each. Errors: AssertionError where one breaks what docs/doctor.md says. */
export function said(findings: readonly Finding[]): readonly string[] {
  for (const finding of findings) seeTo(finding)
  return findings.map(({ severity, title, detail }) => `${severity} ${title}: ${detail}`)
}

function seeTo({ check, severity, why, remedy, detail, link }: Finding): void {
  const row = rows.get(check)
  assert.ok(row, `${check} is not in the catalogue`)
  assert.equal(link, row.link)
  assert.notEqual(detail, '')
  if (severity === 'ok' || severity === 'unknown') {
    assert.equal(remedy, '')
    return
  }
  assert.ok(row[severity], `${check} has no rule for ${severity}`)
  assert.notEqual(why, '')
  assert.notEqual(remedy, '')
}
