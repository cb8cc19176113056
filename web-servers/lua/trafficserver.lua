-- auth_tkt.lua for Apache Traffic Server (tslua.so): who has no good ticket does not get to the site.
--
-- It trusts auth_tkt.lua, and of Traffic Server the address of the peer. Keys of factored's ini:
-- those that auth_tkt.lua names, and base_auth_url. trafficserver/factored.lua shows its use.
--
-- tslua goes on with the map of remap.config when a script throws: whatever goes wrong here, the
-- request goes where that map leads. So the map must lead nowhere, and the addresses of the site and
-- of factored stand in the options alone.

local auth_tkt = require("auth_tkt")
local requests = require("requests")

local trafficserver = {}

-- What a client may not say of where a request comes from.
local FORWARDED = {
  "Forwarded", "Client-ip", "X-Forwarded-Method", "X-Forwarded-Uri", "X-Original-URL",
  "X-Original-Method", "X-Forwarded-Port", "X-Real-IP",
}

-- "127.0.0.1:8080" -> host and port
local function address_of(name, value)
  local host, port = tostring(value):match("^([A-Za-z0-9.-]+):(%d+)$")
  if not host or tonumber(port) < 1 or tonumber(port) > 65535 then
    error(name .. " must be host and port, like 127.0.0.1:8080", 0)
  end
  return { host = host, port = tonumber(port) }
end

-- -> path and query as they were sent, and the path alone
local function target()
  local sent = ts.client_request.get_url():gsub("^%a[%w+.-]*://[^/?#]*", "")
  return sent, sent:match("^[^?]*")
end

-- Takes from the request what a client may not say, and says the right thing.
local function clear(peer, cookie_name)
  local header = ts.client_request.header
  for name in pairs(ts.client_request.get_headers()) do
    if requests.is_identity(name) then
      header[name] = nil
    end
  end
  for _, name in ipairs(FORWARDED) do
    header[name] = nil
  end
  header["X-Forwarded-For"] = peer
  header["X-Forwarded-Proto"] = "https"
  header["X-Forwarded-Host"] = header["Host"]
  if cookie_name and header["Cookie"] then
    header["Cookie"] = requests.without_cookie(header["Cookie"], cookie_name)
  end
end

local function go_to(address)
  ts.client_request.set_url_scheme("http")
  ts.client_request.set_url_host(address.host)
  ts.client_request.set_url_port(address.port)
  return TS_LUA_REMAP_DID_REMAP
end

-- status, body, headers of an answer of our own -> what do_remap returns
local function answer(status, body, headers)
  headers["Cache-Control"] = "no-store"
  ts.hook(TS_LUA_HOOK_SEND_RESPONSE_HDR, function()
    for name, value in pairs(headers) do
      ts.client_response.header[name] = value
    end
    return 0
  end)
  ts.http.set_resp(status, body)
  return TS_LUA_REMAP_NO_REMAP_STOP
end

-- options of auth_tkt.reader, base_auth_url, factored and site ("host:port"), and open, a list of
-- exact paths for everybody -> do_remap
function trafficserver.site(given)
  local base_auth_url, options = requests.split(given)
  local factored = address_of("factored", options.factored)
  local site = address_of("site", options.site)
  local open = {}
  for _, path in ipairs(options.open or {}) do
    open[path] = true
  end
  options.factored, options.site, options.open = nil, nil, nil
  local check = auth_tkt.reader(options)
  local cookie_name = options.cookie_name or "auth_tkt"

  local function decide()
    local header = ts.client_request.header
    local peer = ts.client_request.client_addr.get_addr()
    local sent, path = target()
    if path == base_auth_url or path:sub(1, #base_auth_url + 1) == base_auth_url .. "/" then
      clear(peer)
      return go_to(factored)
    end
    local user, reason = check(header["Cookie"], peer)
    if user and not requests.is_header_value(user) then
      user, reason = nil, "a user name that cannot be in a header"
    end
    if user or open[path] then
      clear(peer, cookie_name)
      header["Remote-User"] = user
      header["Factored-User"] = user
      return go_to(site)
    end
    ts.debug("factored: refused: " .. reason)
    local function value(name)
      return header[name]
    end
    if requests.is_page_load(ts.client_request.get_method(), value) then
      local login = requests.login_url(base_auth_url, sent)
      return answer(302, "Sign in first.\n", { Location = login, ["Content-Type"] = "text/plain" })
    end
    return answer(401, requests.refusal(base_auth_url), { ["Content-Type"] = "application/json" })
  end

  return function()
    local went_well, result = pcall(decide)
    if went_well then
      return result
    end
    ts.error("factored: refused after an error: " .. tostring(result))
    ts.http.set_resp(500, "Something went wrong here, and was logged.\n")
    return TS_LUA_REMAP_NO_REMAP_STOP
  end
end

return trafficserver
