-- ARGV: lease seconds, most messages, most per host, then host and number of each host that the caller is busy with.
-- Returns id and fields of each message that the caller shall deliver now.
local lease, most, most_per_host, busy, found = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), {}, {}
for i = 4, #ARGV, 2 do busy[ARGV[i]] = tonumber(ARGV[i + 1]) end
local due = string.format('%.6f', now + tonumber(lease))
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'outbox', '-inf', string.format('%.6f', now), 'LIMIT', 0, 1000)) do
  if #found >= 2 * most then break end
  local delivery = P .. 'delivery:' .. id
  local host = redis.call('HGET', delivery, 'host')
  if (busy[host] or 0) < most_per_host then
    busy[host] = (busy[host] or 0) + 1
    redis.call('HINCRBY', delivery, 'tries', 1)
    redis.call('HSET', delivery, 'due', due)
    redis.call('ZADD', P .. 'outbox', due, id)
    found[#found + 1] = id
    found[#found + 1] = redis.call('HGETALL', delivery)
  end
end
return found
