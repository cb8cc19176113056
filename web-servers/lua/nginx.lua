-- auth_tkt.lua for nginx (lua-nginx-module): who has no good ticket does not get to the site.
--
-- It trusts auth_tkt.lua, and of nginx the address of the peer. Keys of factored's ini: those that
-- auth_tkt.lua names, and base_auth_url. What it needs of nginx is in nginx/lua.conf.
--
--   site = require("nginx").site({ secret_file = "/etc/factored/factored.secret" })
--
-- in init_by_lua, where wrong options stop nginx; site.protect() and site.open() in access_by_lua.

local auth_tkt = require("auth_tkt")
local requests = require("requests")

local nginx = {}

-- Bytes of members' Cookie headers that are remembered, for each site.
local MEMORY_BYTES = 1024 * 1024

-- Takes from the request what a client may not say and the site may not see.
local function clear(without_ticket)
  for name in pairs(ngx.req.get_headers(0, true)) do
    if requests.is_identity(name) then
      ngx.req.clear_header(name)
    end
  end
  local cookies = ngx.var.http_cookie
  if cookies then
    local rest = without_ticket(cookies)
    ngx.req.set_header("Cookie", rest ~= "" and rest or nil)
  end
end

-- -> where to send the browser, or nil: this is no page load
local function way_in(base_auth_url)
  local headers = ngx.req.get_headers(0)
  local function header(name)
    local value = headers[name]
    return type(value) == "table" and table.concat(value, ",") or value
  end
  if requests.is_page_load(ngx.req.get_method(), header) then
    return requests.login_url(base_auth_url, ngx.var.request_uri)
  end
  return nil
end

-- options of auth_tkt.reader, and base_auth_url -> table of two functions for access_by_lua:
-- protect, of a path for members, and open, of one for everybody
function nginx.site(given)
  local base_auth_url, options = requests.split(given)
  local check = auth_tkt.reader(options)
  local cookie_name = options.cookie_name or "auth_tkt"
  local site = {}

  -- Cookie header -> what the site may have of it, "" for nothing
  local function without_ticket(cookies)
    return requests.without_cookie(cookies, cookie_name) or ""
  end
  local without_members_ticket = requests.remembering(without_ticket, MEMORY_BYTES)

  local function decide()
    local user, reason = check(ngx.var.http_cookie, ngx.var.remote_addr)
    if user and not requests.is_header_value(user) then
      user, reason = nil, "a user name that cannot be in a header"
    end
    if not user then
      ngx.log(ngx.INFO, "factored: refused: ", reason)
      return nil, way_in(base_auth_url)
    end
    clear(without_members_ticket)
    ngx.var.factored_user = user
    return user
  end

  -- Lets members through, with their name in $factored_user; answers everybody else.
  function site.protect()
    local went_well, user, login = pcall(decide)
    if not went_well then
      ngx.log(ngx.ERR, "factored: refused after an error: ", user)
      return ngx.exit(500)
    end
    if user then
      return
    end
    ngx.header["Cache-Control"] = "no-store"
    if login then
      return ngx.redirect(login, 302)
    end
    ngx.status = 401
    ngx.header["Content-Type"] = "application/json"
    ngx.print(requests.refusal(base_auth_url))
    return ngx.exit(ngx.HTTP_OK)
  end

  -- Lets everybody through, known as nobody.
  function site.open()
    local went_well, problem = pcall(clear, without_ticket)
    if not went_well then
      ngx.log(ngx.ERR, "factored: refused after an error: ", problem)
      return ngx.exit(500)
    end
  end

  return site
end

return nginx
