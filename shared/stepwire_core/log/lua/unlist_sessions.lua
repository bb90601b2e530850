-- Takes sessions that are gone out of the index of sessions.
--
-- KEYS  time, ids, subjects, rev (see list_session.lua)
-- ARGV  channel  where changes are told
--       then for each session: session, and score, with which it was seen to be gone: one that has another by now has come
--       back; '' takes it out in any case
--
-- Returns how many it took out. Looks at these sessions alone.

local gone = 0
for at = HEAD, #ARGV - WIDTH, WIDTH do
  local id, score = ARGV[at + SESSION], ARGV[at + SCORE]
  local listed = redis.call('ZSCORE', KEYS[1], id)
  if score == '' or not listed or tonumber(listed) == tonumber(score) then
    unlist(KEYS, id)
    tell_change(KEYS, channel, id)
    gone = gone + 1
  end
end
return gone
