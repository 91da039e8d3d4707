-- wrk's side: one request repeated, or a POST whose body is the next line of a file, and the
-- summary as one line of JSON.
local bodies, position, fixed = nil, 0, nil

function init(args)
  if args[1] == nil then
    fixed = wrk.format("GET")
    return
  end
  wrk.method = "POST"
  wrk.headers["content-type"] = "application/x-www-form-urlencoded"
  bodies = {}
  for line in io.lines(args[1]) do
    bodies[#bodies + 1] = line
  end
  if #bodies == 1 then
    fixed = wrk.format(nil, nil, nil, bodies[1])
  end
end

function request()
  if fixed then
    return fixed
  end
  position = position % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[position])
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"micros":%d,"bytes":%d,"refused":%d,"broken":%d,"p50":%d,"p99":%d}\n',
    summary.requests, summary.duration, summary.bytes, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
