local Point = {}
Point.__index = Point
function Point.new(x, y) return setmetatable({x = x, y = y}, Point) end
function Point:move(dx, dy) self.x, self.y = self.x + dx, self.y + dy return self end
function Point:norm() return self.x * self.x + self.y * self.y end
return function()
  local point, sum = Point.new(0, 0), 0
  for i = 1, 2500000 do sum = sum + point:move(1, -1):norm() % 7 end
  return sum
end
