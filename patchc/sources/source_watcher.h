// SourceWatcher: tells when files have been saved. Editors write in place, or beside and rename;
// version control replaces many files at once: a wait ends when it has been quiet for a moment.
//
// By inotify, on the files' folders. One thread at a time.
#ifndef MEND_PATCHC_SOURCES_SOURCE_WATCHER_H_
#define MEND_PATCHC_SOURCES_SOURCE_WATCHER_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace mend::patchc {

class SourceWatcher {
 public:
  // `files`: absolute paths, which need not exist, in folders that do. RESOURCE_EXHAUSTED when the
  // system allows no more watches.
  static absl::StatusOr<SourceWatcher> Create(const std::set<std::string>& files);

  SourceWatcher(SourceWatcher&& other) noexcept;
  SourceWatcher& operator=(SourceWatcher&& other) = delete;
  ~SourceWatcher();

  // Waits for files to be saved or for one of `others` to become readable; the files, none in the
  // latter case.
  std::set<std::string> Wait(const std::vector<int>& others);

 private:
  explicit SourceWatcher(int notifications) : notifications_(notifications) {}
  absl::Status Watch(const std::string& folder);
  // Adds the watched files that the pending events name.
  void TakeEvents(std::set<std::string>& saved);

  int notifications_;
  std::set<std::string> files_;
  std::map<int, std::string> folders_;  // by watch descriptor
};

}  // namespace mend::patchc

#endif  // MEND_PATCHC_SOURCES_SOURCE_WATCHER_H_
