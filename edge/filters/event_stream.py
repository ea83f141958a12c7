"""Live streams as a browser's EventSource wants them: each event with an id.

The transcoder writes a streamed message as `data: {...}`. A script on the routes of streams puts
the message's cursor before it as `id: ...`, so that a browser that connects again says in
Last-Event-ID where it stopped.
"""

from __future__ import annotations

from edge.messages import Config, extension, header, typed

FILTER = "envoy.filters.http.lua"
MAX_HELD_BYTES = 1 << 20
"""What is held back of an event that has not come whole; a larger one passes without an id.

Envoy's transcoder writes whole events, so nothing is held back in fact."""
RETRY_MILLISECONDS = (1000, 5000)
"""When a browser connects again: drawn for each stream, so that not all of them come at once."""
_EVENTS = "events"
_SCRIPT = f"""\
-- In JSON an unescaped quote is never part of a value: this is the key, and nothing else.
local KEY = '"cursor":"'

local function with_id(event)
  local _, before = event:find(KEY, 1, true)
  local cursor = before and event:match('^([0-9A-Za-z._:-]+)"', before + 1)
  return cursor and "id: " .. cursor .. "\\n" .. event or event
end

function envoy_on_response(handle)
  -- Native calls and errors have the same route.
  if handle:headers():get("content-type") ~= "text/event-stream" then
    return
  end
  local first = "retry: " .. math.random({RETRY_MILLISECONDS[0]}, {RETRY_MILLISECONDS[1]}) .. "\\n"
  local held = ""
  local oversized = false
  for chunk in handle:bodyChunks() do
    local text = held .. chunk:getBytes(0, chunk:length())
    local out = {{}}
    local start = 1
    local _, stop = text:find("\\n\\n", start, true)
    while stop do
      local event = text:sub(start, stop)
      table.insert(out, oversized and event or first .. with_id(event))
      first = ""
      oversized = false
      start = stop + 1
      _, stop = text:find("\\n\\n", start, true)
    end
    held = text:sub(start)
    if oversized or #held > {MAX_HELD_BYTES} then
      table.insert(out, held)
      held = ""
      first = ""
      oversized = true
    end
    chunk:setBytes(table.concat(out))
  end
end
"""


def stream_filter() -> Config:
    """Returns the filter with the script; it runs on no route but those that name it."""
    return extension(
        FILTER,
        "envoy.extensions.filters.http.lua.v3.Lua",
        source_codes={_EVENTS: {"inline_string": _SCRIPT}},
    )


def stream_events() -> Config:
    """Returns the settings of a stream's route, by filter name."""
    return {FILTER: typed("envoy.extensions.filters.http.lua.v3.LuaPerRoute", name=_EVENTS)}


def stream_headers() -> list[Config]:
    """Returns the response headers that keep proxies from collecting or changing a stream."""
    return [
        header("cache-control", "no-store, no-transform"),
        header("x-accel-buffering", "no"),
    ]
