// Goal: `policy test` says what the server would do and why, and `policy lint` finds what was not meant.
// Method: run the command line over configurations and compare what it prints.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { type Ran, runCommand } from '../support/command-line.ts'

const folder = mkdtempSync(join(tmpdir(), 'keelson-cli-policy-'))
after(() => rmSync(folder, { recursive: true }))

async function run(toml: string, ...args: readonly string[]): Promise<Ran> {
  writeFileSync(
    join(folder, 'config.toml'),
    `[blob_store.memory]\n[metadata_store.memory]\n${toml}`,
  )
  return runCommand(['-c', join(folder, 'config.toml'), 'policy', ...args], folder)
}

const guarded = `[global.access_policy]
rules = [
  "identity.certificate.organizations.contains('Platform')",
  "identity.username == 'ci'",
  "identity.username == 'root'",
]
[repository."prod".access_policy]
rules = [
  "identity.oidc.claims.role == 'deployer'",
  "identity.groups.contains('ops') && request.tags.all(t, t.startsWith('v'))",
  "identity.client_ip.startsWith('10.')",
]
[repository.open.access_policy]
default = "allow"
rules = ["request.action == 'delete-manifest'"]
`

function ask(as: string, ...args: readonly string[]): Promise<Ran> {
  return run(guarded, 'test', '--as', as, '--action', ...args)
}

describe('policy test', () => {
  test('it prints each rule, what it came to, and the one that decided', async () => {
    const { code, out, err } = await ask(
      ...(['user=ci,groups=dev', 'put-manifest', '--repository', 'prod/app'] as const),
      ...(['--reference', 'v1'] as const),
    )
    assert.equal(err, '')
    assert.equal(
      out,
      `ci of dev: put-manifest prod/app v1

global policy, default deny
  false      line 5: identity.certificate.organizations.contains('Platform')
  true       line 6: identity.username == 'ci'  ← decides: allowed
  unreached  line 7: identity.username == 'root'

policy of repository "prod", default deny
  error      line 11: identity.oidc.claims.role == 'deployer'
             absent has no fields
  false      line 12: identity.groups.contains('ops') && request.tags.all(t, t.startsWith('v'))
  error      line 13: identity.client_ip.startsWith('10.')
             the address is not known: give --as ip=…
  no rule holds: denied by default

DENIED (403): by the policy of repository "prod"
`,
    )
    assert.equal(code, 1)
  })

  for (const [as, args, code, conclusion] of [
    ['', ['get-api-version'], 1, 'DENIED (401): by the global policy'],
    ['cn=x', ['get-api-version'], 1, 'DENIED (403): by the global policy'],
    ['o=Platform', ['get-api-version'], 0, 'ALLOWED'],
    ['o=Other,o=Platform', ['list-catalog'], 0, 'ALLOWED'],
    [
      'user=ci,groups=dev,groups=ops',
      ['put-manifest', '--repository', 'prod', '--reference', 'v2'],
      0,
      'ALLOWED',
    ],
    [
      'user=ci,groups=ops',
      ['put-manifest', '--repository', 'prod', '--reference', 'w2'],
      1,
      'DENIED (403)',
    ],
    ['user=ci,ip=10.1.2.3', ['get-blob', '--repository', 'prod/a'], 0, 'ALLOWED'],
    ['user=ci', ['get-blob', '--repository', 'production'], 0, 'ALLOWED'],
    ['user=ci', ['get-manifest', '--repository', 'open/a'], 0, 'ALLOWED'],
    ['user=ci', ['delete-manifest', '--repository', 'open/a'], 1, 'policy of repository "open"'],
    ['user=ci', ['delete-blob', '--repository', 'a'], 0, 'ALLOWED'],
    ['user=ci', ['mount-blob', '--repository', 'a', '--from', 'b'], 0, 'ALLOWED'],
    ['user=ci', ['mount-blob', '--repository', 'a', '--from', 'prod/b'], 1, 'DENIED (403)'],
  ] as const) {
    test(`${as || 'nobody'}: ${args.join(' ')} exits ${code}`, async () => {
      const ran = await ask(as, ...args)
      assert.equal(ran.code, code, ran.out + ran.err)
      assert.ok(ran.out.includes(conclusion), ran.out)
    })
  }

  test('what the policies allow and guards are still asked about is told so', async () => {
    const toml = `
[auth.webhook.scanner]
url = "https://guard.example.com/"
[auth.opa.central]
url = "http://127.0.0.1:8181"
path = "keelson/allow"
[global]
authorization_webhook = "scanner"
[global.access_policy]
default = "allow"
[repository.prod]
authorization_opa = "central"
`
    const asked = ['test', '--action', 'get-manifest', '--repository']
    const prod = await run(toml, ...asked, 'prod/app')
    const told =
      'ALLOWED by the policies; a server also asks auth.webhook.scanner, auth.opa.central'
    assert.ok(prod.out.endsWith(`${told}\n`), prod.out + prod.err)
    const other = await run(toml, ...asked, 'production')
    assert.ok(other.out.endsWith('a server also asks auth.webhook.scanner\n'), other.out)
    assert.equal(other.code, 0)
  })

  test('claims make a token', async () => {
    const claims = ['--claims', '{"role": "deployer"}']
    const ran = await ask('user=ci', 'get-blob', '--repository', 'prod/a', ...claims)
    assert.equal(ran.code, 0, ran.out)
  })

  test('a comma in a value has a backslash before it', async () => {
    const { out } = await ask('user=a\\,b\\\\c,cn=x', 'get-api-version')
    assert.ok(out.startsWith('a,b\\c with a certificate for CN=x: get-api-version'), out)
  })

  test('without a global policy it says so', async () => {
    const { code, out } = await run('', 'test', '--action', 'get-api-version')
    assert.equal(code, 1)
    assert.ok(out.endsWith('DENIED (401): there is no global policy\n'), out)
  })

  test('every action can be asked about', async () => {
    const { servedActions } = await import('../../src/authorize/policy/variables.ts')
    for (const action of servedActions) {
      const ran = await ask('user=ci', action, '--repository', 'team/app', '--from', 'a')
      assert.equal(ran.code, 0, `${action}: ${ran.err}`)
    }
  })

  for (const [args, message] of [
    [['--as', 'user=a'], 'policy test needs --action'],
    [['--action', 'get-blb'], "there is no action 'get-blb'; did you mean 'get-blob'?"],
    [['--action', 'get-blob'], 'get-blob needs --repository'],
    [['--action', 'get-blob', '--repository', 'A'], "--repository: 'A' is not a repository name"],
    [['--action', 'get-blob', '--repository', 'a', '--digest', 'x'], "--digest: 'x' is not"],
    [['--action', 'get-manifest', '--repository', 'a', '--reference', '-'], "--reference: '-' is"],
    [['--action', 'list-catalog', '--as', 'usr=a'], "there is no 'usr': did you mean 'user'?"],
    [['--action', 'list-catalog', '--as', 'a'], "expected key=value; found 'a'"],
    [['--action', 'list-catalog', '--as', 'user=a,user=b'], 'there can be only one user'],
    [['--action', 'list-catalog', '--as', 'expires=soon'], "expires='soon' is not a time"],
    [['--action', 'list-catalog', '--claims', '[]'], '--claims: expected a JSON object'],
    [['--action', 'list-catalog', '--claims', '{'], '--claims: expected a JSON object'],
    [['--frob', 'x'], "Unknown option '--frob'"],
    [['more'], "policy test takes no argument 'more'"],
  ] as const) {
    test(`policy test ${args.join(' ')} is not understood`, async () => {
      const { code, out, err } = await run(guarded, 'test', ...args)
      assert.deepEqual([code, out], [2, ''])
      assert.ok(err.includes(message), err)
    })
  }

  test('options of one command are refused by the others', async () => {
    const { code, err } = await run(guarded, 'lint', '--as', 'user=a')
    assert.equal(code, 2)
    assert.ok(err.includes("policy lint takes no option '--as'"), err)
  })

  test('policy alone names its commands', async () => {
    const { code, err } = await run(guarded)
    assert.equal(code, 2)
    assert.ok(err.includes("'policy' is one of: 'policy test', 'policy lint'"), err)
  })

  test('a rule that does not compile is reported with its place', async () => {
    const toml = '[global.access_policy]\nrules = [\n"identity.usernme != null",\n]\n'
    for (const args of [['test', '--action', 'list-catalog'], ['lint']]) {
      const { code, err } = await run(toml, ...args)
      assert.equal(code, 1)
      assert.match(err, /config\.toml:5: global\.access_policy\.rules: .*did you mean 'username'\?/)
      assert.ok(err.endsWith('keelson: the configuration has 1 problem\n'), err)
    }
  })
})

describe('policy lint', () => {
  const policy = (...lines: readonly string[]): string =>
    `[global.access_policy]\n${lines.join('\n')}\n`
  const rules = (...texts: readonly string[]): string => `rules = ${JSON.stringify(texts)}`
  const somebody = "identity.username != ''"

  for (const [name, toml, findings] of [
    ['no policy', '', ['warning: global policy: there is no global policy: everything is denied']],
    [
      'repository policies alone',
      `[repository.a.access_policy]\n${rules(somebody)}`,
      ['and no repository policy is ever asked'],
    ],
    ['no rules', policy(), ['warning: global policy: the policy denies everything']],
    [
      'an open registry',
      policy('default = "allow"'),
      ['allows everything to everybody, deletions'],
    ],
    ['somebody', policy(rules(somebody)), []],
    [
      'a rule twice',
      policy(rules(somebody, ` ${somebody}`)),
      ['warning: config.toml:4: global policy: repeats the rule of line 4'],
    ],
    [
      'always true',
      policy(rules('1 < 2', somebody)),
      [
        'is always true: the policy allows everything',
        'is never reached: the rule of line 4 always decides',
        'warning: global policy: whoever has not logged in may: get-api-version, list-catalog',
      ],
    ],
    [
      'always true in an allow policy',
      policy('default = "allow"', rules('true')),
      ['config.toml:5: global policy: is always true: the policy denies everything'],
    ],
    [
      'always false',
      policy(rules('2 < 1')),
      [
        'is always false: it decides nothing',
        'no rule can ever hold: the policy denies everything',
      ],
    ],
    [
      'always failing',
      policy('default = "allow"', rules('1 / 0 == 1', somebody)),
      ['always fails', 'is never reached'],
    ],
    [
      'anonymous pulls',
      policy(rules("request.action.startsWith('get-')")),
      ['note: global policy: whoever has not logged in may: get-api-version, get-referrers'],
    ],
    [
      'a name that is not root',
      policy(rules("identity.username != 'root'")),
      ['warning: global policy: whoever has not logged in may: '],
    ],
    [
      'a repository policy without rules',
      `${policy(rules(somebody))}[repository.a.access_policy]\ndefault = "allow"`,
      ['warning: policy of repository "a": the policy narrows nothing'],
    ],
  ] as const) {
    test('retention policies are looked at, too', async () => {
      const toml = `[global.access_policy]
rules = ["identity.username == 'ci'"]
[global.retention_policy]
rules = ["true"]
[repository.dev.retention_policy]
rules = []
`
      const { code, out } = await run(toml, 'lint')
      assert.equal(code, 1)
      assert.equal(
        out,
        `warning: config.toml:6: global retention policy: is always true: it keeps every tag
warning: retention policy of repository "dev": has no rules: it neither keeps nor frees anything
`,
      )
      const wrong = toml.replace('"true"', '"image.tga == 1"')
      const refused = await run(wrong, 'lint')
      assert.equal(refused.code, 1)
      assert.match(
        refused.err,
        /config\.toml:6: global\.retention_policy\.rules: image has no field 'tga'; did you mean 'tag'/,
      )
    })

    test(name, async () => {
      const { code, out } = await run(toml, 'lint')
      const lines = out.split('\n').slice(0, -1)
      assert.equal(lines.length, findings.length, out)
      for (const [index, finding] of findings.entries()) {
        assert.ok(lines[index]?.includes(finding), `${lines[index]}\n${finding}`)
      }
      assert.equal(code, lines.some((line) => line.startsWith('warning')) ? 1 : 0)
    })
  }
})
