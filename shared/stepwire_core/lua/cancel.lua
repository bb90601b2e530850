-- Asks for a run, and all that it has started, to be cancelled, and tells the workers.
--
-- KEYS  log, state, meta, open
-- ARGV  run, channel of the cancellations, publish command, session, '1' if only what it has started is meant
--
-- Returns {'ok'}, {'ended'}, {'norun'}, or {'unknown'}.

local meta, run = KEYS[3], ARGV[1]
if redis.call('EXISTS', meta) == 0 then return {'unknown'} end

local fields, value, children = redis.call('HGETALL', meta), {}, {}
for i = 1, #fields, 2 do
  value[fields[i]] = fields[i + 1]
  local child = string.match(fields[i], '^k:(.+)$')
  if child then
    children[fields[i + 1]] = children[fields[i + 1]] or {}
    table.insert(children[fields[i + 1]], child)
  end
end

local function over(id) return not value['r:' .. id] or string.find(value['r:' .. id], '!', 1, true) end

local doomed, i = {run}, 1
while doomed[i] do
  local id = doomed[i]
  if not over(id) and not (i == 1 and ARGV[5] == '1') then
    -- Kept: a run that still waits for a worker is cancelled when one begins it.
    redis.call('HSET', meta, 'c:' .. id, '')
    redis.call(ARGV[3], ARGV[2], ARGV[4] .. ' ' .. id)
  end
  for _, child in ipairs(children[id] or {}) do table.insert(doomed, child) end
  children[id] = nil
  i = i + 1
end

if not value['r:' .. run] then return {'norun'} end
if over(run) then return {'ended'} end
return {'ok'}
