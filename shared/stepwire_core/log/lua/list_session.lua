-- Puts a session at the top of the index of sessions, which tells what there is to list; what a list shows of a session
-- is in its `meta`. The index need not lie where its sessions do. A function of the library, as `append` is.
--
-- KEYS  time     a sorted set: sessions by their last activity, in microseconds
--       ids      a sorted set: the same, all with the score 0
--       subjects a hash: session, digest of its subject
--       rev      counts the changes
--       beside them, for each subject: subject:<digest>, a sorted set as `time`
-- ARGV  session
--       subject  the digest of its subject, or '': the one that is known stays
--       at_us    when the activity was, or '': now
--       most     the most sessions to keep; those without activity for longest go
--       ttl_ms   how long the index lives after its last change
--       channel  where changes are told, as '<rev> <session>'
--
-- Looks at the session, and at DROPPED others at most.

local DROPPED = 10
local clock = redis.call('TIME')
local time, ids, subjects = KEYS[1], KEYS[2], KEYS[3]
if at_us == '' then at_us = string.format('%.0f', clock[1] * 1000000 + clock[2]) end
ttl_ms = tonumber(ttl_ms)

local of = redis.call('HGET', subjects, session)
if not of and subject ~= '' then
  redis.call('HSET', subjects, session, subject)
  redis.call('PEXPIRE', subjects, ttl_ms)
  of = subject
end
redis.call('ZADD', time, 'GT', at_us, session)
local is_new = redis.call('ZADD', ids, 0, session) == 1
if of then
  local key = of_subject(KEYS, of)
  redis.call('ZADD', key, 'GT', at_us, session)
  redis.call('PEXPIRE', key, ttl_ms)
end
tell_change(KEYS, channel, session)

if is_new then
  local too_many = math.min(redis.call('ZCARD', time) - tonumber(most), DROPPED)
  if too_many > 0 then
    for _, oldest in ipairs(redis.call('ZRANGE', time, 0, too_many - 1)) do
      unlist(KEYS, oldest)
      tell_change(KEYS, channel, oldest)
    end
  end
end
-- Now and then, since that is four commands; and when one of them may have been made just now.
if is_new or redis.call('PTTL', time) < ttl_ms * 3 / 4 then
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ttl_ms) end
end
return 'OK'
