-- The keys of a session, and its end. It stands before the scripts that need either.

-- The keys of a session beside KEYS, beside `out:<field>:<step>` for each text that streams, and beside `durable:<run>` for
-- each run with results of durable steps.
local BESIDE = {'tail', 'user', 'files', 'turns', 'waiting', 'results', 'durable', 'requests'}

-- What the names of a session's keys begin with.
local function base_of(keys) return string.sub(keys[1], 1, -4) end

-- The channel of a session; `suffix` is what the names of channels end in.
local function channel_of(base, suffix) return string.sub(base, 1, -2) .. suffix end

-- Removes all of a session, except `ending`, which the rest of a deletion needs.
local function clear(keys)
  local base = base_of(keys)
  for _, member in ipairs(redis.call('HKEYS', keys[4])) do redis.call('UNLINK', base .. 'out:' .. member) end
  for _, run in ipairs(redis.call('HKEYS', base .. 'durable')) do redis.call('UNLINK', base .. 'durable:' .. run) end
  local all = {unpack(keys)}
  for _, name in ipairs(BESIDE) do all[#all + 1] = base .. name end
  redis.call('UNLINK', unpack(all))
end

-- Ends a session that has lost its state, and tells its readers, on that channel.
local function end_lost(keys, channel)
  clear(keys)
  redis.call(NEWS, channel, GONE)
end
