-- What the scripts of the index of sessions have in common; it stands before them. Their KEYS, see list_session.lua.

local function of_subject(keys, digest) return string.sub(keys[1], 1, -5) .. 'subject:' .. digest end

-- Takes a session out of the index.
local function unlist(keys, session)
  local digest = redis.call('HGET', keys[3], session)
  if digest then redis.call('ZREM', of_subject(keys, digest), session) end
  redis.call('ZREM', keys[1], session)
  redis.call('ZREM', keys[2], session)
  redis.call('HDEL', keys[3], session)
end

-- Tells the gateways that something about a session has changed; the number shows them what they have missed.
local DAY_MS = 24 * 3600 * 1000
local function tell_change(keys, channel, session)
  local number = redis.call('INCR', keys[4])
  if number == 1 then redis.call('PEXPIRE', keys[4], DAY_MS) end
  redis.call('PUBLISH', channel, number .. ' ' .. session)
end
