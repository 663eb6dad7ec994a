// Names of patches: NAME is the first generation of a patch, NAME~2 the second.
//
// Thread safety: functions without state.
#ifndef MEND_RUNTIME_PATCH_PATCH_NAME_H_
#define MEND_RUNTIME_PATCH_PATCH_NAME_H_

#include <algorithm>
#include <string>
#include <string_view>

namespace mend {

inline constexpr size_t kPatchNameMax = 128;

// Whether a patch, or a replace set, may be called so: names become folders of the attribute tree
// and files of the patch directory.
inline bool IsPatchName(std::string_view name) {
  return !name.empty() && name.size() <= kPatchNameMax && name[0] != '.' && name[0] != '~' &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return c > ' ' && c < 0x7f && c != '/'; });
}

// The name without its generation: "fix" of "fix~3"; a plain name is its own.
inline std::string_view BareName(std::string_view patch) {
  const size_t tilde = patch.rfind('~');
  if (tilde == std::string_view::npos || tilde + 1 == patch.size()) return patch;
  const bool generation =
      patch.find_first_not_of("0123456789", tilde + 1) == std::string_view::npos;
  return generation ? patch.substr(0, tilde) : patch;
}

// The name that means this generation and no other. The first one has no number of its own, and a
// bare name means the newest.
inline std::string ExactName(std::string_view patch) {
  return BareName(patch) == patch ? std::string(patch) + "~1" : std::string(patch);
}

// Whether somebody who asks for `asked` may mean the patch; of several the newest.
inline bool MayMean(std::string_view asked, std::string_view patch) {
  return patch == asked || BareName(patch) == asked || ExactName(patch) == asked;
}

// Whether both are of one module, whatever their generations. Of what has a `name` and a
// `content_hash`.
template <typename One, typename Other>
bool IsSamePatch(const One& one, const Other& other) {
  return BareName(one.name) == BareName(other.name) && one.content_hash == other.content_hash;
}

}  // namespace mend

#endif  // MEND_RUNTIME_PATCH_PATCH_NAME_H_
