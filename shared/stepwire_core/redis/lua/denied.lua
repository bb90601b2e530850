-- Which of these commands the user of this connection may not run, as their indices from 0 on. Nothing is run.
--
-- ARGV  each command as a JSON array of its words

local denied = {}
for index, command in ipairs(ARGV) do
  -- A command that this server does not have is a matter of its version.
  local known, allowed = pcall(redis.acl_check_cmd, unpack(cjson.decode(command)))
  if known and not allowed then denied[#denied + 1] = index - 1 end
end
return denied
