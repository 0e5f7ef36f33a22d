// Goal: wrong tokens are counted by address without hurting those who share it. Method: floods of
// forged tokens, clients that repeat an old one, and fleets of good ones, from addresses of all kinds.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { OciError } from '../../src/oci/error.ts'
import { type LoginScene, loginScene, refusal } from './login-scene.ts'

const address = '192.0.2.1'

/** How many of so many forged tokens were looked at; the others were told to wait. */
async function flood({ ask }: LoginScene, count: number, peer = address): Promise<number> {
  let looked = 0
  for (let i = 0; i < count; i += 1) {
    const bearer = `bad-${Math.random()}`
    const status = await ask({ bearer, peer }).then(
      () => assert.fail('a forged token was taken'),
      (error: unknown) => (error instanceof OciError ? error.status : 0),
    )
    assert.ok(status === 401 || status === 429)
    if (status === 401) looked += 1
  }
  return looked
}

describe('wrong tokens', () => {
  test('of one address are looked at only so often once there were many', async () => {
    const scene = loginScene()
    assert.equal(await flood(scene, 200), 40)
    scene.advance(1000)
    assert.equal(await flood(scene, 200), 20)
    const last = scene.events.at(-1)
    assert.deepEqual([last?.result, last?.reason], ['refused', 'too-many-failures'])
  })

  test('say when to come back', async () => {
    const scene = loginScene()
    await flood(scene, 100)
    await assert.rejects(scene.ask({ bearer: 'good-1' }), (error) => {
      assert.ok(error instanceof OciError)
      assert.deepEqual(error.headers, [['Retry-After', '1']])
      return error.status === 429
    })
  })

  test('hold up good ones of the same address for a second at most', async () => {
    const scene = loginScene()
    await flood(scene, 1000)
    scene.advance(1000)
    assert.equal((await scene.ask({ bearer: 'good-1' })).username, 'ci')
    await flood(scene, 1000)
    // It was looked at before, and is not asked to wait at all.
    assert.equal((await scene.ask({ bearer: 'good-1' })).username, 'ci')
  })

  test('of one address do not hold up another, nor passwords of the same', async () => {
    const scene = loginScene()
    await flood(scene, 100)
    assert.equal((await scene.ask({ bearer: 'good-1', peer: '192.0.2.2' })).username, 'ci')
    assert.equal((await scene.ask({ login: 'ci:secret' })).username, 'ci')
  })

  test('and wrong passwords are counted apart', async () => {
    const scene = loginScene()
    for (let i = 0; i < 10; i += 1) {
      await scene.ask({ login: `user-${i}:guess` }).catch(() => undefined)
    }
    await assert.rejects(scene.ask({ login: 'ci:secret' }), refusal(429))
    assert.equal((await scene.ask({ bearer: 'good-1' })).username, 'ci')
  })

  test('that are API keys by their form count as well', async () => {
    const scene = loginScene()
    for (let i = 0; i < 40; i += 1) {
      await assert.rejects(scene.ask({ login: `ci:bad-${i}` }), refusal(401))
    }
    await assert.rejects(scene.ask({ login: 'ci:bad-more' }), refusal(429))
  })

  test('of one IPv6 network count together', async () => {
    const scene = loginScene()
    for (let i = 0; i < 40; i += 1) await flood(scene, 1, `2001:db8:0:7::${i.toString(16)}`)
    const bearer = 'good-1'
    await assert.rejects(scene.ask({ bearer, peer: '2001:db8:0:7:ffff::1' }), refusal(429))
    assert.equal((await scene.ask({ bearer, peer: '2001:db8:0:8::1' })).username, 'ci')
  })

  test('are forgotten after a while', async () => {
    const scene = loginScene()
    await flood(scene, 100)
    scene.advance(15 * 60_000 + 1)
    assert.equal(await flood(scene, 100), 40)
  })
})

describe('a client that repeats one wrong token', () => {
  test('is counted once, however long it goes on', async () => {
    const scene = loginScene()
    for (let i = 0; i < 500; i += 1) {
      await assert.rejects(scene.ask({ bearer: 'bad-old' }), refusal(401))
      // Often enough for the memory of it to end in between.
      scene.advance(11_000)
    }
    assert.ok(scene.verified.length > 100)
    const good = await Promise.all(
      Array.from({ length: 100 }, (_, n) => scene.ask({ bearer: `good-${n}` })),
    )
    assert.ok(good.every(({ username }) => username === 'ci'))
  })

  test('and one that repeats a wrong password is not slowed down either', async () => {
    const scene = loginScene()
    for (let i = 0; i < 50; i += 1) {
      assert.equal((await scene.ask({ login: 'ci:old password' })).username, null)
      scene.advance(11_000)
    }
    assert.equal((await scene.ask({ login: 'ci:secret' })).username, 'ci')
  })
})

describe('a fleet behind one address', () => {
  test('with good tokens never waits, however many come at once', async () => {
    const scene = loginScene()
    const all = await Promise.all(
      Array.from({ length: 2000 }, (_, n) => scene.ask({ bearer: `good-${n}` })),
    )
    assert.ok(all.every(({ username }) => username === 'ci'))
    assert.equal(scene.verified.length, 2000)
  })

  test('with a token that was good before does not wait when it is looked at again', async () => {
    const scene = loginScene()
    await scene.ask({ bearer: 'good-1' })
    scene.advance(6 * 60_000)
    await flood(scene, 1000)
    assert.equal((await scene.ask({ bearer: 'good-1' })).username, 'ci')
    assert.deepEqual(
      scene.verified.filter((bearer) => bearer === 'good-1'),
      ['good-1', 'good-1'],
    )
  })

  test('with a few wrong ones among many good ones does not wait either', async () => {
    const scene = loginScene()
    for (let i = 0; i < 1000; i += 1) {
      if (i % 40 < 15) await assert.rejects(scene.ask({ bearer: `bad-${i}` }), refusal(401))
      else assert.equal((await scene.ask({ bearer: `good-${i}` })).username, 'ci')
    }
  })
})

describe('a secret that another stage looks up', () => {
  test('is slowed down as tokens are, and counted with them', async () => {
    const scene = loginScene()
    const guard = scene.guard(address)
    for (let i = 0; i < 40; i += 1) {
      guard.admit(`refresh ${i}`)
      guard.failed(`refresh ${i}`)
    }
    assert.throws(() => guard.admit('another'), refusal(429))
    assert.equal(scene.events.at(-1)?.reason, 'too-many-failures')
    await assert.rejects(scene.ask({ bearer: 'good-1' }), refusal(429))
    scene.guard('192.0.2.2').admit('another')
  })

  test('is not slowed down where it is right, or the same wrong one each time', () => {
    const guard = loginScene().guard(address)
    for (let i = 0; i < 100; i += 1) {
      guard.admit('the same')
      guard.failed('the same')
    }
    for (let i = 0; i < 100; i += 1) {
      guard.admit('a right one')
      guard.succeeded('a right one')
    }
  })

  test('never waits where it was right before', async () => {
    const scene = loginScene()
    const guard = scene.guard(address)
    guard.succeeded('a right one')
    await flood(scene, 1000)
    guard.admit('a right one')
    assert.throws(() => guard.admit('another'), refusal(429))
  })

  test('makes up for a wrong one once, however often it is shown', async () => {
    const scene = loginScene()
    const guard = scene.guard(address)
    await flood(scene, 40)
    for (let i = 0; i < 40; i += 1) guard.succeeded('a right one')
    assert.throws(() => guard.admit('another'), refusal(429))
  })
})

describe('what is told of a token', () => {
  test('is its id and never itself, also where it is refused', async () => {
    const scene = loginScene()
    await scene.ask({ bearer: 'good-secret-text' })
    await assert.rejects(scene.ask({ bearer: 'bad-secret-text' }), refusal(401))
    const shown = scene.events.map(({ method, result, reason, tokenId }) => {
      return [method, result, reason, tokenId?.replace('good-secret-text', 'it')]
    })
    assert.deepEqual(shown, [
      ['token', 'success', 'success', 'id of it'],
      ['token', 'failure', 'signature', 'some-id'],
    ])
    assert.doesNotMatch(JSON.stringify(scene.events), /bad-secret-text/)
  })
})
