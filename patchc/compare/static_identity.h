// Which local symbol is which: names that differ only by a number the compiler counts up (a second
// static `x` of a function is `f.x.1`, lambdas are `$_0`, `$_1`, ...) identify something only while
// the number of those that share the rest of the name stays the same.
#ifndef MEND_PATCHC_COMPARE_STATIC_IDENTITY_H_
#define MEND_PATCHC_COMPARE_STATIC_IDENTITY_H_

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace mend::patchc {

// The name with every number that the compiler counts replaced by '#': "f.x.1" -> "f.x.#",
// "f.x" -> "f.x.#" for data; "_ZNK3$_1clEv" -> "_ZNK3$_#clEv" for functions.
std::string StemOfData(std::string_view name);
std::string StemOfFunction(std::string_view name);

// Both, for a variable of a function or of lambdas in it.
std::string StemOfStatic(std::string_view name);

// The name without the number behind it, as a macro makes it of __COUNTER__.
std::string StemOfCounted(std::string_view name);

// What a variable is called by people: without what its function's parameters and a lambda's number
// add to the symbol.
std::string PlainName(std::string_view symbol);

// That without its scope.
std::string InnerName(std::string_view symbol);

// Names by stem, groups of one on both sides left out where the name is the same.
struct NameGroup {
  std::string stem;
  std::vector<std::string> base;
  std::vector<std::string> edited;
};

// The groups with more than one member on a side whose members are not the same on both.
std::vector<NameGroup> ChangedGroups(const std::set<std::string>& base,
                                     const std::set<std::string>& edited,
                                     std::string (*stem_of)(std::string_view));

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPARE_STATIC_IDENTITY_H_
