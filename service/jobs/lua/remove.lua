-- ARGV: id, whether to tell the webhook (1 or 0).
local job = get(ARGV[1], 'state', 'owner')
if job[1] == 'queued' or job[1] == 'running' then
  dequeue(ARGV[1], job[2])
  conclude(ARGV[1], 'cancelled', '{}', '0', ARGV[2] == '0')
elseif job[1] then
  forget(ARGV[1])
end
return 1
