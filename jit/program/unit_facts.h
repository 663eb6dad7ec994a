// UnitFacts: what a unit of the program or of a guest module says of itself (ObjectDescription), as
// far as patches are checked against it.
//
// Thread safety: none; the session's lock serialises what uses it.
#ifndef MEND_JIT_PROGRAM_UNIT_FACTS_H_
#define MEND_JIT_PROGRAM_UNIT_FACTS_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "jit/program/hosted_program.h"

namespace mend::jit {

struct UnitFacts {
  struct Function {
    std::string fingerprint;
    bool nounwind = false;             // callers were compiled for a function that does not throw
    std::vector<std::string> inlined;  // into it, directly
  };
  std::string unit_name;
  std::map<std::string, Function> functions;
  std::map<std::string, std::string> data;  // name -> fingerprint

  // What was inlined into an inlined function is in the copy, too.
  std::set<std::string> FunctionsWithCopyOf(const std::string& callee) const;
};

// UnitFacts of an object's own description. FAILED_PRECONDITION: it has none.
absl::StatusOr<UnitFacts> ReadUnitFacts(const std::string& file, std::string_view object);

// Parsed descriptions, kept: parsing takes long in a large program.
class UnitFactsCache {
 public:
  absl::StatusOr<const UnitFacts*> Of(const HostedProgram& program, uint32_t unit);
  // The program's unit of that name. FAILED_PRECONDITION without one.
  absl::StatusOr<uint32_t> FindUnit(const HostedProgram& program, const std::string& unit_name);
  void Forget(const HostedProgram& program);

 private:
  std::map<std::pair<const HostedProgram*, uint32_t>, UnitFacts> facts_;
};

}  // namespace mend::jit

#endif  // MEND_JIT_PROGRAM_UNIT_FACTS_H_
