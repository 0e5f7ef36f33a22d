// Goal: docs/quotas.md is true. Method: its configuration is loaded and asked, its refusal is made again.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parseConfig } from '../../src/config/load.ts'
import { errorReply } from '../../src/http/error-reply.ts'
import { parseRepositoryName } from '../../src/oci/name.ts'
import { parseTag } from '../../src/oci/tag.ts'
import { createRepositoryRules } from '../../src/operation/repository-rules.ts'
import { quotaRefusal } from '../../src/operation/rule-refusal.ts'
import { blocksOf } from '../support/page.ts'

const page = readFileSync('docs/quotas.md', 'utf8')

test('the configuration of the page means what the page says', () => {
  const [text = ''] = blocksOf(page, 'toml')
  const store = '[blob_store.fs]\nroot_dir = "/var/lib/keelson"\n'
  const { global, repositories } = parseConfig([{ file: '/etc/keelson.toml', text: text + store }])
  const rules = createRepositoryRules(global, repositories)
  const of = (name: string) => rules.rulesFor(parseRepositoryName(name)!)
  const team = { prefix: 'team', bytesMax: 500 * 2 ** 30, tagsMax: 5000 }
  assert.deepEqual(of('team/app').quotas, [{ prefix: '', bytesMax: 2 * 2 ** 40 }, team])
  assert.equal(of('team/app').blobBytesMax, 2 * 2 ** 30)
  assert.equal(of('teams').blobBytesMax, 10 * 2 ** 30)
  const movable = ['v1', 'latest', 'nightly', 'dev-1', 'dev'].filter(
    (tag) => !of('team/releases/app').isImmutable(parseTag(tag)!),
  )
  assert.deepEqual(movable, ['nightly', 'dev-1'])
  assert.equal(of('team/app').isImmutable(parseTag('v1')!), false)
})

test('the refusal of the page is the one that clients get', () => {
  const over = { kind: 'over-quota', prefix: 'team', what: 'bytes', limit: 1000 } as const
  const reply = errorReply(quotaRefusal({ ...over, used: 1000, added: 20 }))
  assert.ok(reply.kind === 'whole')
  assert.equal(reply.status, 403)
  assert.equal(`${Buffer.from(reply.body ?? []).toString()}\n`, blocksOf(page, 'json')[0])
})
