"""The cache's writes as scripts that Redis runs whole: fence, comparison, change and publish in one step.

A value is a header of fixed width and the record's MessagePack: version (20 digits), sequence (20), arrival in ns (20),
owner (24, padded). Digits of one width compare as text; Lua's own numbers would lose the last ones of a nanosecond.
All need Redis 6.2 and a server that is not a cluster, since a script touches several keys.
"""

from __future__ import annotations

from typing import Final

NUMBER_WIDTH: Final = 20
OWNER_WIDTH: Final = 24
HEADER_WIDTH: Final = 3 * NUMBER_WIDTH + OWNER_WIDTH

FENCE: Final = """
local function stale(fences, service, epoch)
  if service == '' then return nil end
  local seen = redis.call('HGET', fences, service)
  if seen and tonumber(epoch) < tonumber(seen) then return seen end
  redis.call('HSET', fences, service, epoch)
  return nil
end
"""

PUBLISH: Final = """
local function publish(stream, topic, kind, payload, size_max, sequence, received)
  if topic == '' then return end
  if sequence == '' then
    redis.call('XADD', stream, 'MAXLEN', '~', size_max, '*', 't', topic, 'k', kind, 'p', payload)
  else
    redis.call('XADD', stream, 'MAXLEN', '~', size_max, '*', 't', topic, 'k', kind, 'p', payload,
      's', sequence, 'r', received)
  end
end
"""

INDEX: Final = """
local function remember(index, field, ttl_ms)
  local time = redis.call('TIME')
  local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('ZREMRANGEBYSCORE', index, '-inf', now_ms - 1)
  redis.call('ZADD', index, now_ms + ttl_ms, field)
end
"""

PUT: Final = (
    FENCE
    + PUBLISH
    + INDEX
    + """
local place, index, sequences, fences, stream = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local field, version, received, payload, ttl_ms, counts = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local service, epoch, topic, kind, message, size_max = ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12]
local owner = ARGV[13]
local newer = stale(fences, service, epoch)
if newer then return {-1, newer} end
local kept
if ttl_ms == '' then kept = redis.call('HGET', place, field) else kept = redis.call('GET', place) end
if kept then
  local before = string.sub(kept, 1, 20)
  if version < before or (version == before and string.sub(kept, 85) == payload) then return {0, ''} end
end
local sequence = ''
if counts ~= '' then sequence = redis.call('HINCRBY', sequences, counts, 1) end
local value = version .. string.format('%020d', sequence == '' and 0 or sequence) .. received .. owner .. payload
if ttl_ms == '' then
  redis.call('HSET', place, field, value)
else
  redis.call('SET', place, value, 'PX', ttl_ms)
  remember(index, field, ttl_ms)
end
publish(stream, topic, kind, message, size_max, sequence, received)
return {1, tostring(sequence)}
"""
)

HOLD: Final = (
    INDEX
    + """
local kept = redis.call('GET', KEYS[1])
if kept and string.sub(kept, 61, 84) ~= ARGV[2] then return string.sub(kept, 61, 84) end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
remember(KEYS[2], ARGV[1], ARGV[4])
return ''
"""
)

RELEASE: Final = """
local kept = redis.call('GET', KEYS[1])
if not kept or string.sub(kept, 61, 84) ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
"""

APPEND: Final = (
    FENCE
    + PUBLISH
    + """
local list, fences, stream = KEYS[1], KEYS[2], KEYS[3]
local size_max, service, epoch, topic, kind, message, stream_max = unpack(ARGV, 1, 7)
local newer = stale(fences, service, epoch)
if newer then return newer end
for number = 8, #ARGV do redis.call('RPUSH', list, ARGV[number]) end
redis.call('LTRIM', list, -size_max, -1)
publish(stream, topic, kind, message, stream_max, '', '')
return ''
"""
)
