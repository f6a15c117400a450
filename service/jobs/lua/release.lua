-- ARGV: id, attempt.
if not holds(ARGV[1], ARGV[2]) then return 0 end
redis.call('ZREM', P .. 'leases', ARGV[1])
redis.call('HINCRBY', P .. 'job:' .. ARGV[1], 'released', 1)
enqueue(ARGV[1])
return 1
