// ObjectView: an ELF x86-64 relocatable, checked and arranged for the fingerprints: sections with
// their relocations and symbols in the order of offsets.
//
// The views point into the bytes it was made from. Read-only after Parse; thread-safe.
#ifndef MEND_PATCHC_OBJECT_OBJECT_VIEW_H_
#define MEND_PATCHC_OBJECT_OBJECT_VIEW_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace mend::patchc {

struct ViewRelocation {
  uint64_t offset = 0;
  uint32_t type = 0;
  uint32_t symbol = 0;  // index into ObjectView::symbols
  int64_t addend = 0;
};

struct ViewSymbol {
  std::string name;
  uint64_t value = 0;
  uint64_t size = 0;
  uint8_t type = 0;     // STT_*
  uint8_t binding = 0;  // STB_*
  // 0 when undefined, absolute or common.
  uint32_t section = 0;
  bool is_undefined = false;
  bool is_common = false;

  bool IsFunction() const;
  // A datum that people named, as opposed to a compiler's label.
  bool IsNamedData() const;
};

struct ViewSection {
  std::string name;
  uint32_t type = 0;
  uint64_t flags = 0;
  uint64_t size = 0;
  uint64_t alignment = 1;
  uint64_t entry_size = 0;
  uint32_t link = 0;
  std::string_view contents;                // empty for SHT_NOBITS
  std::vector<ViewRelocation> relocations;  // by offset
  std::vector<uint32_t> symbols;            // functions and named data, by value, then rank

  bool IsCode() const;
  bool IsMergeable() const;
  bool IsWritable() const;  // while the program runs: relro does not count
};

class ObjectView {
 public:
  static absl::StatusOr<ObjectView> Parse(std::string_view elf);

  const std::vector<ViewSection>& sections() const { return sections_; }
  const std::vector<ViewSymbol>& symbols() const { return symbols_; }

  // The symbol that lies at `offset` of a section; of several the one that sorts first. Falls
  // back to the section's only symbol, since a displacement may point just outside of it.
  std::optional<uint32_t> SymbolAt(uint32_t section, int64_t offset) const;

 private:
  std::vector<ViewSection> sections_;
  std::vector<ViewSymbol> symbols_;
};

}  // namespace mend::patchc

#endif  // MEND_PATCHC_OBJECT_OBJECT_VIEW_H_
