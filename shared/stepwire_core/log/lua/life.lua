-- What stands at the head of the library of functions.

-- Names the life of the data in this process: another one answers after a restart, of a promoted replica, and of a server
-- that has thrown its data away to become a replica, which loads its functions anew with it. One that went on as a replica
-- from where it was has lost nothing, and keeps the name.
local life

-- Lua has no rollback, and a command that the user of the connection may not run would leave half a call. So the rights of
-- `what` are looked at before anything is written: once a second, since they change rarely, and looking is not for nothing.
local looked_at = {}
local function are_rights_due(what, now)
  local since = now - (looked_at[what] or 0)
  -- The clock may have gone back.
  return redis.acl_check_cmd and (since >= 1000 or since < 0)
end

-- The error to return if one of these commands is not allowed, or nil.
local function lacks_right(what, now, commands)
  for _, command in ipairs(commands) do
    if not redis.acl_check_cmd(unpack(command)) then
      return redis.error_reply("NOPERM this user has no permissions to run the '" .. string.lower(command[1]) ..
        "' command on " .. command[2])
    end
  end
  looked_at[what] = now
end

local function name_of_life()
  if not life then
    local clock = redis.call('TIME')
    life = clock[1] .. '.' .. clock[2]
  end
  return life
end
