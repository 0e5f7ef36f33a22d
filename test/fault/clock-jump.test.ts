// Goal: a wall clock that jumps is told, for as long as it may jump back, and harms no upload, token or
// blob that should outlive it. Method: the product with libfaketime, whose clock a file moves while the
// monotonic one goes on as it is.
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Product, poll } from '../http/product.ts'
import { seededBytes } from '../support/images.ts'
import { assertStatus, digestOf, locationOf } from '../support/registry-client.ts'
import { run } from '../support/run.ts'
import { needs } from '../support/tools.ts'

const mib = 1 << 20
const blob = seededBytes('clock', 3 * mib)

interface Clock {
  /** Seconds from the true time. */
  set(seconds: number): Promise<void>
}

async function withClock(body: (product: Product, clock: Clock) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'keelson-clock-'))
  const file = join(folder, 'time')
  const clock: Clock = {
    set: (seconds) => writeFile(file, `${seconds < 0 ? '' : '+'}${seconds}\n`),
  }
  const product = new Product()
  try {
    await clock.set(0)
    await product.start({
      env: {
        // The program would set a time of its own, which is preferred to that of the file.
        LD_PRELOAD: await run('faketime', ['-f', '+0', 'printenv', 'LD_PRELOAD']),
        FAKETIME_TIMESTAMP_FILE: file,
        FAKETIME_NO_CACHE: '1',
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
      },
    })
    await body(product, clock)
    product.client.close()
    const exit = await product.server.stop()
    assert.deepEqual(exit, { code: 0, signal: null }, product.server.log.slice(-20).join('\n'))
  } finally {
    product.client.close()
    await rm(folder, { recursive: true, force: true })
  }
}

async function checkOf(product: Product, name: string): Promise<{ ok: boolean; reason: string }> {
  const { checks } = JSON.parse((await product.admin('/readyz')).body) as {
    checks: { name: string; ok: boolean; reason: string }[]
  }
  const check = checks.find((each) => each.name === name)
  assert.ok(check)
  return check
}

for (const [seconds, said] of [
  [7200, '+7200'],
  [-7200, '-7200'],
] as const) {
  test(`a jump of ${seconds} s is told, and costs no upload and no blob`, needs('faketime'), () =>
    withClock(async (product, clock) => {
      const { client } = product
      const digest = await client.pushBlob('app', blob)
      const location = await client.startUpload('app')
      const range = `0-${mib - 1}`
      assertStatus(await client.patch(location, blob.subarray(0, mib), range), 202)
      assert.equal((await checkOf(product, 'clock')).ok, true)
      await clock.set(seconds)
      const told = await poll('the jump is told', async () => {
        const check = await checkOf(product, 'clock')
        return check.ok ? undefined : check
      })
      assert.match(told.reason, new RegExp(`jumped by \\${said.slice(0, 1)}(7199|7200|7201) s`))
      const status = assertStatus(await client.get(location), 204)
      assert.equal(status.headers['range'], range)
      const rest = await client.patch(location, blob.subarray(mib), `${mib}-${blob.length - 1}`)
      assertStatus(await client.finish(locationOf(assertStatus(rest, 202)), digestOf(blob)), 201)
      const pulled = await client.get(`/v2/app/blobs/${digest}`)
      assert.ok(assertStatus(pulled, 200).body.equals(blob))
      const settled = await poll(
        'it is believed again',
        async () => ((await checkOf(product, 'clock')).ok ? true : undefined),
        30_000,
      )
      assert.ok(settled)
    }),
  )
}

test(
  'a clock before this version is not believed, and the registry serves',
  needs('faketime'),
  () =>
    withClock(async (product, clock) => {
      const { client } = product
      const digest = await client.pushBlob('app', blob)
      await clock.set(-Math.round(Date.now() / 1000) + 86_400)
      const told = await poll('it is told', async () => {
        const check = await checkOf(product, 'clock')
        return check.ok ? undefined : check
      })
      assert.match(told.reason, /^it shows 1970-01-0[12]T.*, but this version was made in 2026$/)
      const pulled = await client.get(`/v2/app/blobs/${digest}`)
      assert.ok(assertStatus(pulled, 200).body.equals(blob))
      await client.pushBlob('app', seededBytes('in 1970', 1000))
    }),
)
