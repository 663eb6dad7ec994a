// The headers of a program: what its units were compiled from besides their main sources, which the
// objects have themselves. An object is written without them, as they would be in every object
// anew; the link step reads them where the units found them, and takes each in once.
//
// Called by the link step, and by inspect. Stateless and thread-safe.
#ifndef MEND_PATCHC_LINK_HEADER_SOURCES_H_
#define MEND_PATCHC_LINK_HEADER_SOURCES_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/format/program_image.h"

namespace mend::patchc {

struct MissingHeader {
  std::string path;
  std::string unit;      // the first that was compiled from it
  bool is_gone = false;  // else it has other contents now
};

struct HeaderSources {
  std::string object;  // the member of that purpose (kHeadersMember); empty when none is needed
  std::vector<MissingHeader> missing;  // by path
};

// What the described objects lack of their sources. Objects that carry no sources at all are meant
// to be without; members of that purpose among `objects`, from linked guest modules, count.
// INVALID_ARGUMENT: an object is damaged.
absl::StatusOr<HeaderSources> CollectHeaders(const std::vector<ProgramObject>& objects);

// How much of its sources a program carries.
struct EmbeddedTotal {
  size_t count = 0;
  size_t bytes = 0;
  size_t stored = 0;  // what they take in the file, compressed

  // Adds what the object carries. INVALID_ARGUMENT: it is damaged.
  absl::Status Add(std::string_view object);
};

}  // namespace mend::patchc

#endif  // MEND_PATCHC_LINK_HEADER_SOURCES_H_
