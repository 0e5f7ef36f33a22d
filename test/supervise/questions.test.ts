// Goal: whoever asks a process hears something, whether that answers, ends or hangs.
// Method: replies given out of order, late, twice and not at all.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Questions } from '../../src/supervise/questions.ts'

test('each reply goes to the question with its number', async () => {
  const questions = new Questions()
  const [first, second] = [questions.ask(60_000), questions.ask(60_000)]
  questions.take({ kind: 'reply', id: second.id, value: 'b' })
  questions.take({ kind: 'reply', id: first.id, value: 'a' })
  questions.take({ kind: 'reply', id: first.id, value: 'again' })
  assert.deepEqual(await Promise.all([first.replied, second.replied]), ['a', 'b'])
})

test('a question that nobody answers in time is answered by undefined', async () => {
  const questions = new Questions()
  const { id, replied } = questions.ask(1)
  assert.equal(await replied, undefined)
  questions.take({ kind: 'reply', id, value: 'late' })
})

test('when nobody is left to answer, all questions end at once', async () => {
  const questions = new Questions()
  const asked = [questions.ask(60_000), questions.ask(60_000)]
  questions.abandon()
  assert.deepEqual(await Promise.all(asked.map(({ replied }) => replied)), [undefined, undefined])
})
