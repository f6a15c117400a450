-- ARGV: most names, seconds for the caller to delete them. Returns names of objects to delete.
local due = redis.call('ZRANGEBYSCORE', P .. 'objects', '-inf', string.format('%.6f', now), 'LIMIT', 0, tonumber(ARGV[1]))
for _, name in ipairs(due) do
  redis.call('ZADD', P .. 'objects', string.format('%.6f', now + tonumber(ARGV[2])), name)
end
return due
