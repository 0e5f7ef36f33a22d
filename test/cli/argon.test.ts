// Goal: `keelson argon` makes of a password what the configuration takes, shows it to nobody, and says why
// it refuses one. Method: the program itself, behind a pipe and on a terminal of its own.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { attempt, type Finished } from '../support/run.ts'
import { productCommand } from '../support/server.ts'
import { needs } from '../support/tools.ts'

const password = 'tuesday fjord: lemon'
const phc = /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22,}\$[A-Za-z0-9+/]{43}$/

function argon(input: string): Promise<Finished> {
  const [command = '', ...args] = productCommand()
  return attempt(command, [...args, 'argon'], { input })
}

describe('keelson argon behind a pipe', () => {
  const folder = mkdtempSync(join(tmpdir(), 'keelson-argon-'))
  after(() => rmSync(folder, { recursive: true, force: true }))

  test('prints the hash alone, another one each time, and the configuration takes it', async () => {
    const [first, second] = await Promise.all([argon(`${password}\n`), argon(password)])
    for (const { code, stdout, stderr } of [first, second]) {
      assert.deepEqual([code, stderr], [0, ''])
      assert.match(stdout.trimEnd(), phc)
    }
    assert.notEqual(first.stdout, second.stdout)
    const config = join(folder, 'config.toml')
    writeFileSync(
      config,
      `[blob_store.memory]\n[metadata_store.memory]\n[global.access_policy]\nrules = ["identity.username == 'ci'"]
[auth.identity.ci]\nusername = "ci"\npassword = "${first.stdout.trimEnd()}"\n`,
    )
    const [command = '', ...args] = productCommand()
    const checked = await attempt(command, [...args, '-c', config, 'check-config'])
    assert.equal(checked.code, 0, checked.stderr)
    assert.doesNotMatch(checked.stdout, /argon2id/)
  })

  test('refuses what is weak, empty or more than a line, and prints nothing of it', async () => {
    const refused: Readonly<Record<string, RegExp>> = {
      'hunter2\n': /this password is too weak: it has 7 characters; expected at least 12/,
      'Password1234!\n': /too weak: guessers try its words first/,
      '': /it has 0 characters/,
      [`${password}\nand more\n`]: /expected one line, the password/,
      [`${'tuesday-fjord-'.repeat(5000)}\n`]: /longer than any password/,
    }
    for (const [input, reason] of Object.entries(refused)) {
      const { code, stdout, stderr } = await argon(input)
      assert.deepEqual([code, stdout], [1, ''], input.slice(0, 40))
      assert.match(stderr, reason)
      assert.ok(input === '' || !stderr.includes(input.trim().slice(0, 40)))
    }
  })
})

interface Typed {
  readonly code: number | null
  /** All that the terminal showed. */
  readonly shown: string
}

/** Types each answer when its question is shown. */
async function type(...answers: readonly string[]): Promise<Typed> {
  const line = [...productCommand(), 'argon'].map((word) => `'${word}'`).join(' ')
  const script = spawn('script', ['-q', '-e', '-c', line, '/dev/null'], { stdio: 'pipe' })
  const timer = setTimeout(() => script.kill('SIGKILL'), 60_000)
  let shown = ''
  let asked = 0
  script.stdout.setEncoding('utf8').on('data', (text: string) => {
    shown += text
    const questions = shown.match(/(?:Password|Again): /g)?.length ?? 0
    for (; asked < questions; asked += 1) {
      const answer = answers[asked]
      if (answer !== undefined) script.stdin.write(answer)
    }
  })
  const [code] = (await once(script, 'close')) as [number | null]
  clearTimeout(timer)
  return { code, shown }
}

describe('keelson argon on a terminal', needs('script'), () => {
  test('asks twice, shows nothing that is typed, and prints the hash', async () => {
    const { code, shown } = await type(`${password}\r`, `${password}\r`)
    assert.equal(code, 0, shown)
    const lines = shown.trimEnd().split(/[\r\n]+/)
    assert.deepEqual(lines.slice(0, 2), ['Password: ', 'Again: '])
    assert.match(lines[2] ?? '', phc)
    assert.equal(lines.length, 3, shown)
  })

  test('takes both lines at once, as they are pasted', async () => {
    const { code, shown } = await type(`${password}\r${password}\r`)
    assert.equal(code, 0, shown)
    assert.match(shown.trimEnd().split(/[\r\n]+/)[2] ?? '', phc)
    assert.doesNotMatch(shown, /tuesday/)
  })

  test('refuses two that differ, and a weak one, without showing either', async () => {
    const typo = await type(`${password}\r`, 'tuesday fjord: melon\r')
    assert.deepEqual([typo.code, /the two passwords differ/.test(typo.shown)], [1, true])
    assert.doesNotMatch(typo.shown, /tuesday|argon2id/)
    const weak = await type('hunter2\r', 'hunter2\r')
    assert.deepEqual([weak.code, /too weak/.test(weak.shown)], [1, true])
    assert.doesNotMatch(weak.shown, /hunter2|argon2id/)
  })

  test('ends when the user gives up, by Ctrl-C and by Ctrl-D', async () => {
    for (const key of ['\u0003', '\u0004']) {
      const { code, shown } = await type(key)
      assert.deepEqual([code, /no password was given/.test(shown)], [1, true], shown)
    }
  })
})
