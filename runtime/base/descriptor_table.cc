#include "runtime/base/descriptor_table.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace mend {

bool LeaveSharedDescriptorTable(std::initializer_list<int> kept) {
  if (::unshare(CLONE_FILES) != 0) return false;
  std::vector<int> numbers(kept);
  std::sort(numbers.begin(), numbers.end());
  unsigned first = 0;
  for (const int number : numbers) {
    const auto keep = static_cast<unsigned>(number);
    // What cannot be closed stays open here, which costs no more than its memory.
    if (first < keep) ::close_range(first, keep - 1, 0);
    first = keep + 1;
  }
  ::close_range(first, ~0u, 0);
  return true;
}

}  // namespace mend
