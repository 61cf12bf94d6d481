"""What a Redis does in one step. Each script touches one slot of a Cluster: one user, one counter, or the tables."""

from hashlib import sha1
from typing import Final, NamedTuple


class Script(NamedTuple):
    """A script in Lua and the digest by which a server that has it finds it."""

    source: str
    digest: str


def _script(source: str) -> Script:
    return Script(source, sha1(source.encode(), usedforsecurity=False).hexdigest())


_NOW: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""
"""Milliseconds by the store's own clock."""

SWAP: Final = _script("""
local found = redis.call('GET', KEYS[1]) or ''
if found ~= ARGV[1] and found ~= ARGV[2] then
  return found ~= '' and found
end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
elseif ARGV[3] == '' then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
""")
"""KEYS: the user. ARGV: expected, new, milliseconds ("": nothing, nothing, for ever). 1, or what is there."""

BEAT: Final = _script(
    _NOW
    + """
local known = redis.call('HGET', KEYS[1], ARGV[1])
local beats = known and string.match(known, '^%d+ (%d+) ') or now
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %.0f %s', now, beats + 1, ARGV[2]))
redis.call('SET', KEYS[4], ARGV[3], 'NX')
local function kept(key, longest)
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    if tonumber(string.match(all[i + 1], '^%d+')) + longest < now then
      redis.call('HDEL', key, all[i])
    end
  end
  return redis.call('HGETALL', key)
end
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
return {
  redis.call('GET', KEYS[4]) .. run, string.format('%.0f', now),
  kept(KEYS[1], tonumber(ARGV[4])), redis.call('HGETALL', KEYS[2]), kept(KEYS[3], 0)
}
"""
)
"""KEYS: nodes, admin states, votes, identity. ARGV: node, incarnation, an identity if there is none, milliseconds that
a silent node is kept. A node is kept as "time beats incarnation", a vote as "end view". Beats are counted from the time
of the first: a store that has lost them never comes to the number that others saw last."""

VOTE: Final = _script(
    _NOW
    + """
return redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %s', now + ARGV[2], ARGV[3]))
"""
)
"""KEYS: votes. ARGV: backend and node with a NUL between, milliseconds, view."""

LEAVE: Final = _script("""
redis.call('HDEL', KEYS[1], ARGV[1])
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  if string.sub(field, -#ARGV[1] - 1) == '\\0' .. ARGV[1] then
    redis.call('HDEL', KEYS[2], field)
  end
end
return 1
""")
"""KEYS: nodes, votes. ARGV: node."""

COUNT: Final = _script("""
if ARGV[2] == '0' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return redis.call('HGETALL', KEYS[1])
""")
"""KEYS: the counter. ARGV: node, its share, milliseconds. All shares."""

HIT: Final = _script("""
local hits = redis.call('INCR', KEYS[1])
if hits == 1 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return hits
""")
"""KEYS: the window. ARGV: milliseconds."""
