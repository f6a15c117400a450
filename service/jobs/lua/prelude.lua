-- What all scripts share. KEYS[1] is the prefix of all keys; its hash tag keeps them in one slot of a cluster. FORMAT is
-- the version of this layout:
--   format string: that of the jobs that are kept · staged:... strings that expire: bytes for the script that follows
--   job:ID hash · payload:ID, result:ID strings · keys hash: owner and Idempotency-Key -> ID
--   queue:OWNER sorted by arrival + 4 x cost · owners sorted by start tag: those with queued jobs · tags hash
--   objects sorted by when they are deleted: names of results in object storage that no job has
--   delivery:ID hash: a message for a webhook, with the fields of its job · outbox sorted by when it is due
--   waiting sorted by arrival: queued jobs · leases sorted by their end · finished sorted by the time · totals hash: jobs, queued, payload, result (bytes)
local P = KEYS[1]
local format = redis.call('GET', P .. 'format')
if format and format ~= FORMAT then return redis.error_reply('OTHERFORMAT ' .. format) end
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000

local function total(name) return tonumber(redis.call('HGET', P .. 'totals', name) or '0') end
local function add_total(name, count) redis.call('HINCRBY', P .. 'totals', name, string.format('%d', count)) end  -- -0 is no integer
local function number(text) return tonumber(text or '0') or 0 end
local function get(id, ...) return redis.call('HMGET', P .. 'job:' .. id, ...) end

local function all(id) return redis.call('HGETALL', P .. 'job:' .. id) end

-- An error, if the bytes are not there: Redis had no memory for them.
local function staged_bytes(name)
  if redis.call('EXISTS', P .. 'staged:' .. name) == 0 then error('nothing is staged as ' .. name) end
  return redis.call('STRLEN', P .. 'staged:' .. name)
end

local function take(name, key)
  redis.call('RENAME', P .. 'staged:' .. name, P .. key)
  redis.call('PERSIST', P .. key)
end

local function enqueue(id)
  local job = get(id, 'owner', 'order', 'accepted')
  local owner = job[1]
  redis.call('HSET', P .. 'job:' .. id, 'state', 'queued')
  redis.call('ZADD', P .. 'queue:' .. owner, job[2], id)
  redis.call('ZADD', P .. 'waiting', job[3], id)
  add_total('queued', 1)
  if not redis.call('ZSCORE', P .. 'owners', owner) then
    local tag = math.max(number(redis.call('HGET', P .. 'tags', owner)), number(redis.call('GET', P .. 'virtual')))
    redis.call('ZADD', P .. 'owners', string.format('%.6f', tag), owner)
  end
end

local function dequeue(id, owner)
  if redis.call('ZREM', P .. 'queue:' .. owner, id) == 1 then
    redis.call('ZREM', P .. 'waiting', id)
    add_total('queued', -1)
    if redis.call('EXISTS', P .. 'queue:' .. owner) == 0 then redis.call('ZREM', P .. 'owners', owner) end
  end
end

local function drop_payload(id)
  add_total('payload', -redis.call('STRLEN', P .. 'payload:' .. id))
  redis.call('DEL', P .. 'payload:' .. id)
end

-- Without jobs and messages, a later version may write its own format.
local function forget_format()
  if total('jobs') == 0 and redis.call('EXISTS', P .. 'outbox') == 0 then redis.call('DEL', P .. 'format') end
end

local function forget(id)
  local job = get(id, 'owner', 'key', 'object')
  if job[3] then redis.call('ZADD', P .. 'objects', string.format('%.6f', now), job[3]) end
  if job[1] then
    dequeue(id, job[1])
    local named = job[1] .. '\n' .. (job[2] or '')
    if redis.call('HGET', P .. 'keys', named) == id then redis.call('HDEL', P .. 'keys', named) end
    add_total('jobs', -1)
  end
  drop_payload(id)
  add_total('result', -redis.call('STRLEN', P .. 'result:' .. id))
  redis.call('DEL', P .. 'job:' .. id, P .. 'result:' .. id)
  redis.call('ZREM', P .. 'leases', id)
  redis.call('ZREM', P .. 'finished', id)
  if not redis.call('ZSCORE', P .. 'outbox', id) then redis.call('DEL', P .. 'delivery:' .. id) end
  forget_format()
end

-- Puts the message that a job is over into the outbox, if its webhook wants it.
local function announce(id, state)
  local webhook = get(id, 'webhook')[1]
  if not webhook then return end
  for _, event in ipairs(cjson.decode(webhook).events) do
    if event == state then
      local due = string.format('%.6f', now)
      redis.call('HSET', P .. 'delivery:' .. id, unpack(redis.call('HGETALL', P .. 'job:' .. id)))
      redis.call('HSET', P .. 'delivery:' .. id, 'host', cjson.decode(webhook).host, 'delivery', 'pending', 'tries', '0',
        'ended', due, 'due', due)
      redis.call('ZADD', P .. 'outbox', due, id)
    end
  end
end

local function conclude(id, state, outcome, may_pass, quietly)
  drop_payload(id)
  redis.call('ZREM', P .. 'leases', id)
  redis.call('HSET', P .. 'job:' .. id, 'state', state, 'outcome', outcome, 'may_pass', may_pass)
  redis.call('ZADD', P .. 'finished', string.format('%.6f', now), id)
  if not quietly then announce(id, state) end
end

local function forget_old(seconds)
  local old = redis.call('ZRANGEBYSCORE', P .. 'finished', '-inf', string.format('%.6f', now - seconds))
  for _, id in ipairs(old) do forget(id) end
end

local function is_expendable(id)
  local job = get(id, 'state', 'fetched')
  return job[1] ~= 'done' or job[2] == '1'
end

local function holds(id, attempt)
  local job = get(id, 'state', 'attempt')
  return job[1] == 'running' and job[2] == attempt
end
