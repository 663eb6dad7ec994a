return function()
  local produce = coroutine.wrap(function() for i = 1, 2000000 do coroutine.yield(i) end end)
  local sum = 0
  for _ = 1, 2000000 do sum = sum + produce() end
  return sum
end
