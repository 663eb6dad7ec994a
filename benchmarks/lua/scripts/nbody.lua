return function()
  local x, y, vx, vy = 1.0, 0.0, 0.0, 1.0
  for _ = 1, 5000000 do
    local r2 = x * x + y * y
    local a = -1.0 / (r2 * r2 ^ 0.5)
    vx, vy = vx + a * x * 1e-3, vy + a * y * 1e-3
    x, y = x + vx * 1e-3, y + vy * 1e-3
  end
  return x
end
