-- Returns how many leases have ended and, if a job is started, its id and fields.
-- ARGV: lease seconds, whether to take over (1 or 0), most attempts, problem (JSON) of a job beyond them.
local expired = 0
if ARGV[2] == '1' then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', string.format('%.6f', now))) do
    redis.call('ZREM', P .. 'leases', id)
    expired = expired + 1
    local tries = get(id, 'attempt', 'released')
    if number(tries[1]) - number(tries[2]) >= tonumber(ARGV[3]) then conclude(id, 'failed', ARGV[4], '1') else enqueue(id) end
  end
end
local first = redis.call('ZRANGE', P .. 'owners', 0, 0, 'WITHSCORES')
if not first[1] then return {expired} end
local owner, tag = first[1], tonumber(first[2])
local id = redis.call('ZRANGE', P .. 'queue:' .. owner, 0, 0)[1]
dequeue(id, owner)
local after = string.format('%.6f', tag + number(get(id, 'cost')[1]))
redis.call('SET', P .. 'virtual', string.format('%.6f', math.max(tag, number(redis.call('GET', P .. 'virtual')))))
redis.call('HSET', P .. 'tags', owner, after)
if redis.call('ZSCORE', P .. 'owners', owner) then redis.call('ZADD', P .. 'owners', after, owner) end
if redis.call('EXISTS', P .. 'owners') == 0 then redis.call('DEL', P .. 'tags') end
redis.call('HINCRBY', P .. 'job:' .. id, 'attempt', 1)
redis.call('HSET', P .. 'job:' .. id, 'state', 'running', 'progress', '{}')
redis.call('ZADD', P .. 'leases', string.format('%.6f', now + tonumber(ARGV[1])), id)
return {expired, id, all(id)}
