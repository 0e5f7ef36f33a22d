// Lua for wrk: its own loop, the summary printed as JSON.

export const GET_SCRIPT: string = `
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"bytes":%d,"seconds":%.6f,"errors":%d,' ..
    '"latencyMs":{"p50":%.4f,"p90":%.4f,"p99":%.4f,"p999":%.4f}}\\n',
    summary.requests, summary.bytes, summary.duration / 1e6,
    e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1e3, latency:percentile(90) / 1e3,
    latency:percentile(99) / 1e3, latency:percentile(99.9) / 1e3))
end
`
