-- What nginx.lua and trafficserver.lua must know of a request, apart from the ticket: whose headers
-- a client may not send, what the site may not get, and where the login is.
--
-- It trusts nothing; these are functions of texts. The rules are factored's (factored/gate.py).

local requests = {}

-- Headers that say who somebody is. A client's copies go, in any spelling.
local IDENTITY = {
  ["factored-user"] = true,
  ["factored-schemes"] = true,
  ["remote-user"] = true,
  ["x-remote-user"] = true,
  ["x-forwarded-user"] = true,
  ["x-authenticated-user"] = true,
  ["x-auth-request-user"] = true,
}

-- Longer ways back are dropped, or servers refuse the Location header.
local MAX_REFERRER = 2048

-- Bytes of header names that are remembered. Visitors choose them, so few: browsers send some 20.
local NAMES_BYTES = 4096

-- function of one text -> the same function, which knows again what it found before. It forgets all
-- when the texts are more bytes than that.
function requests.remembering(find, most_bytes)
  local known, bytes = {}, 0
  return function(text)
    local found = known[text]
    if found == nil then
      found = find(text)
      if bytes > most_bytes then
        known, bytes = {}, 0
      end
      known[text], bytes = found, bytes + #text
    end
    return found
  end
end

-- name of a header -> whether some site takes it for one that says who somebody is. CGI, WSGI and
-- PHP cannot tell Remote_User from Remote-User, and some see no difference in a dot or blank.
requests.is_identity = requests.remembering(function(name)
  local bare = name:lower():match("%w.*%w")
  return bare ~= nil and IDENTITY[bare:gsub("[^a-z0-9]", "-")] == true
end, NAMES_BYTES)

-- Cookie header, name -> the header without all cookies of that name, or nil: nothing is left
-- What several headers were joined with, a comma, may hide one: such a pair goes whole.
function requests.without_cookie(header, name)
  local kept, hidden = {}, "," .. name .. "="
  for pair in header:gmatch("[^;]+") do
    local text = pair:match("^[ \t]*(.*)")
    local joined = ("," .. text:gsub("[ \t]", "")):find(hidden, 1, true)
    if text ~= "" and not joined then
      kept[#kept + 1] = text
    end
  end
  return kept[1] and table.concat(kept, "; ") or nil
end

-- method, function: name of a header -> its value or nil -> whether a browser is about to show
-- the answer as a page. Source: Fetch Metadata Request Headers, section 2.3.
function requests.is_page_load(method, header)
  local accept = (header("accept") or ""):lower()
  return (method == "GET" or method == "HEAD")
    and (accept:find("^%s*$") or accept:find("^%s*%*/%*%s*$") or accept:find("html", 1, true)) ~= nil
    and (header("x-requested-with") or ""):lower() ~= "xmlhttprequest"
    and (header("sec-fetch-mode") or "navigate") == "navigate"
end

-- base_auth_url, path and query as they were sent -> where to send the browser; never to a host
function requests.login_url(base_auth_url, target)
  if target:sub(1, 1) ~= "/" or #target > MAX_REFERRER then
    return base_auth_url
  end
  return base_auth_url .. "?referrer=" .. target:gsub("[^A-Za-z0-9_.~/-]", function(byte)
    return ("%%%02X"):format(byte:byte())
  end)
end

-- What the rest is answered with, 401.
function requests.refusal(base_auth_url)
  return '{"error": "authentication_required", "login_url": "' .. base_auth_url .. '"}'
end

-- user name of a good ticket -> whether it may be a header's value. factored gives no ticket to a
-- name with control characters; here such a name would be a header of its own.
function requests.is_header_value(user)
  return user ~= "" and not user:find("[%z\1-\31\127]")
end

-- given options -> base_auth_url, and the options of auth_tkt.reader
function requests.split(given)
  local rest = {}
  for name, value in pairs(given) do
    rest[name] = value
  end
  local base_auth_url = given.base_auth_url
  rest.base_auth_url = nil
  if base_auth_url == nil then
    base_auth_url = "/auth"
  end
  if type(base_auth_url) ~= "string" or not base_auth_url:find("^/[A-Za-z0-9._~/-]*[A-Za-z0-9._~-]$") then
    error("base_auth_url must be a path like /auth", 0)
  end
  return base_auth_url, rest
end

return requests
