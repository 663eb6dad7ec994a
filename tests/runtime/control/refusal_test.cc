#include "runtime/control/refusal.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace mend {
namespace {

TEST(ErrnoStatusTest, ErrnoComesBackOut) {
  const Refusal refusal = DescribeRefusal(ErrnoStatus(EBUSY, "patch 'fix' is in transition"));
  EXPECT_EQ(refusal.errno_name, "EBUSY");
  EXPECT_EQ(refusal.message, "Device or resource busy (patch 'fix' is in transition)");
  EXPECT_EQ(refusal.http_status, 409);
  EXPECT_EQ(refusal.exit_code, 3);
}

TEST(ErrnoStatusTest, ErrnoOfACallbackThatTheTableLacks) {
  const Refusal refusal = DescribeRefusal(absl::FailedPreconditionError("EDOM: callback refused"));
  EXPECT_EQ(refusal.errno_name, "EDOM");
  EXPECT_EQ(refusal.exit_code, 3);
}

TEST(ErrnoStatusTest, StatusWithoutErrnoGetsOne) {
  EXPECT_EQ(DescribeRefusal(absl::NotFoundError("x")).errno_name, "ENOENT");
  EXPECT_EQ(DescribeRefusal(absl::FailedPreconditionError("base differs")).errno_name, "EINVAL");
  EXPECT_EQ(DescribeRefusal(absl::ResourceExhaustedError("x")).errno_name, "ENOMEM");
}

// A message may begin like an errno without being one.
TEST(ErrnoStatusTest, WordThatIsNoErrnoStaysInTheMessage) {
  const Refusal refusal = DescribeRefusal(absl::InvalidArgumentError("ELFIN: not an errno"));
  EXPECT_EQ(refusal.errno_name, "EINVAL");
  EXPECT_EQ(refusal.message, "Invalid argument (ELFIN: not an errno)");
}

TEST(ErrnoStatusTest, StableCodeIsFound) {
  EXPECT_EQ(DescribeRefusal(absl::InvalidArgumentError("MEND-E0123: layout of 'S' changed")).code,
            "MEND-E0123");
  EXPECT_EQ(DescribeRefusal(absl::InvalidArgumentError("no code")).code, "");
}

TEST(ErrnoStatusTest, ExitCodesAreTheContracts) {
  EXPECT_EQ(DescribeRefusal(absl::InternalError("bug")).exit_code, 1);
  EXPECT_EQ(DescribeRefusal(absl::DeadlineExceededError("late")).exit_code, 4);
  EXPECT_EQ(DescribeRefusal(absl::PermissionDeniedError("no")).exit_code, 3);
}

}  // namespace
}  // namespace mend
