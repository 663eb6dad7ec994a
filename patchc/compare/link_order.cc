#include "patchc/compare/link_order.h"

#include <algorithm>
#include <string>

namespace mend::patchc {
namespace {

bool RefersTo(const AffectedObject& object, const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(), [&object](const std::string& name) {
    return std::any_of(object.units.begin(), object.units.end(), [&name](const AffectedUnit& unit) {
      return unit.edited.undefined.contains(name);
    });
  });
}

bool NeedsNewOf(const AffectedObject& object, const AffectedObject& other) {
  return std::any_of(other.units.begin(), other.units.end(), [&object](const AffectedUnit& unit) {
    return RefersTo(object, unit.diff.new_functions) || RefersTo(object, unit.diff.new_data);
  });
}

class Ordering {
 public:
  explicit Ordering(const std::vector<AffectedObject>& objects)
      : objects_(objects), is_placed_(objects.size()) {}

  std::vector<size_t> Order() {
    for (size_t object = 0; object < objects_.size(); ++object) Place(object);
    return std::move(order_);
  }

 private:
  bool IsProgram(size_t object) const { return objects_[object].base->module().empty(); }

  void Place(size_t object) {
    if (is_placed_[object]) return;
    // Before what it needs is placed: modules may need one another.
    is_placed_[object] = true;
    // The program is linked without any module.
    if (!IsProgram(object)) {
      for (size_t other = 0; other < objects_.size(); ++other) {
        if (is_placed_[other] || IsProgram(other)) continue;
        if (NeedsNewOf(objects_[object], objects_[other])) Place(other);
      }
    }
    order_.push_back(object);
  }

  const std::vector<AffectedObject>& objects_;
  std::vector<bool> is_placed_;
  std::vector<size_t> order_;
};

}  // namespace

std::vector<size_t> LinkOrder(const std::vector<AffectedObject>& objects) {
  return Ordering(objects).Order();
}

}  // namespace mend::patchc
