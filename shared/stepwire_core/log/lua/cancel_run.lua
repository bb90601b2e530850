-- Asks for runs, and all that they have started, to be cancelled, and tells the workers.
--
-- KEYS  log, state, meta, open
-- ARGV  channel  that of the cancellations
--       session
--       then for each run: run, and part, which is 0 if the run itself is meant, else the number of its first part that is
--
-- Returns {'ok'}, {'ended'} or {'norun'} about the first run, or {'unknown'}; what is left for further calls follows,
-- in the form of ARGV: a call asks for no more than AT_ONCE runs.

local AT_ONCE = 200
local meta = KEYS[3]
if redis.call('EXISTS', meta) == 0 then return {'unknown'} end

local first = redis.call('HGET', meta, 'r:' .. ARGV[HEAD + RUN])
local function over(fence) return not fence or string.find(fence, '!', 1, true) end
local answer = {'ok'}
if not first then
  answer = {'norun'}
elseif over(first) then
  answer = {'ended'}
end

local doomed, at = {unpack(ARGV, HEAD + 1)}, 0
while doomed[at + RUN] and at < WIDTH * AT_ONCE do
  local run, part = doomed[at + RUN], tonumber(doomed[at + PART])
  if part == 0 and not over(redis.call('HGET', meta, 'r:' .. run)) then
    -- Kept: a run that still waits for a worker is cancelled when one begins it.
    redis.call('HSET', meta, 'c:' .. run, '')
    redis.call('PUBLISH', channel, session .. ' ' .. run)
  end
  local parts = tonumber(redis.call('HGET', meta, 'd:' .. run)) or 0
  part = math.max(part, 1)
  local to = math.min(parts, part + math.max(0, 2 * AT_ONCE - #doomed / WIDTH) - 1)
  for number = part, to do
    doomed[#doomed + 1] = redis.call('HGET', meta, 'd:' .. run .. ' ' .. number)
    doomed[#doomed + 1] = 0
  end
  if to < parts then
    doomed[#doomed + 1] = run
    doomed[#doomed + 1] = to + 1
  end
  at = at + WIDTH
end
for left = at + 1, #doomed do answer[#answer + 1] = doomed[left] end
return answer
