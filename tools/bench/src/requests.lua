-- Sends the requests of lines FIRST to LAST of the file LIST, again and again. Each line is "uniqueId session".
-- The last line of the output is the result as JSON.
local ids, tokens = {}, {}
local thread
used = 0

local function env(name) return (assert(os.getenv(name), name)) end

function setup(one) thread = one end

function init()
  local first, last, at = tonumber(env("FIRST")), tonumber(env("LAST")), 0
  for line in io.lines(env("LIST")) do
    at = at + 1
    if at > last then break end
    if at >= first then ids[#ids + 1], tokens[#tokens + 1] = line:match("^(%S+) (%S+)$") end
  end
  total = #ids
end

function request()
  local number = used % total + 1
  used = used + 1
  return "GET /sdk-token?uniqueId=" .. ids[number] .. " HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer "
    .. tokens[number] .. "\r\n\r\n"
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"latency":{"p50Ms":%.4f,"p99Ms":%.4f},"durationMs":%.3f,"requests":%d,"failed":%d,"taken":%d,"listed":%d}\n',
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, summary.duration / 1000, summary.requests,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout,
    thread:get("used"), thread:get("total")))
end
