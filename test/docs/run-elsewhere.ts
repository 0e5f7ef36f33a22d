// Answers for which test runs the blocks of a page that need a scene of their own.

/** By page, then by the language of its blocks: the test that runs, loads or asks them. */
export const runElsewhere: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'docs/clients.md': { bash: 'test/client/recipes.test.ts' },
  'docs/clients-tls.md': { bash: 'test/client/tls-recipes.test.ts' },
  'docs/gateway.md': { nginx: 'test/edge/gateway-page.test.ts' },
  'docs/health.md': { sh: 'test/health/page.test.ts' },
  'docs/install.md': { sh: 'test/package/life.test.ts' },
  'docs/metrics.md': {
    sh: 'test/telemetry/metrics-page.test.ts',
    yaml: 'test/telemetry/metrics-page.test.ts',
  },
  'docs/opa.md': {
    rego: 'test/authorize/opa/page.test.ts',
    shell: 'test/authorize/opa/page.test.ts',
  },
  'docs/tls.md': { bash: 'test/config/tls-page.test.ts' },
  'docs/webhooks.md': { js: 'test/authorize/webhook/page.test.ts' },
  'tuning.md': { nft: 'test/edge/nftables.test.ts' },
}
