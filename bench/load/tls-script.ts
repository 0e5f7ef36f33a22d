// Lua for wrk: a TLS client in an epoll loop of its own, on the libssl that wrk has loaded, called
// through LuaJIT's FFI. wrk alone can neither resume sessions, nor show a client certificate, nor
// open a connection for each request; a client in JavaScript is slower than the servers.

const DECLARATIONS = `
struct event { uint32_t events; uint64_t data; } __attribute__((packed));
struct address { uint16_t family; uint16_t port; uint32_t host; char zero[8]; };
struct time { long seconds; long nanoseconds; };
int socket(int, int, int);
int connect(int, const void *, unsigned);
int setsockopt(int, int, int, const void *, unsigned);
int ioctl(int, unsigned long, ...);
int shutdown(int, int);
int close(int);
long recv(int, void *, size_t, int);
int epoll_create1(int);
int epoll_ctl(int, int, int, struct event *);
int epoll_wait(int, struct event *, int, int);
int clock_gettime(int, struct time *);
typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_st SSL;
typedef struct ssl_session_st SSL_SESSION;
const void *TLS_client_method(void);
SSL_CTX *SSL_CTX_new(const void *);
long SSL_CTX_ctrl(SSL_CTX *, int, long, void *);
int SSL_CTX_set_ciphersuites(SSL_CTX *, const char *);
int SSL_CTX_set_cipher_list(SSL_CTX *, const char *);
void SSL_CTX_set_default_read_buffer_len(SSL_CTX *, size_t);
int SSL_CTX_use_certificate_chain_file(SSL_CTX *, const char *);
int SSL_CTX_use_PrivateKey_file(SSL_CTX *, const char *, int);
SSL *SSL_new(SSL_CTX *);
void SSL_free(SSL *);
int SSL_set_fd(SSL *, int);
void SSL_set_connect_state(SSL *);
int SSL_do_handshake(SSL *);
int SSL_get_error(const SSL *, int);
int SSL_read(SSL *, void *, int);
int SSL_write(SSL *, const void *, int);
int SSL_shutdown(SSL *);
int SSL_set_session(SSL *, SSL_SESSION *);
SSL_SESSION *SSL_get1_session(SSL *);
int SSL_session_reused(const SSL *);
unsigned long ERR_get_error(void);
char *ERR_error_string(unsigned long, char *);
`

// Same cipher, curve and certificate chain for every server. 123 and 124 are OpenSSL's controls for
// the lowest and the highest version, 92 for the groups, 41 for reading ahead.
const CONTEXT = `
local ffi = require('ffi')
ffi.cdef[[${DECLARATIONS}]]
local C = ffi.C
local tls = ffi.load('libssl.so.3')
local crypto = ffi.load('libcrypto.so.3')

local env = os.getenv
local mode = env('BENCH_MODE')
local port = tonumber(env('BENCH_PORT'))
local connections = tonumber(env('BENCH_CONNECTIONS'))
local duration = tonumber(env('BENCH_SECONDS'))
local wanted = env('BENCH_STATUS')
local request = env('BENCH_REQUEST')
local certificate = env('BENCH_CERTIFICATE')
local version = env('BENCH_TLS_VERSION') == '1.2' and 0x0303 or 0x0304
local WANT_READ = 2

local function fail(what)
  local code = crypto.ERR_get_error()
  error(what .. (code == 0 and '' or ': ' .. ffi.string(crypto.ERR_error_string(code, nil))))
end

local context = tls.SSL_CTX_new(tls.TLS_client_method())
local groups = ffi.new('char[13]', 'X25519:P-256')
tls.SSL_CTX_ctrl(context, 123, version, nil)
tls.SSL_CTX_ctrl(context, 124, version, nil)
tls.SSL_CTX_ctrl(context, 92, 0, groups)
tls.SSL_CTX_ctrl(context, 41, 1, nil)
tls.SSL_CTX_set_default_read_buffer_len(context, 131072)
tls.SSL_CTX_set_ciphersuites(context, 'TLS_AES_128_GCM_SHA256')
tls.SSL_CTX_set_cipher_list(context, 'ECDHE-ECDSA-AES128-GCM-SHA256')
if certificate then
  if tls.SSL_CTX_use_certificate_chain_file(context, certificate) ~= 1 then fail('certificate') end
  if tls.SSL_CTX_use_PrivateKey_file(context, env('BENCH_KEY'), 1) ~= 1 then fail('key') end
end

local clock = ffi.new('struct time')
local function now()
  C.clock_gettime(1, clock)
  return tonumber(clock.seconds) + tonumber(clock.nanoseconds) / 1e9
end
`

// Latencies go to a histogram of 10 µs steps up to 1 s.
const CONNECTIONS = `
local swapped = (port % 256) * 256 + math.floor(port / 256)
local address = ffi.new('struct address', {2, swapped, 0x0100007f})
local one = ffi.new('int[1]', 1)
local epoll = C.epoll_create1(0)
local size = 131072
local buffer = ffi.new('char[?]', size)
local event = ffi.new('struct event')
local session, length
local steps = 100000
local histogram = ffi.new('uint32_t[?]', steps + 1)
local count, bytes, full, resumed = 0, 0, 0, 0
-- Each by file descriptor; 'began' is when what is being measured began.
local handles, greeted, leaving, left, began = {}, {}, {}, {}, {}

local function finish(fd)
  local time = now()
  local step = math.min(steps, math.floor((time - began[fd]) * 1e5))
  histogram[step] = histogram[step] + 1
  count = count + 1
  began[fd] = time
end

local function ask(fd)
  left[fd] = nil
  if tls.SSL_write(handles[fd], request, #request) ~= #request then fail('write') end
end

local function greet(fd)
  local handle = handles[fd]
  local result = tls.SSL_do_handshake(handle)
  if result ~= 1 then
    if tls.SSL_get_error(handle, result) ~= WANT_READ then fail('handshake') end
    return
  end
  greeted[fd] = true
  if tls.SSL_session_reused(handle) == 1 then resumed = resumed + 1 else full = full + 1 end
  if mode == 'handshake' then
    -- The server ends the connection only after it has taken the last message of our handshake.
    tls.SSL_shutdown(handle)
    C.shutdown(fd, 1)
    leaving[fd] = true
  else
    if mode == 'keepalive' then began[fd] = now() end
    ask(fd)
  end
end

local function open()
  local fd = C.socket(2, 1, 0)
  began[fd] = now()
  assert(C.connect(fd, address, 16) == 0, 'connect')
  C.ioctl(fd, 0x5421, one)
  C.setsockopt(fd, 6, 1, one, 4)
  local handle = tls.SSL_new(context)
  tls.SSL_set_fd(handle, fd)
  tls.SSL_set_connect_state(handle)
  if session then tls.SSL_set_session(handle, session) end
  handles[fd], greeted[fd], leaving[fd] = handle, false, false
  event.events = 1
  event.data = fd
  C.epoll_ctl(epoll, 1, fd, event)
  greet(fd)
  return fd
end

local function close(fd)
  if not leaving[fd] then tls.SSL_shutdown(handles[fd]) end
  tls.SSL_free(handles[fd])
  handles[fd] = nil
  C.close(fd)
end

-- True when the answer is complete. The first one of all tells the length of the others.
local function take(fd)
  local handle = handles[fd]
  while true do
    local got = tls.SSL_read(handle, buffer, size)
    if got <= 0 then
      if tls.SSL_get_error(handle, got) ~= WANT_READ then fail('read') end
      return false
    end
    bytes = bytes + got
    if left[fd] == nil then
      local status = ffi.string(buffer + 9, 3)
      assert(status == wanted, 'status ' .. status)
      if length == nil then
        local text = ffi.string(buffer, got)
        local _, head = text:find('\\r\\n\\r\\n', 1, true)
        length = head + tonumber(text:lower():match('\\ncontent%-length: (%d+)'))
      end
      left[fd] = length
    end
    left[fd] = left[fd] - got
    assert(left[fd] >= 0, 'an answer of another length')
    if left[fd] == 0 then return true end
  end
end
`

// One connection off the clock has the ticket that the others resume. BoringSSL sends tickets only
// with its first answer, so that connection asks for something.
const LOAD = `
local events = ffi.new('struct event[?]', 256)

if env('BENCH_RESUME') == '1' then
  local rest = mode
  mode = 'connect'
  local fd = open()
  local answered = false
  while not answered do
    assert(C.epoll_wait(epoll, events, 1, 5000) == 1, 'no answer')
    if greeted[fd] then answered = take(fd) else greet(fd) end
  end
  session = tls.SSL_get1_session(handles[fd])
  close(fd)
  mode = rest
  bytes, full = 0, 0
end

local function step(fd)
  if leaving[fd] then
    if C.recv(fd, buffer, size, 0) > 0 then return end
  elseif not greeted[fd] then
    return greet(fd)
  elseif not take(fd) then
    return
  end
  finish(fd)
  if mode == 'keepalive' then return ask(fd) end
  close(fd)
  open()
end

local start = now()
for _ = 1, connections do open() end
-- A large download may outlast the round: there is always one to tell of.
while now() < start + duration or (count == 0 and now() < start + duration + 20) do
  local ready = C.epoll_wait(epoll, events, 256, 1000)
  for i = 0, ready - 1 do step(tonumber(events[i].data)) end
end
local seconds = now() - start

local function percentile(share)
  local seen = 0
  for at = 0, steps do
    seen = seen + histogram[at]
    if seen >= share * count then return (at + 0.5) / 100 end
  end
  return steps / 100
end
io.write(string.format(
  'RESULT {"requests":%d,"bytes":%d,"seconds":%.6f,"full":%d,"resumed":%d,' ..
  '"latencyMs":{"p50":%.4f,"p90":%.4f,"p99":%.4f,"p999":%.4f}}\\n',
  count, bytes, seconds, full, resumed,
  percentile(0.5), percentile(0.9), percentile(0.99), percentile(0.999)))
io.stdout:flush()
os.exit(0)
`

export const TLS_SCRIPT: string = CONTEXT + CONNECTIONS + LOAD
