-- Keeps the bytes of an element, for as long as its session lives.
--
-- KEYS  log, state, meta, open
-- ARGV  element, bytes, max_bytes of the session (see append.lua)
--
-- Returns {'ok'}, or {'unknown'}, or {'full', 'bytes', the limit}.

local ENTRY = 100
local expires, kept = unpack(redis.call('HMGET', KEYS[3], 'expires', 'bytes'))
if not expires then return {'unknown'} end
if (tonumber(kept) or 0) + #ARGV[2] > tonumber(ARGV[3]) then return {'full', 'bytes', tonumber(ARGV[3])} end

local files = string.sub(KEYS[1], 1, -4) .. 'files'
local before = redis.call('HSTRLEN', files, ARGV[1])
redis.call('HSET', files, ARGV[1], ARGV[2])
redis.call('HINCRBY', KEYS[3], 'bytes',
  #ARGV[2] - before + (#ARGV[2] > 0 and ENTRY or 0) - (before > 0 and ENTRY or 0))
redis.call('PEXPIREAT', files, expires)
return {'ok'}
