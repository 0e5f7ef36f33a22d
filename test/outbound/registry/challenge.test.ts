// Goal: what a registry asks for is understood as every client understands it, and odd headers cost nothing.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseChallenges } from '../../../src/outbound/registry/challenge.ts'
import { nextPage } from '../../../src/outbound/registry/page.ts'

const cases: readonly (readonly [header: string, expected: unknown])[] = [
  ['', []],
  ['Basic realm="a, b"', [['basic', { realm: 'a, b' }]]],
  [
    'Bearer realm="https://auth.example/token",service="reg",scope="repository:a/b:pull,push"',
    [
      [
        'bearer',
        { realm: 'https://auth.example/token', service: 'reg', scope: 'repository:a/b:pull,push' },
      ],
    ],
  ],
  [
    'Negotiate, bearer REALM=x , Basic realm="q\\"uote"',
    [
      ['negotiate', {}],
      ['bearer', { realm: 'x' }],
      ['basic', { realm: 'q"uote' }],
    ],
  ],
  ['Bearer realm="first", realm="second"', [['bearer', { realm: 'first' }]]],
  ['Bearer realm="never closed', [['bearer', {}]]],
  ['realm="no scheme"', []],
  [';;;', []],
]

for (const [header, expected] of cases) {
  test(`challenges of ${JSON.stringify(header)}`, () => {
    const found = parseChallenges(header).map(({ scheme, parameters }) => [
      scheme,
      Object.fromEntries(parameters),
    ])
    assert.deepEqual(found, expected)
  })
}

test('a header that is long and odd is read in no time', () => {
  const startedAt = performance.now()
  for (const odd of [
    'a'.repeat(100_000),
    `Bearer ${'a="'.repeat(50_000)}`,
    `${'x ,'.repeat(50_000)}!`,
  ])
    parseChallenges(odd)
  for (const odd of [`${'<a>;'.repeat(20_000)}`, `<a>;${' ;'.repeat(20_000)}x`, '<'.repeat(50_000)])
    nextPage(odd, new URL('http://localhost/'))
  assert.ok(performance.now() - startedAt < 2000)
})

const pages: readonly (readonly [
  header: string | string[] | undefined,
  next: string | undefined,
])[] = [
  [undefined, undefined],
  ['</v2/_catalog?n=5&last=e>; rel="next"', 'https://r.example/v2/_catalog?n=5&last=e'],
  ['<?last=x>; rel=next', 'https://r.example/v2/_catalog?last=x'],
  ['</a>; rel="prev", </b>; title="x"; rel="up next"', 'https://r.example/b'],
  [['</a>; rel=first', '</c>; rel="next"'], 'https://r.example/c'],
  ['</a>; rel="nextone"', undefined],
  ['<http://[>; rel="next"', undefined],
  ['/v2/_catalog; rel="next"', undefined],
]

for (const [header, next] of pages) {
  test(`the page behind ${JSON.stringify(header)}`, () => {
    const from = new URL('https://r.example/v2/_catalog?n=5')
    assert.equal(nextPage(header, from)?.href, next)
  })
}
