// Base: an object that a patch is for, the program or a guest module, as its file describes it: its
// units in link order, each with the command that compiled it, its sources and its object.
//
// Opened from a file or through a running target. Read-only after Open, apart from what is read
// lazily; one thread at a time.
#ifndef MEND_PATCHC_OBJECT_BASE_H_
#define MEND_PATCHC_OBJECT_BASE_H_

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "patchc/object/fingerprint.h"
#include "runtime/format/object_description.h"

namespace llvm {
class MemoryBuffer;
}

namespace mend::patchc {

struct BaseUnit {
  std::string member;            // as the linker named it
  std::string_view object;       // ELF relocatable
  bool has_description = false;  // compiled by patchc
  ObjectDescription description;
};

class Base {
 public:
  // `file`: an executable made by patchc. Refuses other files.
  static absl::StatusOr<Base> OpenFile(const std::string& file);

  // A guest module, from the bytes of its file. `file` is for messages.
  static absl::StatusOr<Base> FromModule(const std::string& name, const std::string& file,
                                         std::string_view bytes);

  // From a program image (runtime/format/program_image.h); `name` is for messages.
  static absl::StatusOr<Base> FromImage(const std::string& name, std::string_view image);

  // From objects in memory, in link order; for tests and for programs that are loaded otherwise.
  static absl::StatusOr<Base> FromObjects(
      const std::vector<std::pair<std::string, std::string_view>>& objects,
      const std::string& module = "");

  Base(Base&&) noexcept;
  Base& operator=(Base&&) noexcept;
  ~Base();

  const std::vector<BaseUnit>& units() const { return units_; }
  const std::string& file() const { return file_; }
  // The guest module's name; empty: the program.
  const std::string& module() const { return module_; }
  // "the program", or "module 'NAME'": for messages.
  std::string Shown() const;
  // Of the file or image; hex.
  std::string ContentHash() const;

  // The unit's functions and data, read from its object.
  absl::StatusOr<const ObjectSummary*> Summary(size_t unit);
  // The sources embedded in the unit's object, often the main one alone; none when they were
  // stripped.
  absl::StatusOr<const std::vector<SourceText>*> Sources(size_t unit);

  // The text of that hash among those which the object carries for all its units; nullptr: none.
  absl::StatusOr<const std::string*> SharedSource(const std::string& hash);

  // The unit whose definition of a global or weak name the program uses: the first strong one,
  // else the first.
  std::optional<size_t> Definer(const std::string& name) const;
  // Whether another unit has the same name (ObjectDescription::UnitName): a target could not tell
  // which of them a patch is for.
  bool HasTwin(size_t unit) const;
  // What a unit refers to as it was, nothing in the program defines, and it defines as edited.
  std::set<std::string> NewlyDefined(const ObjectSummary& before, const ObjectSummary& after) const;
  // Among the functions of that name, in link order, from 1.
  unsigned PositionOf(const std::string& name, Binding binding, size_t unit);
  // Units that refer to the name without defining it.
  absl::StatusOr<std::vector<size_t>> Users(const std::string& name);

 private:
  Base() = default;
  absl::Status AddImage(const std::string& name, std::string_view image);
  absl::Status AddUnit(std::string member, std::string_view object);
  void IndexDefinitions();

  std::string file_;
  std::string module_;
  std::unique_ptr<llvm::MemoryBuffer> contents_;
  std::vector<BaseUnit> units_;
  std::map<std::string, std::pair<size_t, Binding>> definers_;
  std::map<size_t, ObjectSummary> summaries_;
  std::map<size_t, std::vector<SourceText>> sources_;
  std::vector<std::string_view> unread_headers_;       // members that SharedSource has not read yet
  std::map<std::string, std::string> shared_sources_;  // by hash
};

// What one patch is for: the program first, then guest modules.
using BaseObjects = std::vector<Base>;

}  // namespace mend::patchc

#endif  // MEND_PATCHC_OBJECT_BASE_H_
