// Goal: nobody has more under way than the limit, and a place is given back once, however its request
// ends. Method: requests that the test ends in every way, in a random order.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { anonymous, type Identity } from '../../src/authenticate/identity.ts'
import type { RequestBody } from '../../src/http/body.ts'
import { HeaderBlock } from '../../src/http/header-block.ts'
import type { ByteSource, Reply } from '../../src/http/reply.ts'
import { openBucketTable } from '../../src/limit/bucket-table.ts'
import { type Transfer, TransferLimits } from '../../src/limit/transfers.ts'
import { OciError } from '../../src/oci/error.ts'
import { route } from '../../src/route/route.ts'
import { LimitCounts } from '../../src/telemetry/limit-counts.ts'
import { Dice, randomFrom } from '../support/dice.ts'
import { FakeTime } from './fake-time.ts'

const digest = `sha256:${'0'.repeat(64)}`
const session = '/v2/a/blobs/uploads/00000000-0000-4000-8000-000000000000'
const pull = route({ method: 'GET', path: `/v2/a/blobs/${digest}`, query: '' })
const probe = route({ method: 'HEAD', path: `/v2/a/blobs/${digest}`, query: '' })
const start = route({ method: 'POST', path: '/v2/a/blobs/uploads/', query: '' })
const patch = route({ method: 'PATCH', path: session, query: '' })
const put = route({ method: 'PUT', path: session, query: `digest=${digest}` })
const manifest = route({ method: 'PUT', path: '/v2/a/manifests/v1', query: '' })
const status = route({ method: 'GET', path: session, query: '' })

const alice: Identity = { ...anonymous, username: 'alice', authMethod: 'basic' }
const headers = new HeaderBlock([])
const done: Reply = { kind: 'whole', status: 201, headers, body: undefined }

function bodyOf(length: number | undefined): RequestBody {
  return { length, consume: () => {}, pause: () => {}, resume: () => {} }
}

class Source implements ByteSource {
  readonly length = 9
  closes = 0
  readNow(): number {
    return 9
  }
  read(): Promise<number> {
    return Promise.resolve(9)
  }
  close(): void {
    this.closes += 1
  }
}

function limited(uploads: number, pulls: number, rate = 0) {
  const counts = new LimitCounts()
  const time = new FakeTime()
  const limits = new TransferLimits(
    {
      uploadsPerIdentity: uploads,
      pullsPerIdentity: pulls,
      uploadRatePerIdentityBytes: rate,
    },
    { open: openBucketTable, now: time.now, after: time.after, counts },
  )
  const begin = (
    action = pull,
    { who = alice, length = 5 as number | undefined, address = '192.0.2.1' } = {},
  ): Transfer | undefined => limits.begin(who, action, bodyOf(length), () => address)
  return { limits, begin, counts, time, kept: () => Object.fromEntries(counts.keys()) }
}

const isFull = { code: 'TOOMANYREQUESTS', status: 429 }

test('one more upload than allowed is refused, until one has ended', () => {
  const { begin, counts } = limited(2, 0)
  const first = begin(patch)
  begin(put, { length: undefined })
  assert.throws(() => begin(manifest), isFull)
  assert.throws(
    () => begin(patch),
    (error) => {
      assert.ok(error instanceof OciError)
      assert.deepEqual(error.headers, [['Retry-After', '5']])
      assert.match(error.message, /uploads/)
      assert.deepEqual(error.detail, { limit: 'uploads_per_identity' })
      return true
    },
  )
  begin(patch, { who: anonymous })
  begin(patch, { who: anonymous })
  assert.throws(() => begin(patch, { who: anonymous, address: '::ffff:192.0.2.1' }), isFull)
  begin(patch, { who: anonymous, address: '192.0.2.2' })
  first?.run(() => done)
  assert.ok(begin(patch))
  assert.deepEqual(counts.refusals(), [['uploads_per_identity', 3]])
})

test('a request without a body takes no place, but none begins an upload that could not go on', () => {
  const { begin } = limited(1, 0)
  assert.equal(begin(start, { length: 0 }), undefined)
  begin(patch)
  assert.throws(() => begin(start, { length: 0 }), isFull)
  assert.equal(begin(put, { length: 0 }), undefined)
  assert.equal(begin(status, { length: 0 }), undefined)
  assert.equal(begin(pull), undefined)
})

test('HEAD takes no place among the pulls', () => {
  const { begin } = limited(0, 1)
  begin(pull)
  assert.equal(begin(probe), undefined)
  assert.equal(begin(patch), undefined)
  assert.throws(() => begin(pull), isFull)
})

test('a stream holds its place until it is closed, and gives it back once', () => {
  const { begin, kept } = limited(0, 2)
  const source = new Source()
  const reply = begin(pull)?.run(() => ({ kind: 'stream', status: 200, headers, source }))
  const other = begin(pull)
  assert.ok(reply && !(reply instanceof Promise) && reply.kind === 'stream')
  assert.throws(() => begin(pull), isFull)
  assert.equal(reply.source.length, 9)
  assert.equal(reply.source.readNow(0, new Uint8Array(9)), 9)
  reply.source.close()
  reply.source.close()
  assert.equal(source.closes, 2)
  begin(pull)
  assert.throws(() => begin(pull), isFull, 'closed twice, but given back once')
  other?.run(() => done)
  assert.deepEqual(kept(), { pulls_per_identity: 1 })
})

test('a source whose end fails gives its place back all the same', () => {
  const { begin, kept } = limited(0, 1)
  const source = new Source()
  source.close = () => {
    throw new Error('no')
  }
  const reply = begin(pull)?.run(() => ({ kind: 'stream', status: 200, headers, source }))
  assert.ok(reply && !(reply instanceof Promise) && reply.kind === 'stream')
  const stream = reply
  assert.throws(() => stream.source.close(), /no/)
  assert.deepEqual(kept(), { pulls_per_identity: 0 })
})

test('an upload that is refused while it is held back leaves nothing to happen', () => {
  const { limits, time } = limited(0, 0, 1000)
  const body: RequestBody = {
    ...bodyOf(undefined),
    consume: (sink) => sink.onChunk(new Uint8Array(9000), false),
  }
  const transfer = limits.begin(alice, patch, body, () => '')
  const tooLarge = (taken: RequestBody): never => {
    taken.consume({ onChunk: () => {}, onAbort: () => {} })
    assert.equal(time.waiting, 1)
    throw new OciError('CONTENT_TOO_LARGE')
  }
  assert.throws(() => transfer?.run(tooLarge), { code: 'CONTENT_TOO_LARGE' })
  assert.equal(time.waiting, 0)
})

for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
  test(`however requests end, in the end nothing is held (seed ${seed})`, async () => {
    const dice = new Dice(randomFrom(seed))
    const max = 1 + dice.below(4)
    const { begin, kept, time } = limited(max, max, dice.chance(0.5) ? 1000 : 0)
    const underWay = new Map<string, number>()
    const ends: Array<() => Promise<void>> = []
    for (let step = 0; step < 800; step += 1) {
      if (ends.length > 0 && dice.chance(0.5)) {
        await ends.splice(dice.below(ends.length), 1)[0]?.()
        continue
      }
      const action = dice.pick([pull, patch, put, manifest])
      const name = dice.pick(['a', 'b', 'c'])
      const kind = `${action === pull ? 'pull' : 'upload'} ${name}`
      const before = underWay.get(kind) ?? 0
      const who = { ...anonymous, username: name }
      if (before >= max) {
        assert.throws(() => begin(action, { who }), isFull)
        continue
      }
      const transfer = begin(action, { who })
      assert.ok(transfer)
      underWay.set(kind, before + 1)
      const end = beginOne(transfer, dice)
      ends.push(async () => {
        await end()
        underWay.set(kind, (underWay.get(kind) ?? 0) - 1)
      })
    }
    for (const end of ends) await end()
    assert.equal(kept()['uploads_per_identity'], 0)
    assert.equal(kept()['pulls_per_identity'], 0)
    assert.equal(time.waiting, 0)
  })
}

/** Runs it in one of the ways there are; the result ends it. */
function beginOne(transfer: Transfer, dice: Dice): () => Promise<void> {
  const fault = new Error('fault')
  const stream: Reply = { kind: 'stream', status: 200, headers, source: new Source() }
  const close = (reply: Reply): void => {
    if (reply.kind === 'stream') for (let i = 0; i <= dice.below(3); i += 1) reply.source.close()
  }
  const way = dice.below(4)
  if (way === 0) return async () => void assert.equal(await transfer.run(() => done), done)
  if (way === 1) {
    return async () =>
      assert.throws(
        () =>
          transfer.run(() => {
            throw fault
          }),
        fault,
      )
  }
  let settle: ((reply: Reply | Error) => void) | undefined
  const waiting = new Promise<Reply>((resolve, reject) => {
    settle = (reply) => (reply instanceof Error ? reject(reply) : resolve(reply))
  })
  const running = Promise.resolve(transfer.run(() => waiting))
  running.catch(() => {})
  return async () => {
    settle?.(way === 2 ? fault : dice.pick([stream, done]))
    await running.then(close, (error: unknown) => assert.equal(error, fault))
  }
}
