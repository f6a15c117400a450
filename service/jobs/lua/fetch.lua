-- ARGV: id. Returns the result, or false.
local result = redis.call('GET', P .. 'result:' .. ARGV[1])
if result then redis.call('HSET', P .. 'job:' .. ARGV[1], 'fetched', '1') end
return result
