// Lua for wrk. GET: wrk's own loop, its summary printed as JSON. HEAD: wrk waits for a body that
// never comes, so the script drives its own epoll loop through LuaJIT's FFI inside wrk.

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

// One request in flight per connection; an answer without body is complete when it ends in an
// empty line. Latencies go to a histogram of 10 µs steps up to 1 s.
export const BODYLESS_SCRIPT: string = `
local ffi = require('ffi')
ffi.cdef[[
struct event { uint32_t events; uint64_t data; } __attribute__((packed));
struct address { uint16_t family; uint16_t port; uint32_t host; char zero[8]; };
struct time { long seconds; long nanoseconds; };
int socket(int, int, int);
int connect(int, const void *, unsigned);
long send(int, const void *, size_t, int);
long recv(int, void *, size_t, int);
int epoll_create1(int);
int epoll_ctl(int, int, int, struct event *);
int epoll_wait(int, struct event *, int, int);
int clock_gettime(int, struct time *);
]]
local C = ffi.C
local request = os.getenv('BENCH_REQUEST')
local port = tonumber(os.getenv('BENCH_PORT'))
local connections = tonumber(os.getenv('BENCH_CONNECTIONS'))
local duration = tonumber(os.getenv('BENCH_SECONDS'))
local wanted = os.getenv('BENCH_STATUS')

local clock = ffi.new('struct time')
local function now()
  C.clock_gettime(1, clock)
  return tonumber(clock.seconds) + tonumber(clock.nanoseconds) / 1e9
end

local swapped = (port % 256) * 256 + math.floor(port / 256)
local address = ffi.new('struct address', {2, swapped, 0x0100007f})
local epoll = C.epoll_create1(0)
local size = 65536
local buffer = ffi.new('char[?]', size)
local sent, begun = {}, {}
local steps = 100000
local histogram = ffi.new('uint32_t[?]', steps + 1)
local count, bytes = 0, 0

for _ = 1, connections do
  local fd = C.socket(2, 1, 0)
  assert(C.connect(fd, address, 16) == 0, 'connect')
  local event = ffi.new('struct event')
  event.events = 1
  event.data = fd
  C.epoll_ctl(epoll, 1, fd, event)
  sent[fd] = now()
  C.send(fd, request, #request, 0)
end

local events = ffi.new('struct event[?]', 256)
local start = now()
local time = start
while time < start + duration do
  local ready = C.epoll_wait(epoll, events, 256, 1000)
  time = now()
  for i = 0, ready - 1 do
    local fd = tonumber(events[i].data)
    local got = tonumber(C.recv(fd, buffer, size, 0))
    assert(got > 0, 'the server closed the connection')
    bytes = bytes + got
    if not begun[fd] then
      local status = ffi.string(buffer + 9, 3)
      assert(status == wanted, 'status ' .. status)
    end
    local ended = buffer[got - 1] == 10 and (got < 4 or buffer[got - 3] == 10)
    begun[fd] = not ended
    if ended then
      local finished = now()
      local step = math.min(steps, math.floor((finished - sent[fd]) * 1e5))
      histogram[step] = histogram[step] + 1
      count = count + 1
      sent[fd] = finished
      C.send(fd, request, #request, 0)
    end
  end
end

local function percentile(share)
  local seen = 0
  for step = 0, steps do
    seen = seen + histogram[step]
    if seen >= share * count then return (step + 0.5) / 100 end
  end
  return steps / 100
end
io.write(string.format(
  'RESULT {"requests":%d,"bytes":%d,"seconds":%.6f,"errors":0,' ..
  '"latencyMs":{"p50":%.4f,"p90":%.4f,"p99":%.4f,"p999":%.4f}}\\n',
  count, bytes, time - start,
  percentile(0.5), percentile(0.9), percentile(0.99), percentile(0.999)))
io.stdout:flush()
os.exit(0)
`
