-- ARGV: name of an object, seconds after which it is deleted, unless a job that is done has it by then.
redis.call('ZADD', P .. 'objects', string.format('%.6f', now + tonumber(ARGV[2])), ARGV[1])
return 1
