// What symbols tell apart by its order alone (statics of one name in a function, its lambdas, its
// classes of one name) is told apart here by its text: whether an edit left it where it was.
#ifndef MEND_PATCHC_COMPARE_LIKENESS_H_
#define MEND_PATCHC_COMPARE_LIKENESS_H_

#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace mend::patchc {

// By the name of each: whether code is generated for it, and its text (of a static, the block that
// it stands in). The texts belong to the descriptions that they were taken of.
using Blocks = std::map<std::string, std::pair<std::string_view, std::string_view>>;

// Whether each is the one that has its name after the edit: its text is the same, or more like that
// one's than like any other's. Where two texts are the same on a side, nothing would tell an
// exchange from none.
bool AreInPlace(const Blocks& base, const Blocks& edited);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPARE_LIKENESS_H_
