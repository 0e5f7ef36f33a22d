// A transaction sees its own writes over those of its base, in order and within limits.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BufferedTransaction } from '../../../../src/storage/metadata/kv/buffered.ts'
import type { KeyValueTransaction } from '../../../../src/storage/metadata/kv/contract.ts'
import { below } from '../../../../src/storage/metadata/kv/keys.ts'
import { MemoryKeyValueStore } from '../../../../src/storage/metadata/memory/store.ts'

async function base(): Promise<MemoryKeyValueStore> {
  const records = new MemoryKeyValueStore()
  await records.write('visible', (transaction) => {
    for (const name of ['a', 'b', 'b-1', 'c', 'd']) transaction.put(`k!${name}`, `old ${name}`)
    transaction.put('k', 'the prefix itself')
    transaction.put('k-1!a', 'another prefix')
    transaction.putBody('k!a', Buffer.from('old'))
  })
  return records
}

function names(transaction: KeyValueTransaction, range = below('k')): string[] {
  return transaction.keys(range).map((key) => key.slice(2))
}

test('own writes hide those of the base, in get and in ranges', async () => {
  const transaction = new BufferedTransaction((await base()).reader)
  transaction.put('k!b', 'new b')
  transaction.put('k!bb', 'new bb')
  transaction.remove('k!c')
  transaction.put('k!e', 'gone again')
  transaction.remove('k!e')
  assert.equal(transaction.get('k!b'), 'new b')
  assert.equal(transaction.get('k!c'), undefined)
  assert.equal(transaction.get('k!e'), undefined)
  assert.deepEqual(names(transaction), ['a', 'b', 'b-1', 'bb', 'd'])
  transaction.put('k!aa', 'after a range was read')
  assert.deepEqual(names(transaction), ['a', 'aa', 'b', 'b-1', 'bb', 'd'])
  assert.deepEqual(transaction.entries({ ...below('k'), limit: 3 }).at(-1), {
    key: 'k!b',
    value: 'new b',
  })
})

test('limits count after removals, in both directions', async () => {
  const transaction = new BufferedTransaction((await base()).reader)
  for (const name of ['a', 'b', 'd']) transaction.remove(`k!${name}`)
  assert.deepEqual(names(transaction, { ...below('k'), limit: 1 }), ['b-1'])
  assert.deepEqual(names(transaction, { ...below('k'), limit: 1, reverse: true }), ['c'])
  assert.deepEqual(names(transaction, { ...below('k'), limit: 0 }), [])
  transaction.put('k!z', 'last')
  assert.deepEqual(names(transaction, { ...below('k'), reverse: true }), ['z', 'c', 'b-1'])
})

test('bodies are a space of their own', async () => {
  const records = await base()
  const transaction = new BufferedTransaction(records.reader)
  transaction.remove('k!a')
  assert.equal(Buffer.from(transaction.getBody('k!a')!).toString(), 'old')
  transaction.removeBody('k!a')
  assert.equal(transaction.getBody('k!a'), undefined)
  transaction.putBody('k!b', Buffer.from('new'))
  assert.equal(Buffer.from(transaction.getBody('k!b')!).toString(), 'new')
  assert.ok(records.reader.getBody('k!a'))
})

test('nothing reaches the base when the action throws', async () => {
  const records = await base()
  const failed = records.write('visible', (transaction) => {
    transaction.put('k!a', 'new')
    transaction.removeBody('k!a')
    throw new Error('planted')
  })
  await assert.rejects(failed, /planted/)
  assert.equal(records.reader.get('k!a'), 'old a')
  assert.ok(records.reader.getBody('k!a'))
})

test('a page starts behind its name, and what begins like the name is on it', async () => {
  const { reader } = await base()
  assert.deepEqual(reader.keys(below('k', 'b')), ['k!b-1', 'k!c', 'k!d'])
  assert.deepEqual(reader.keys(below('k', 'aa')), ['k!b', 'k!b-1', 'k!c', 'k!d'])
  assert.deepEqual(reader.keys(below('k-1')), ['k-1!a'])
})
