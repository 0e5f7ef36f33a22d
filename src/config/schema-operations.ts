// The rows of what operators watch it by: logs, health and traces.
import type { Section } from './entry.ts'

const sections = {
  log: {
    doc: 'What is logged, on standard output.',
    keys: {
      level: {
        kind: 'choice',
        field: 'level',
        of: ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
        default: 'info',
        reload: 'live',
        doc: 'Lowest severity that is logged. SIGUSR2 turns `debug` on, and off again.',
      },
      format: {
        kind: 'choice',
        field: 'format',
        of: ['json', 'human'],
        default: 'json',
        reload: 'restart',
        doc: 'One JSON object a line, or lines for people.',
      },
      access: {
        kind: 'choice',
        field: 'access',
        of: ['none', 'failed', 'writes', 'all'],
        default: 'writes',
        reload: 'live',
        doc: 'Which requests get a line of their own: none; those that failed or were refused; these and all that write; or all.',
      },
      access_sample: {
        kind: 'integer',
        field: 'accessSample',
        default: 1,
        min: 1,
        max: 1_000_000,
        reload: 'live',
        doc: 'With `access = "all"`: of the reads that went well one in so many gets its line.',
      },
      mask: {
        kind: 'choices',
        field: 'mask',
        of: [
          'address',
          'certificate',
          'groups',
          'reference',
          'repository',
          'user_agent',
          'username',
        ],
        required: false,
        example: ['address', 'username'],
        otherwise: 'nothing',
        reload: 'live',
        doc: 'What of the people behind requests is written as `***` wherever the log names it. The audit log is not masked.',
      },
    },
  },
  health: {
    doc: 'What `/healthz` and `/readyz` find out.',
    keys: {
      probe_timeout: {
        kind: 'duration',
        field: 'probeTimeoutMs',
        default: '2s',
        min: '100ms',
        max: '30s',
        reload: 'live',
        doc: 'How long each part may take to show that it works, before it counts as not ready.',
      },
      check_host: {
        kind: 'boolean',
        field: 'checkHost',
        default: true,
        reload: 'restart',
        doc: 'After the start the log says what `keelson doctor` finds wrong with the host at a glance.',
      },
    },
  },
  tracing: {
    doc: 'Traces of requests, sent to an OpenTelemetry collector. Without this table nothing is traced.',
    alternative: true,
    keys: {
      endpoint: {
        kind: 'url',
        field: 'endpoint',
        required: true,
        example: 'http://127.0.0.1:4318/v1/traces',
        reload: 'restart',
        doc: 'Where traces are sent: OTLP over HTTP, as JSON.',
      },
      bearer_token: {
        kind: 'secret',
        field: 'bearerToken',
        required: false,
        example: 'a long random text',
        otherwise: 'none is sent',
        reload: 'restart',
        doc: 'Token that the collector asks for.',
      },
      sample: {
        kind: 'integer',
        field: 'sample',
        default: 100,
        min: 1,
        max: 1_000_000,
        reload: 'restart',
        doc: 'Of the requests whose caller does not say whether it traces, one in so many is traced.',
      },
      timeout: {
        kind: 'duration',
        field: 'timeoutMs',
        default: '5s',
        min: '100ms',
        max: '1m',
        reload: 'restart',
        doc: 'For each batch; what is not taken is dropped and counted.',
      },
    },
  },
} as const

// Not `satisfies`: with it the arrays above would have to state their types.
type Checked<S extends { readonly [path: string]: Section }> = S
type OperationsSchema = Checked<typeof sections>

export const operationsSchema: OperationsSchema = sections
