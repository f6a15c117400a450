-- ARGV: id, attempt, state, outcome (JSON), whether it may pass (1 or 0), most bytes, problem of a large result,
--   bytes of the result, wherever it is, name of its object, if the service has it as one. The result is staged.
local id, most_bytes, object = ARGV[1], tonumber(ARGV[6]), ARGV[9]
local staged = id .. ':' .. ARGV[2]
local result_bytes = staged_bytes(staged)
if not holds(id, ARGV[2]) then return 0 end
if object ~= '' and redis.call('ZREM', P .. 'objects', object) == 0 then return 0 end  -- it is deleted by now
drop_payload(id)
local function room() return total('payload') + total('result') + result_bytes <= most_bytes end
for _, expendable in ipairs({true, false}) do
  if room() then break end
  for _, old in ipairs(redis.call('ZRANGE', P .. 'finished', 0, -1)) do
    if room() then break end
    if is_expendable(old) or not expendable then forget(old) end
  end
end
if not room() then
  if object ~= '' then redis.call('ZADD', P .. 'objects', string.format('%.6f', now), object) end
  conclude(id, 'failed', ARGV[7], '0')
  return 1
end
if object == '' then take(staged, 'result:' .. id) end
redis.call('HSET', P .. 'job:' .. id, 'result_bytes', ARGV[8])
if object ~= '' then
  redis.call('HSET', P .. 'job:' .. id, 'object', object)
elseif tonumber(ARGV[8]) > result_bytes then
  redis.call('HSET', P .. 'job:' .. id, 'fetched', '1')  -- the client has named an object for it
end
add_total('result', result_bytes)
conclude(id, ARGV[3], ARGV[4], ARGV[5])
return 1
