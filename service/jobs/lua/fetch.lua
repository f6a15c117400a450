-- ARGV: id. Notes that its result is fetched, if it is done.
if get(ARGV[1], 'state')[1] == 'done' then redis.call('HSET', P .. 'job:' .. ARGV[1], 'fetched', '1') end
return 1
