// Goal: a configuration that is printed loads to the same configuration. Method: load, print and load
// again what is easily lost on the way.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatConfig } from '../../src/config/summary.ts'
import { parse, parseIn, store } from './parse.ts'

const tls = '[server.tls]\nserver_certificate_bundle = "/c"\nserver_private_key = "/k"\n'
// Where bind_address and port would be without being written.
const usual = '[[server.listener]]\nbind_address = "127.0.0.1"\nport = 8000\n'

for (const [name, text] of [
  ['the defaults', ''],
  ['the usual listener as a list', usual],
  ['the usual listener with TLS', `${tls}${usual}tls = true\n`],
  ['the usual listener without TLS where others could have it', `${tls}${usual}tls = false\n`],
  [
    'the usual listener behind a proxy',
    `[server]\ntrusted_proxies = ["::1"]\n${usual}proxy_protocol = true`,
  ],
  [
    'a socket that its owner may not open',
    '[[server.listener]]\nsocket = "/s"\nsocket_mode = "0060"\n',
  ],
  ['TLS 1.3 alone', `${tls}min_version = "1.3"\nsession_timeout = "90m"\n`],
  ['lists of files', `${tls}client_ca_bundle = "/a"\nclient_crls = ["/b", "/c d"]\n`],
  ['a secret of the environment', `${tls}private_key_passphrase = { env = "PASS" }`],
  [
    'no headers',
    '[server.headers]\nhsts_max_age = 0\ncontent_security_policy = ""\nnosniff = false',
  ],
  ['quotes in a text', `[server.headers]\ncontent_security_policy = 'a "b" \\ c'`],
] as const) {
  test(`${name}: what is printed loads again`, () => {
    const config = parseIn({ PASS: 'hush' }, text, store)
    const printed = parseIn({ PASS: 'hush' }, formatConfig(config))
    assert.deepEqual(printed, config)
    const reveal = ({ tls: read }: typeof config) => read?.privateKeyPassphrase?.reveal()
    assert.equal(reveal(printed), reveal(config))
  })
}

test('policies are printed with the texts of their rules', () => {
  const rules = `rules = ["a == 'b'", """c\nd""", 'e "f"']\n`
  const text = `[global.access_policy]\n${rules}[repository.x]\n[repository."y/z".access_policy]\ndefault = "allow"\n${rules}`
  const shape = (config: ReturnType<typeof parse>) =>
    [{ prefix: '', accessPolicy: config.global.accessPolicy }, ...config.repositories].map(
      ({ prefix, accessPolicy: policy }) => [
        prefix,
        policy?.default,
        policy?.rules.map((each) => each.text),
      ],
    )
  const config = parse(store, text)
  assert.deepEqual(shape(parse(formatConfig(config))), shape(config))
  assert.deepEqual(shape(config)[0], ['', 'deny', ["a == 'b'", 'c\nd', 'e "f"']])
})

test('what stands in the query of a URL is not printed, since it may be a key', () => {
  const url = 'https://scanner.example.com/hook?key=hunter2&tenant=a'
  const config = parse(store, `[auth.webhook.scanner]\nurl = "${url}"\n`)
  const printed = formatConfig(config)
  assert.match(printed, /url = "https:\/\/scanner\.example\.com\/hook\?\*\*\*"/)
  assert.doesNotMatch(printed, /hunter2/)
})
