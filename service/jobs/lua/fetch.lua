-- ARGV: id. Returns the result, or false: there is none, or it is an object elsewhere.
local result = redis.call('GET', P .. 'result:' .. ARGV[1])
if result or get(ARGV[1], 'object')[1] then redis.call('HSET', P .. 'job:' .. ARGV[1], 'fetched', '1') end
return result
