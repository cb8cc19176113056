-- Traffic Server checks the ticket itself, without asking factored, which serves the login pages
-- alone. The script of remap.config's map.
--
-- What it trusts: the ticket, and nothing that a visitor says about himself. It does not see
-- revocation: after a logout, or the removal of a user, a stolen copy of a ticket is good here until
-- it expires, or is max_age old. Whoever reaches 127.0.0.1:8080 without Traffic Server can say that
-- he is anybody: it must be an address that only this machine reaches.
--
-- The ini of factored needs, in its own section, which needs no site behind it ([app:main] is enough):
--
--     public_url = https://www.example.com
--     auth_tkt.secret_file = /etc/factored/factored.secret
--     trusted_proxies = 127.0.0.1
--
-- and with waitress, which removes X-Forwarded-For before factored sees it, in [server:main]:
--
--     clear_untrusted_proxy_headers = false
--
-- auth_tkt.reissue_time does nothing here: tickets end auth_timeout after the login.
--
-- The secret file is a copy of auth_tkt.secret_file for the user that Traffic Server runs as. It is
-- read at the start: after a change, copy it anew and restart Traffic Server.
--
-- The site gets the user's name as Remote-User and as Factored-User, and all cookies but the ticket.

package.path = "/usr/local/share/factored/lua/?.lua;" .. package.path

do_remap = require("trafficserver").site({
  site = "127.0.0.1:8080",
  factored = "127.0.0.1:8000",
  open = { "/open" },                            -- exact paths for everybody
  secret_file = "/etc/trafficserver/factored.secret",
  cookie_name = "auth_tkt",                      -- auth_tkt.cookie_name
  hashalg = "sha512",                            -- auth_tkt.hashalg
  include_ip = false,                            -- auth_tkt.include_ip
  schemes = { "ga", "rc" },                      -- supported_auth_schemes: Email is "em";
                                                 -- recovery_codes: "rc"
  absolute_timeout = 86400,                      -- auth_absolute_timeout
  base_auth_url = "/auth",                       -- base_auth_url
  max_age = 7200,                                -- seconds that a ticket is good for here
})
