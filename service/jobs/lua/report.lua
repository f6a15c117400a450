-- ARGV: lease seconds, then id, attempt, progress (JSON) of each job. Returns the ids that are no longer leased.
local lost = {}
for i = 2, #ARGV, 3 do
  local id = ARGV[i]
  if holds(id, ARGV[i + 1]) then
    redis.call('ZADD', P .. 'leases', string.format('%.6f', now + tonumber(ARGV[1])), id)
    redis.call('HSET', P .. 'job:' .. id, 'progress', ARGV[i + 2])
  else
    lost[#lost + 1] = id
  end
end
return lost
