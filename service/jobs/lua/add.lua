-- ARGV: id, owner, key, fingerprint, payload, cost, fields (JSON), most jobs, most bytes, result seconds,
--   most messages, webhook (JSON, or empty).
local id, owner, key, fingerprint, payload = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local most_jobs, most_bytes = tonumber(ARGV[8]), tonumber(ARGV[9])
if get(id, 'state')[1] then return {'new', id} end  -- the answer to the first try was lost
forget_old(tonumber(ARGV[10]))
local named = owner .. '\n' .. key
local known = key ~= '' and redis.call('HGET', P .. 'keys', named)
if known then
  local job = get(known, 'fingerprint', 'state', 'may_pass')
  if job[1] and job[1] ~= fingerprint then return {'reused', ''} end
  if job[1] and job[2] ~= 'cancelled' and job[3] ~= '1' then return {'known', known} end
  forget(known)
end
if 2 * (total('payload') + #payload) > most_bytes then return {'bytes', tostring(total('payload') + #payload)} end
if total('jobs') >= most_jobs then
  for _, old in ipairs(redis.call('ZRANGE', P .. 'finished', 0, -1)) do
    if total('jobs') < most_jobs then break end
    if is_expendable(old) then forget(old) end
  end
end
if total('jobs') >= most_jobs then return {'jobs', tostring(total('jobs'))} end
if ARGV[12] ~= '' and redis.call('ZCARD', P .. 'outbox') >= tonumber(ARGV[11]) then
  return {'messages', tostring(redis.call('ZCARD', P .. 'outbox'))}
end
if ARGV[12] ~= '' then redis.call('HSET', P .. 'job:' .. id, 'webhook', ARGV[12]) end
redis.call('HSET', P .. 'job:' .. id, 'owner', owner, 'key', key, 'fingerprint', fingerprint, 'cost', ARGV[6],
  'fields', ARGV[7], 'attempt', '0', 'accepted', string.format('%.6f', now),
  'order', string.format('%.6f', now + 4 * tonumber(ARGV[6])))
redis.call('SET', P .. 'payload:' .. id, payload)
add_total('jobs', 1)
add_total('payload', #payload)
if key ~= '' then redis.call('HSET', P .. 'keys', named, id) end
enqueue(id)
return {'new', id}
