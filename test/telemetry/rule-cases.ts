// Answers for when each alert fires and when it does not: series as promtool writes them, one value a minute.

export interface RuleCase {
  /** Series without the labels job and instance → its values. */
  readonly fires: Readonly<Record<string, string>>
  readonly silent: Readonly<Record<string, string>>
  /** Whose case that fires, or is silent, lets this one fire as well. */
  readonly also?: readonly string[]
  /** Of the alert, beside job and instance. */
  readonly labels?: Readonly<Record<string, string>>
  /** Default: 75 minutes, one value each. */
  readonly at?: string
  readonly interval?: string
}

const still = (value: number | string): string => `${value}x90`
const grows = (by: number | string): string => `0+${by}x90`
// One more, five minutes before the end.
const once = '0x70 1x25'
const day = 86_400

const requests = (status: string): string =>
  `keelson_http_requests_total{action="get-blob",status="${status}"}`
const manifests = (le: string): string =>
  `keelson_http_request_duration_seconds_bucket{action="get-manifest",le="${le}"}`
const delays = (le: string): string => `keelson_event_loop_delay_seconds_bucket{le="${le}"}`
const store = { store: 'blobs' }

export const ruleCases: Readonly<Record<string, RuleCase>> = {
  KeelsonDown: { fires: { up: still(0) }, silent: { up: still(1) } },
  KeelsonServerErrors: {
    fires: { [requests('200')]: grows(6000), [requests('500')]: grows(90) },
    silent: { [requests('200')]: grows(6000), [requests('500')]: grows(30) },
  },
  KeelsonFaults: {
    fires: { 'keelson_http_faults_total{code="INTERNAL"}': once },
    silent: { 'keelson_http_faults_total{code="UNAVAILABLE"}': once },
    labels: { code: 'INTERNAL' },
  },
  KeelsonSlowManifests: {
    fires: {
      [manifests('0.1')]: grows(90),
      [manifests('0.5')]: grows(100),
      [manifests('+Inf')]: grows(100),
    },
    silent: {
      [manifests('0.1')]: grows(100),
      [manifests('0.5')]: grows(100),
      [manifests('+Inf')]: grows(100),
    },
  },
  KeelsonEventLoopBlocked: {
    fires: { [delays('0.25')]: grows(54), keelson_event_loop_delay_seconds_count: grows(60) },
    silent: { [delays('0.25')]: grows(59), keelson_event_loop_delay_seconds_count: grows(60) },
  },
  KeelsonProcessDown: {
    fires: { 'keelson_process_up{process="2"}': still(0) },
    silent: { 'keelson_process_up{process="2"}': still(1) },
    labels: { process: '2' },
  },
  KeelsonProcessRestarts: {
    fires: { 'keelson_process_restarts_total{process="2"}': '0x55 1x5 2x5 3x5 4x25' },
    silent: { 'keelson_process_restarts_total{process="2"}': once },
    labels: { process: '2' },
  },
  KeelsonFileDescriptors: {
    fires: { process_open_fds: still(900), process_max_fds: still(1024) },
    silent: { process_open_fds: still(200), process_max_fds: still(1024) },
  },
  KeelsonTransportFallback: {
    fires: { keelson_transport_fallback: still(1) },
    silent: { keelson_transport_fallback: still(0) },
  },
  KeelsonDiskReserveReached: {
    fires: { keelson_disk_reserve_reached: still(1) },
    silent: { keelson_disk_reserve_reached: still(0) },
  },
  KeelsonDiskFills: {
    // Of a million bytes 2500 every five minutes.
    fires: {
      'keelson_disk_free_bytes{store="blobs"}': '300000-2500x120',
      'keelson_disk_bytes{store="blobs"}': '1000000x120',
    },
    silent: {
      'keelson_disk_free_bytes{store="blobs"}': '200000-1x120',
      'keelson_disk_bytes{store="blobs"}': '1000000x120',
    },
    ...{ labels: store, at: '8h', interval: '5m' },
  },
  KeelsonInodesLow: {
    fires: {
      'keelson_disk_free_inodes{store="blobs"}': still(4),
      'keelson_disk_inodes{store="blobs"}': still(100),
    },
    silent: {
      'keelson_disk_free_inodes{store="blobs"}': still(50),
      'keelson_disk_inodes{store="blobs"}': still(100),
    },
    labels: store,
  },
  KeelsonIngestMemoryFull: {
    fires: { keelson_ingest_slab_bytes: still(95), keelson_ingest_slab_bytes_max: still(100) },
    silent: { keelson_ingest_slab_bytes: still(80), keelson_ingest_slab_bytes_max: still(100) },
  },
  KeelsonIngestThreadsBusy: {
    fires: {
      'keelson_thread_busy_seconds_total{pool="ingest"}': grows(119),
      'keelson_threads{pool="ingest"}': still(2),
    },
    silent: {
      'keelson_thread_busy_seconds_total{pool="ingest"}': grows(60),
      'keelson_threads{pool="ingest"}': still(2),
    },
    labels: { pool: 'ingest' },
  },
  KeelsonIngestThreadsDie: {
    fires: { keelson_ingest_threads_replaced_total: once },
    silent: { keelson_ingest_threads_replaced_total: still(3) },
  },
  KeelsonStaleReaders: {
    fires: { keelson_lmdb_stale_readers: still(1) },
    silent: { keelson_lmdb_stale_readers: still(0) },
  },
  KeelsonQuotaNearlyUsed: {
    fires: {
      'keelson_quota_used_bytes{prefix="team"}': still(95),
      'keelson_quota_bytes{prefix="team"}': still(100),
    },
    silent: {
      'keelson_quota_used_bytes{prefix="team"}': still(85),
      'keelson_quota_bytes{prefix="team"}': still(100),
    },
    labels: { prefix: 'team' },
  },
  KeelsonMaintenanceOverdue: {
    fires: {
      'keelson_maintenance_last_success_timestamp_seconds{kind="gc"}': still(-3 * 3600),
      'keelson_maintenance_interval_seconds{kind="gc"}': still(3600),
    },
    silent: {
      'keelson_maintenance_last_success_timestamp_seconds{kind="gc"}': still(-1800),
      'keelson_maintenance_interval_seconds{kind="gc"}': still(3600),
      'keelson_maintenance_last_success_timestamp_seconds{kind="scrub"}': still(-day),
      'keelson_maintenance_interval_seconds{kind="scrub"}': still(0),
    },
    labels: { kind: 'gc' },
  },
  KeelsonMaintenanceFails: {
    fires: {
      'keelson_maintenance_runs_total{kind="gc",result="failed"}': '0x55 1x5 2x5 2x25',
      'keelson_maintenance_runs_total{kind="gc",result="refused"}': '0x60 1x5 2x5 2x25',
    },
    silent: {
      'keelson_maintenance_runs_total{kind="gc",result="failed"}': once,
      'keelson_maintenance_runs_total{kind="gc",result="ok"}': grows(1),
    },
    labels: { kind: 'gc' },
  },
  KeelsonScrubFoundProblems: {
    fires: { 'keelson_maintenance_last_ok{kind="scrub"}': still(0) },
    silent: { 'keelson_maintenance_last_ok{kind="scrub"}': still(1) },
    labels: { kind: 'scrub' },
  },
  KeelsonCertificateExpires: {
    fires: { keelson_tls_certificate_not_after_seconds: still(13 * day) },
    silent: { keelson_tls_certificate_not_after_seconds: still(15 * day) },
    also: ['fires-KeelsonCertificateExpiresSoon', 'silent-KeelsonCertificateExpiresSoon'],
  },
  KeelsonCertificateExpiresSoon: {
    fires: { keelson_tls_certificate_not_after_seconds: still(1 * day) },
    silent: { keelson_tls_certificate_not_after_seconds: still(3 * day) },
  },
  KeelsonCrlExpires: {
    fires: { keelson_tls_crl_next_update_seconds: still(day) },
    silent: { keelson_tls_crl_next_update_seconds: still(2 * day) },
  },
  KeelsonTlsReloadFailed: {
    fires: { keelson_tls_last_reload_success: still(0) },
    silent: { keelson_tls_last_reload_success: still(1) },
  },
  KeelsonLoginsRefused: {
    fires: { 'keelson_credentials_refused_total{kind="passwords"}': grows(1) },
    silent: { 'keelson_credentials_refused_total{kind="passwords"}': still(4) },
    labels: { kind: 'passwords' },
  },
  KeelsonLoginsUnavailable: {
    fires: { 'auth_attempts_total{method="ldap",result="unavailable"}': grows(1) },
    silent: { 'auth_attempts_total{method="ldap",result="success"}': grows(1) },
    labels: { method: 'ldap', result: 'unavailable' },
  },
  KeelsonGuessing: {
    fires: { 'auth_attempts_total{method="basic",result="failure"}': grows(400) },
    silent: { 'auth_attempts_total{method="basic",result="failure"}': grows(100) },
  },
  KeelsonGuardsFail: {
    fires: {
      'webhook_authorization_requests_total{webhook="w",result="transport_error"}': grows(1),
    },
    silent: { 'opa_authorization_requests_total{opa="o",result="deny"}': grows(1) },
    labels: { webhook: 'w', result: 'transport_error' },
  },
  KeelsonRevocationsOld: {
    fires: { keelson_token_state_age_seconds: still(400) },
    silent: { keelson_token_state_age_seconds: still(20) },
  },
  KeelsonRedisAway: {
    fires: { keelson_redis_connected: still(0) },
    silent: { keelson_redis_connected: still(1) },
  },
  KeelsonOidcKeysFail: {
    fires: { 'keelson_oidc_last_refresh_success{provider="p"}': still(0) },
    silent: { 'keelson_oidc_last_refresh_success{provider="p"}': still(1) },
    labels: { provider: 'p' },
  },
  KeelsonConfigReloadFailed: {
    fires: { config_last_reload_success: still(0) },
    silent: { config_last_reload_success: still(1) },
  },
  KeelsonRestartRequired: {
    fires: { keelson_config_restart_required_keys: '2x400' },
    silent: { keelson_config_restart_required_keys: '0x400' },
    ...{ at: '30h', interval: '5m' },
  },
  KeelsonAuditIncomplete: {
    fires: { keelson_audit_dropped_total: once },
    silent: { keelson_audit_dropped_total: still(2), keelson_audit_write_errors_total: still(3) },
  },
  KeelsonAuditRefuses: {
    fires: { keelson_audit_refused_total: once },
    silent: { keelson_audit_refused_total: still(2) },
  },
  KeelsonLogLinesDropped: {
    fires: { keelson_log_lines_dropped_total: once },
    silent: { keelson_log_lines_dropped_total: still(2) },
  },
  KeelsonTracesDropped: {
    fires: { keelson_trace_spans_dropped_total: grows(1) },
    silent: { keelson_trace_spans_dropped_total: still(9) },
  },
  KeelsonClockJumped: {
    fires: { keelson_clock_jumps_total: once },
    silent: { keelson_clock_jumps_total: still(1) },
  },
  KeelsonClockNotSynchronized: {
    fires: { keelson_clock_synchronized: still(0) },
    silent: { keelson_clock_synchronized: still(1) },
  },
  KeelsonMetricsUnreadable: {
    fires: { keelson_metric_read_errors_total: grows(1) },
    silent: { keelson_metric_read_errors_total: still(1) },
  },
}
