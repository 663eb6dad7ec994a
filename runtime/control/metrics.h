// The state of a hosted program as OpenMetrics text, for GET /metrics.
#ifndef MEND_RUNTIME_CONTROL_METRICS_H_
#define MEND_RUNTIME_CONTROL_METRICS_H_

#include <string>

#include "runtime/transition/patch_registry.h"

namespace mend {

inline constexpr char kMetricsContentType[] =
    "application/openmetrics-text; version=1.0.0; charset=utf-8";

std::string MetricsText(const CoreStatus& status, const TransitionReport& last);

}  // namespace mend

#endif  // MEND_RUNTIME_CONTROL_METRICS_H_
