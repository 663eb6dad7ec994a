return function()
  local parts = {}
  for i = 1, 300000 do parts[#parts + 1] = string.format("%d:%s", i, ("x"):rep(i % 9)) end
  return #table.concat(parts, ",")
end
