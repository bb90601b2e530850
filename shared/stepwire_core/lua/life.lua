-- What stands at the head of the library of functions.

-- Names the life of the data in this process: another one answers after a restart, of a promoted replica, and of a server
-- that has thrown its data away to become a replica, which loads its functions anew with it. One that went on as a replica
-- from where it was has lost nothing, and keeps the name.
local life
local function name_of_life()
  if not life then
    local clock = redis.call('TIME')
    life = clock[1] .. '.' .. clock[2]
  end
  return life
end
