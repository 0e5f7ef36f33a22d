// Goal: the page tells the checks that there are, and its command asks them. Method: the command itself, with
// the socket of a server of the test.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { readBlocks } from '../docs/page-blocks.ts'
import { run } from '../support/run.ts'
import { openScene } from '../support/scene.ts'
import { projectRoot } from '../support/server.ts'
import { needs } from '../support/tools.ts'

const page = 'docs/health.md'

test(
  'the command of the page asks every check that the page names',
  needs('curl', 'sh'),
  async (t) => {
    const { server } = await openScene(t)
    const [block] = readBlocks(page).filter(({ language }) => language === 'sh')
    const socket = '/var/lib/keelson/_keelson/admin.sock'
    const shown = block?.text ?? ''
    assert.ok(shown.includes(socket))
    const command = shown.replace(socket, join(server.rootDir, '_keelson', 'admin.sock'))
    const answer = await run('sh', ['-ec', command.replace('curl', 'curl --silent --show-error')])
    const { status, checks } = JSON.parse(answer) as {
      status: string
      checks: { name: string; ok: boolean }[]
    }
    assert.equal(status, 'ready', answer)
    const text = readFileSync(join(projectRoot, page), 'utf8')
    for (const { name } of checks) assert.ok(text.includes(`\`${name}\``), name)
  },
)
