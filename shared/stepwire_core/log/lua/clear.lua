-- Stands before the scripts that end sessions.

-- Removes all of a session, but for what is kept of one that is being deleted.
local function clear(keys)
  local base = string.sub(keys[1], 1, -4)
  for _, member in ipairs(redis.call('HKEYS', keys[4])) do redis.call('UNLINK', base .. 'out:' .. member) end
  redis.call('UNLINK', keys[1], keys[2], keys[3], keys[4], base .. 'tail', base .. 'user', base .. 'files',
    base .. 'turns', base .. 'results')
end

-- Ends a session that has lost its state, and tells its readers, on that channel.
local function end_lost(keys, channel)
  clear(keys)
  redis.call('PUBLISH', channel, 'gone')
end
