// The ways in which a thread of the tortured program blocks: each for a fraction of a millisecond.
#ifndef MEND_TESTS_STRESS_HOSTED_AGREE_WAITS_H_
#define MEND_TESTS_STRESS_HOSTED_AGREE_WAITS_H_

#include <time.h>

#include <chrono>
#include <thread>
#include <vector>

constexpr timespec kShort = {0, 600'000};

inline void SleepFor() { std::this_thread::sleep_for(std::chrono::microseconds(400)); }

// Before the first wait. False: descriptors could not be had.
bool PrepareWaits();

extern const std::vector<void (*)()> waits;

// Some of them read; this gives them something.
void FeedReaders();
// Ends their input: whoever reads from now on does not wait.
void StopFeedingReaders();

#endif  // MEND_TESTS_STRESS_HOSTED_AGREE_WAITS_H_
