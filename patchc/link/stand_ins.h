// The stand-ins of a program's launcher (runtime/format/stand_ins.h): which of the program's
// functions and variables libraries would use in its native executable, and the object that does
// their part.
#ifndef MEND_PATCHC_LINK_STAND_INS_H_
#define MEND_PATCHC_LINK_STAND_INS_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "patchc/object/dynamic_symbols.h"
#include "runtime/format/stand_ins.h"

namespace mend::patchc {

class StandInTableBuilder {
 public:
  // What the executable exports, but for copies of libraries' data.
  void AddProgram(const std::vector<ExportedSymbol>& exports);
  // A library that it is linked with.
  void AddLibrary(const std::vector<ExportedSymbol>& defined,
                  const std::set<std::string>& undefined);

  // By name. Whoever replaces one function for memory replaces all of that language.
  std::map<std::string, StandInKind> Finish() const;

 private:
  std::map<std::string, ExportedSymbol> program_;
  std::map<std::string, StandInKind> found_;
  std::set<std::string> in_both_;  // weak in the program, and a library has it, too
};

// The relocatable for the launcher's link. `linked`: the native executable, for the initial values
// of variables that lie in the launcher.
absl::StatusOr<std::string> MakeStandIns(const std::map<std::string, StandInKind>& stand_ins,
                                         const std::string& linked);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_LINK_STAND_INS_H_
