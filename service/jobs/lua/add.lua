-- ARGV: id, owner, key, fingerprint, cost, fields (JSON), most jobs, most bytes, result seconds, most messages,
--   webhook (JSON, or empty). The payload is staged. Returns new or known, with id and fields of the job, or a limit.
local id, owner, key, fingerprint = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local most_jobs, most_bytes = tonumber(ARGV[7]), tonumber(ARGV[8])
if get(id, 'state')[1] then return {'new', id, all(id)} end  -- the answer to the first try was lost
local payload_bytes = staged_bytes(id)
forget_old(tonumber(ARGV[9]))
local named = owner .. '\n' .. key
local known = key ~= '' and redis.call('HGET', P .. 'keys', named)
if known then
  local job = get(known, 'fingerprint', 'state', 'may_pass')
  if job[1] and job[1] ~= fingerprint then return {'reused', ''} end
  if job[1] and job[2] ~= 'cancelled' and job[3] ~= '1' then return {'known', known, all(known)} end
  forget(known)
end
if 2 * (total('payload') + payload_bytes) > most_bytes then
  return {'bytes', tostring(total('payload') + payload_bytes)}
end
if total('jobs') >= most_jobs then
  for _, old in ipairs(redis.call('ZRANGE', P .. 'finished', 0, -1)) do
    if total('jobs') < most_jobs then break end
    if is_expendable(old) then forget(old) end
  end
end
if total('jobs') >= most_jobs then return {'jobs', tostring(total('jobs'))} end
if ARGV[11] ~= '' and redis.call('ZCARD', P .. 'outbox') >= tonumber(ARGV[10]) then
  return {'messages', tostring(redis.call('ZCARD', P .. 'outbox'))}
end
if ARGV[11] ~= '' then redis.call('HSET', P .. 'job:' .. id, 'webhook', ARGV[11]) end
redis.call('HSET', P .. 'job:' .. id, 'owner', owner, 'key', key, 'fingerprint', fingerprint, 'cost', ARGV[5],
  'fields', ARGV[6], 'attempt', '0', 'accepted', string.format('%.6f', now),
  'order', string.format('%.6f', now + 4 * tonumber(ARGV[5])))
take(id, 'payload:' .. id)
redis.call('SET', P .. 'format', FORMAT)
add_total('jobs', 1)
add_total('payload', payload_bytes)
if key ~= '' then redis.call('HSET', P .. 'keys', named, id) end
enqueue(id)
return {'new', id, all(id)}
