return function()
  local total = 0
  for round = 1, 20 do
    local map = {}
    for i = 1, 30000 do map["k" .. i % 5000] = (map["k" .. i % 5000] or 0) + i end
    for _, v in pairs(map) do total = total + v end
  end
  return total
end
