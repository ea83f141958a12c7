-- Load for wrk: each line of a file is one request, in turn, so that no two in a row are alike.
-- Arguments: what a line is (login: the body of a login; else the token of a profile read), the
-- file, and how many lines were used before.
local requests = {}
local used = 0

function init(args)
  local kind, file, before = args[1], args[2], tonumber(args[3])
  for line in io.lines(file) do
    if kind == "login" then
      requests[#requests + 1] =
        wrk.format("POST", "/auth/login/user", { ["Content-Type"] = "application/json" }, line)
    else
      requests[#requests + 1] =
        wrk.format("GET", "/users/profile", { ["Authorization"] = "Bearer " .. line })
    end
  end
  used = before % #requests
end

function request()
  used = used % #requests + 1
  return requests[used]
end
