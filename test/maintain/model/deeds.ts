// What restores say that they have brought back, entered in the model.

import assert from 'node:assert/strict'
import type { JobDeed } from '../../../src/maintain/job/contract.ts'
import type { Client } from './action.ts'

export function enterDeed({ model, scene, world }: Client, deed: JobDeed): void {
  if (deed.repository === undefined || deed.digest === undefined) return
  const repository = model.at(deed.repository)
  const { nowMs, graceMs } = scene
  switch (deed.deed) {
    case 'restore-blob':
      repository.promise(deed.digest, nowMs + graceMs, nowMs + graceMs)
      return
    case 'restore-manifest':
    case 'restore-tag': {
      const image = world.images.get(deed.digest)
      assert.ok(image, `${deed.digest} was pushed`)
      repository.hold(image, deed.tag, nowMs)
      return
    }
    default:
  }
}
