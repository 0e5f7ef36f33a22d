// Goal: the next page's parameters survive the header and the URL, whatever is in them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { linkNext } from '../../src/oci/link.ts'

test('the Link of the next page holds its parameters, encoded', () => {
  assert.equal(
    linkNext('/v2/library/alpine/tags/list', { n: '2', last: 'v1.0' }),
    '</v2/library/alpine/tags/list?n=2&last=v1.0>; rel="next"',
  )
  const hostile = 'a/b&c=d>; rel="x"\r\n'
  const link = linkNext('/v2/_catalog', { last: hostile })
  const target = /^<([^>\r\n]*)>; rel="next"$/.exec(link)
  assert.ok(target?.[1] !== undefined, link)
  assert.equal(new URL(target[1], 'http://registry').searchParams.get('last'), hostile)
})
