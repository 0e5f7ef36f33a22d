// Lua for wrk: each connection sends the same sequence of requests over and over, of any methods
// and with the status that each must have. Answers to HEAD and those of 304 have no body, others one with a length.

// Latencies are of whole sequences, in steps of 10 µs up to 1 s. What comes in pieces is put together.
export const SEQUENCE_SCRIPT: string = `
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
local port = tonumber(os.getenv('BENCH_PORT'))
local connections = tonumber(os.getenv('BENCH_CONNECTIONS'))
local duration = tonumber(os.getenv('BENCH_SECONDS'))
local steps = {}
for line in io.lines(os.getenv('BENCH_SEQUENCE')) do
  local status, bodyless, hex = line:match('^(%d+) (%d) (%x+)$')
  local bytes = hex:gsub('%x%x', function(byte) return string.char(tonumber(byte, 16)) end)
  steps[#steps + 1] = { status = status, bodyless = bodyless == '1', bytes = bytes }
end
assert(#steps > 0, 'an empty sequence')

local clock = ffi.new('struct time')
local function now()
  C.clock_gettime(1, clock)
  return tonumber(clock.seconds) + tonumber(clock.nanoseconds) / 1e9
end

local swapped = (port % 256) * 256 + math.floor(port / 256)
local address = ffi.new('struct address', {2, swapped, 0x0100007f})
local epoll = C.epoll_create1(0)
local size = 262144
local buffer = ffi.new('char[?]', size)
local place, begun, received = {}, {}, {}
local most = 100000
local histogram = ffi.new('uint32_t[?]', most + 1)
local count, bytes = 0, 0

local function ask(fd)
  local text = steps[place[fd]].bytes
  assert(C.send(fd, text, #text, 0) == #text, 'a short write')
end

-- Whether the buffer holds one whole answer without a body, as nearly always: no text is made of it.
local function isWhole(got, step)
  if not step.bodyless or got < 16 then return false end
  if buffer[got - 1] ~= 10 or buffer[got - 3] ~= 10 then return false end
  local status = ffi.string(buffer + 9, 3)
  assert(status == step.status, 'status ' .. status .. ', wanted ' .. step.status)
  return true
end

-- The bytes of the answer that starts the text, or nil while it is not whole.
local function answer(text, step)
  local _, last = text:find('\\r\\n\\r\\n', 1, true)
  if not last then return nil end
  local status = text:sub(10, 12)
  assert(status == step.status, 'status ' .. status .. ', wanted ' .. step.status .. ': ' .. text)
  if step.bodyless then return last end
  local length = text:sub(1, last):lower():match('\\ncontent%-length: (%d+)')
  assert(length or status == '204', 'no length: ' .. text)
  local whole = last + tonumber(length or 0)
  if #text < whole then return nil end
  return whole
end

local start, time
local function run()
  for _ = 1, connections do
    local fd = C.socket(2, 1, 0)
    assert(C.connect(fd, address, 16) == 0, 'connect')
    local event = ffi.new('struct event')
    event.events = 1
    event.data = fd
    C.epoll_ctl(epoll, 1, fd, event)
    place[fd] = 1
    received[fd] = ''
    begun[fd] = now()
    ask(fd)
  end

  local events = ffi.new('struct event[?]', 256)
  start = now()
  time = start
  -- However short the round, one sequence is seen to its end.
  while time < start + duration or count == 0 do
    assert(time < start + duration + 20, 'the server does not answer')
    local ready = C.epoll_wait(epoll, events, 256, 1000)
    time = now()
    for i = 0, ready - 1 do
      local fd = tonumber(events[i].data)
      local got = tonumber(C.recv(fd, buffer, size, 0))
      assert(got > 0, 'the server closed the connection')
      bytes = bytes + got
      local text = ''
      local ended = received[fd] == '' and isWhole(got, steps[place[fd]])
      if not ended then
        text = received[fd] .. ffi.string(buffer, got)
        local whole = answer(text, steps[place[fd]])
        assert(not whole or whole == #text, 'more than the answer')
        ended = whole ~= nil
      end
      if ended then
        received[fd] = ''
        place[fd] = place[fd] + 1
        if place[fd] > #steps then
          place[fd] = 1
          local finished = now()
          local step = math.min(most, math.floor((finished - begun[fd]) * 1e5))
          histogram[step] = histogram[step] + 1
          count = count + 1
          begun[fd] = finished
        end
        ask(fd)
      else
        received[fd] = text
      end
    end
  end
end

-- wrk would tell what is wrong on its standard error, and go on with a load of its own.
local isDone, cause = pcall(run)
if not isDone then
  io.stderr:write(tostring(cause), '\\n')
  os.exit(1)
end

local function percentile(share)
  local seen = 0
  for step = 0, most do
    seen = seen + histogram[step]
    if seen >= share * count then return (step + 0.5) / 100 end
  end
  return most / 100
end
io.write(string.format(
  'RESULT {"requests":%d,"bytes":%d,"seconds":%.6f,' ..
  '"latencyMs":{"p50":%.4f,"p90":%.4f,"p99":%.4f,"p999":%.4f}}\\n',
  count, bytes, time - start,
  percentile(0.5), percentile(0.9), percentile(0.99), percentile(0.999)))
io.stdout:flush()
os.exit(0)
`
