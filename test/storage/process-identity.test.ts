// Goal: a process counts as gone only where that is certain. Method: identities of this process, of one that
// has ended, of one whose parent never asks for it, and of places that cannot be looked into.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { isProcessAlive, processIdentity } from '../../src/storage/process-identity.ts'
import { ownIdentity, startTimeOf } from '../../src/storage/process-table.ts'
import { startDaemon } from '../support/daemon.ts'
import { run } from '../support/run.ts'
import { until } from '../support/until.ts'

const { pid, startTime, bootId, pidNamespace } = ownIdentity()

function identity(changes: Partial<ReturnType<typeof ownIdentity>>): string {
  const parts = { pid, startTime, bootId, pidNamespace, ...changes }
  return [parts.pid, parts.startTime, parts.bootId, parts.pidNamespace].join('/')
}

test('this process is alive', () => {
  assert.equal(processIdentity(), identity({}))
  assert.equal(isProcessAlive(processIdentity()), true)
})

test('a process that has ended, or whose pid another one has, is gone', async () => {
  const ended = Number(await run('sh', ['-c', 'echo $$']))
  assert.equal(isProcessAlive(identity({ pid: ended })), false)
  assert.equal(isProcessAlive(identity({ startTime: '1' })), false)
})

test('a process of before the last start of the host is gone', () => {
  assert.equal(isProcessAlive(identity({ bootId: 'another boot' })), false)
})

test('a process in another container counts as alive, whatever has its pid here', () => {
  const pidHere = identity({ pidNamespace: 'pid:[1]' })
  assert.equal(isProcessAlive(pidHere), true)
  assert.equal(isProcessAlive(identity({ pid: 2 ** 22 + 1, pidNamespace: 'pid:[1]' })), true)
})

test('what cannot be read counts as alive', () => {
  for (const text of ['', '17', '17:99', 'somebody', identity({ startTime: '' })]) {
    assert.equal(isProcessAlive(text), true, text)
  }
})

test('a process that has ended is gone, though its parent never asks for it', async () => {
  // The child ends once the shell has become another program, which does not wait for it; before that
  // the shell itself would.
  const child = 'while read -r name < /proc/$1/comm && [ "$name" = sh ]; do :; done'
  const parent = await startDaemon({
    command: 'sh',
    args: ['-c', 'sh -c "$0" child $$ & echo $!; exec sleep 60', child],
    onLine: (line) => Number(line),
  })
  try {
    const zombie = parent.ready
    const stat = (): string => readFileSync(`/proc/${zombie}/stat`, 'latin1')
    await until('the child is a zombie', () => / Z /.test(stat()))
    assert.equal(startTimeOf(zombie), 'gone')
    const started = stat().split(' ')[21] ?? ''
    assert.equal(isProcessAlive(identity({ pid: zombie, startTime: started })), false)
  } finally {
    parent.kill()
    await parent.exited
  }
})
