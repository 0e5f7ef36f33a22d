// Goal: a log that cannot be written, since its disk is full or its reader gone, costs log lines and
// nothing else: requests are answered, and the server ends when it is told to. Method: the product with
// its output on /dev/full, on a full tmpfs with room later, and on pipes that nobody reads.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { adminCall, poll } from '../http/product.ts'
import { productCommand } from '../support/server.ts'
import { needsTmpfs, withTmpfs } from '../support/small-tmpfs.ts'
import { within } from '../support/until.ts'
import { diskAt } from './ballast.ts'

type Output = number | 'pipe'

interface Product {
  readonly child: ChildProcess
  /** A request that is logged. */
  request(): Promise<{ readonly status: number }>
  stop(): Promise<number | null>
}

async function withProduct(
  [out, err]: readonly [Output, Output],
  body: (product: Product) => Promise<void>,
): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'keelson-log-'))
  const config = join(dir, 'config.toml')
  const socket = join(dir, 'registry.sock')
  const rootDir = join(dir, 'data')
  writeFileSync(
    config,
    [
      `[[server.listener]]\nsocket = ${JSON.stringify(socket)}`,
      `[blob_store.fs]\nroot_dir = ${JSON.stringify(rootDir)}`,
      '[global.access_policy]\ndefault = "allow"',
      '[log]\naccess = "all"\n',
    ].join('\n'),
  )
  const [command = '', ...args] = [...productCommand(), '-c', config, 'server']
  const child = spawn(command, args, { stdio: ['ignore', out, err] })
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
  // What is not read fills the pipe, which is the point.
  child.stdout?.pause()
  child.stderr?.pause()
  const product: Product = {
    child,
    request: () => adminCall(socket, '/v2/'),
    stop: () => {
      child.kill('SIGTERM')
      return within('its end', exited)
    },
  }
  try {
    await poll('it serves', async () => existsSync(socket) || undefined, 30_000)
    await poll('it answers', () => product.request().catch(() => undefined), 30_000)
    await body(product)
  } finally {
    child.kill('SIGKILL')
    await exited
    rmSync(dir, { recursive: true, force: true })
  }
}

async function assertServes(product: Product): Promise<void> {
  for (let i = 0; i < 50; i++) {
    assert.equal((await within('a reply', product.request())).status, 200)
  }
}

test('a log on a device that is full costs no request and no clean end', async () => {
  const full = openSync('/dev/full', 'w')
  try {
    await withProduct([full, full], async (product) => {
      await assertServes(product)
      assert.equal(await product.stop(), 0)
    })
  } finally {
    closeSync(full)
  }
})

test(
  'a log on a full disk goes on when there is room, and says what it has missed',
  needsTmpfs,
  () =>
    withTmpfs(4 << 20, async (path) => {
      const disk = diskAt(path)
      const file = join(path, 'log')
      const log = openSync(file, 'a')
      try {
        await withProduct([log, log], async (product) => {
          await assertServes(product)
          await disk.leave(0)
          await assertServes(product)
          await disk.leave(2 << 20)
          await poll('the log goes on', async () => {
            assert.equal((await product.request()).status, 200)
            return readFileSync(file, 'utf8').includes('the log can be written again') || undefined
          })
          assert.equal(await product.stop(), 0)
          const lines = readFileSync(file, 'utf8')
            .split('\n')
            .filter((line) => line.startsWith('{'))
          assert.match(lines.at(-1) ?? '', /"stopped"/)
        })
      } finally {
        closeSync(log)
      }
    }),
)

test('readers of the output that leave take nothing with them', () =>
  withProduct(['pipe', 'pipe'], async (product) => {
    await assertServes(product)
    product.child.stdout?.destroy()
    product.child.stderr?.destroy()
    await assertServes(product)
    product.child.kill('SIGHUP')
    await assertServes(product)
    assert.equal(await product.stop(), 0)
  }))

test('a reader of the output that reads nothing holds nothing up', () =>
  withProduct(['pipe', 'pipe'], async (product) => {
    // Each is a line of some 400 bytes; a pipe takes 64 KiB.
    for (let i = 0; i < 8; i++) await assertServes(product)
    assert.equal(await product.stop(), 0)
  }))
