-- ARGV: result seconds. Returns the numbers of queued, running and finished jobs, bytes, the oldest wait in ms, and
-- the number of messages to deliver.
forget_old(tonumber(ARGV[1]))
local oldest = redis.call('ZRANGE', P .. 'waiting', 0, 0, 'WITHSCORES')[2]
local waited = oldest and math.max(0, now - tonumber(oldest)) or 0
return {total('queued'), redis.call('ZCARD', P .. 'leases'), redis.call('ZCARD', P .. 'finished'),
  total('payload') + total('result'), math.floor(1000 * waited), redis.call('ZCARD', P .. 'outbox')}
