// A request that may take long, with a line about what it waits for on standard error once it has
// taken a second. For `mend` and `patchc apply`.
//
// Thread safety: several threads may wait at a time; on a terminal they share one line.
#ifndef MEND_MEND_PROGRESS_H_
#define MEND_MEND_PROGRESS_H_

#include <string>

#include "absl/status/statusor.h"
#include "mend/client.h"

namespace mend {

// As client.Post. `what` begins the line: "applying fix". Whoever ends the command meanwhile
// (SIGINT, SIGTERM) is told that the target goes on.
absl::StatusOr<Reply> PostWithProgress(const Client& client, const std::string& path,
                                       const std::string& body, const RequestOptions& options,
                                       const std::string& what);
// As client.Get.
absl::StatusOr<Reply> GetWithProgress(const Client& client, const std::string& path,
                                      const RequestOptions& options, const std::string& what);

// Takes a line that a terminal still shows away, for what is printed instead.
void ClearProgress();

}  // namespace mend

#endif  // MEND_MEND_PROGRESS_H_
