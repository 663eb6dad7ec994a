// Reports of crashes: what the signal functions need to know, so that a program sees the default
// action where a report would be written.
#ifndef MEND_JIT_GUEST_LIBC_CRASH_REPORT_H_
#define MEND_JIT_GUEST_LIBC_CRASH_REPORT_H_

#include <signal.h>

namespace mend::jit {

// Whether the signal's default action is to be preceded by a report.
bool IsReported(int signal_number);

// What the kernel gets in place of the default action.
struct sigaction ReportingAction();
bool IsReportingHandler(void (*handler)(int));

}  // namespace mend::jit

#endif  // MEND_JIT_GUEST_LIBC_CRASH_REPORT_H_
