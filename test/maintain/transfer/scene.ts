// Answers for imports in tests: a scene of maintenance with files, and a directory beside it for sources.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createImportJob } from '../../../src/maintain/transfer/import-job.ts'
import { digestOfBytes } from '../../../src/oci/digest.ts'
import { MaintainScene } from '../../support/maintain.ts'

export const importJob: ReturnType<typeof createImportJob> = createImportJob(() => ({
  ...{ graceMs: 3_600_000, manifestBytesMax: 4 << 20, descriptorsMax: 2000 },
}))

export interface TransferScene {
  readonly scene: MaintainScene
  /** For sources; on the same file system. */
  readonly dir: string
}

export async function withTransfer(body: (scene: TransferScene) => Promise<void>): Promise<void> {
  const scene = await MaintainScene.open({ stores: 'lmdb' })
  const dir = await mkdtemp(join(tmpdir(), 'keelson-source-'))
  try {
    await body({ scene, dir })
  } finally {
    await scene.close()
    await rm(dir, { recursive: true, force: true })
  }
}

/** Status, and digest of the body, of a GET. */
export async function pulled(scene: MaintainScene, target: string): Promise<string> {
  const { status, body } = await scene.send('GET', target)
  return status === 200 ? digestOfBytes('sha256', body) : String(status)
}

/** What a report counts. */
export function countsOf(report: { readonly details: object }): Record<string, unknown> {
  return report.details as Record<string, unknown>
}

/** A fault whose reason and place say so is among those of a report. */
export function assertFault(
  report: { readonly details: Readonly<Record<string, unknown>> },
  repository: string,
  reason: RegExp,
): void {
  const list = report.details['faultList'] as readonly {
    readonly repository?: string
    readonly reason: string
  }[]
  const found = list.some((each) => each.repository === repository && reason.test(each.reason))
  assert.ok(found, `${repository} ${reason} is not in ${JSON.stringify(list)}`)
}
