-- ARGV: id, attempt, state, seconds until the next attempt, status (0: none), error. Only the latest attempt counts.
local id, delivery = ARGV[1], P .. 'delivery:' .. ARGV[1]
local last = redis.call('HMGET', delivery, 'tries', 'delivery')
if last[1] ~= ARGV[2] or last[2] ~= 'pending' then return 0 end
local due = string.format('%.6f', now + tonumber(ARGV[4]))
redis.call('HSET', delivery, 'delivery', ARGV[3], 'status', ARGV[5], 'error', ARGV[6], 'due', due)
if ARGV[3] == 'pending' then
  redis.call('ZADD', P .. 'outbox', due, id)
else
  redis.call('ZREM', P .. 'outbox', id)
  if redis.call('EXISTS', P .. 'job:' .. id) == 0 then redis.call('DEL', delivery) end
  forget_format()
end
return 1
