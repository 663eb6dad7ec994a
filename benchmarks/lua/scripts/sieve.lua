return function()
  local count
  for _ = 1, 6 do
    local composite = {}
    count = 0
    for i = 2, 300000 do
      if not composite[i] then
        count = count + 1
        for j = i * i, 300000, i do composite[j] = true end
      end
    end
  end
  return count
end
