// The calls that take a function to be run by a thread of libc's own (SIGEV_THREAD). Libc creates
// these threads, one for each notification, without passing pthread_create: nobody would know of
// one that begins while a transition runs, and it would go on in new code in the middle of a unit.
// So it counts as one of the program's while it runs the program's function.
//
// Libc gets an entry instead of the function (notification_entries.S), one for each function, for
// good: a thread may come to an entry when its timer is long gone. A function for which none is
// left is called as natively, and found like a thread that a raw clone has made.
//
// Thread safety: all are thread-safe.
#include <aio.h>
#include <mqueue.h>
#include <netdb.h>
#include <signal.h>
#include <time.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "jit/guest_libc/blocking.h"
#include "jit/guest_libc/next_function.h"
#include "jit/guest_libc/program_threads.h"
#include "jit/guest_libc/stack_size.h"

namespace mend::jit {
namespace {

// As notification_entries.S has them.
constexpr size_t kEntries = 64;
constexpr size_t kEntrySize = 16;

}  // namespace

extern "C"
    [[gnu::visibility("hidden")]] const char mend_notification_entries[kEntries * kEntrySize];

namespace {

using Function = void (*)(sigval);

constinit std::atomic<Function> functions[kEntries];

Function EntryFor(Function function) {
  const auto begin = reinterpret_cast<uintptr_t>(mend_notification_entries);
  // A request that is made again has its entry.
  const bool is_entry =
      reinterpret_cast<uintptr_t>(function) - begin < sizeof mend_notification_entries;
  if (function == nullptr || is_entry) return function;
  for (size_t i = 0; i < kEntries; ++i) {
    // Relaxed: libc hands the entry to its thread, which orders what was written before.
    Function found = functions[i].load(std::memory_order_relaxed);
    if (found == nullptr) {
      functions[i].compare_exchange_strong(found, function, std::memory_order_relaxed);
    }
    if (found == nullptr || found == function) {
      return reinterpret_cast<Function>(begin + i * kEntrySize);
    }
  }
  return function;
}

// The event as libc gets it; its attributes as they are needed by the thread.
class NotedEvent {
 public:
  explicit NotedEvent(const sigevent* event) : given_(event) {
    if (event == nullptr || event->sigev_notify != SIGEV_THREAD) return;
    ExpectLibcsThreads();
    noted_ = *event;
    noted_.sigev_notify_function = EntryFor(event->sigev_notify_function);
    if (event->sigev_notify_attributes != nullptr) {
      enlarged_.emplace(event->sigev_notify_attributes);
      noted_.sigev_notify_attributes = const_cast<pthread_attr_t*>(enlarged_->get());
    }
    given_ = &noted_;
  }
  NotedEvent(const NotedEvent&) = delete;
  NotedEvent& operator=(const NotedEvent&) = delete;

  sigevent* get() const { return const_cast<sigevent*>(given_); }

 private:
  const sigevent* given_;
  sigevent noted_;
  std::optional<EnlargedAttributes> enlarged_;
};

// Libc reads the event where it is, when the request is done.
template <typename Request>
Request* Noted(Request* request) {
  ExpectLibcsThreads();
  if (request != nullptr && request->aio_sigevent.sigev_notify == SIGEV_THREAD) {
    request->aio_sigevent.sigev_notify_function =
        EntryFor(request->aio_sigevent.sigev_notify_function);
  }
  return request;
}

}  // namespace

// The wrapper, entered by one of the entries, on a thread of libc's.
extern "C" [[gnu::visibility("hidden")]] void MendRunNotification(sigval value, size_t index) {
  const ProgramsFunctionScope scope;
  functions[index].load(std::memory_order_relaxed)(value);
}

}  // namespace mend::jit

using mend::jit::Noted;
using mend::jit::NotedEvent;

MEND_NEXT_VERSION(int, timer_create, "GLIBC_2.34", clockid_t, sigevent*, timer_t*);
MEND_INTERPOSE(int, timer_create, clockid_t clock, sigevent* event, timer_t* timer) {
  const NotedEvent noted(event);
  return next_timer_create(clock, noted.get(), timer);
}

MEND_NEXT(int, mq_notify, mqd_t, const sigevent*);
MEND_INTERPOSE(int, mq_notify, mqd_t queue, const sigevent* event) {
  const NotedEvent noted(event);
  return next_mq_notify(queue, noted.get());
}

MEND_NEXT(int, getaddrinfo_a, int, gaicb**, int, sigevent*);
MEND_INTERPOSE(int, getaddrinfo_a, int mode, gaicb** requests, int count, sigevent* event) {
  const NotedEvent noted(event);
  mend::jit::ExpectLibcsThreads();
  if (mode != GAI_WAIT) return next_getaddrinfo_a(mode, requests, count, noted.get());
  const mend::BlockedRegion region("getaddrinfo_a");
  return next_getaddrinfo_a(mode, requests, count, noted.get());
}

#define MEND_REQUEST(name, type) \
  MEND_NEXT(int, name, type);    \
  MEND_INTERPOSE(int, name, type request) { return next_##name(Noted(request)); }
MEND_REQUEST(aio_read, aiocb*)
MEND_REQUEST(aio_read64, aiocb64*)
MEND_REQUEST(aio_write, aiocb*)
MEND_REQUEST(aio_write64, aiocb64*)

#define MEND_SYNC(name, type)                              \
  MEND_NEXT(int, name, int, type);                         \
  MEND_INTERPOSE(int, name, int operation, type request) { \
    return next_##name(operation, Noted(request));         \
  }
MEND_SYNC(aio_fsync, aiocb*)
MEND_SYNC(aio_fsync64, aiocb64*)

#define MEND_LIST(name, type)                                                      \
  MEND_NEXT_VERSION(int, name, "GLIBC_2.34", int, type, int, sigevent*);           \
  MEND_INTERPOSE(int, name, int mode, type requests, int count, sigevent* event) { \
    for (int i = 0; i < count; ++i) Noted(requests[i]);                            \
    const NotedEvent noted(event);                                                 \
    if (mode != LIO_WAIT) return next_##name(mode, requests, count, noted.get());  \
    const mend::BlockedRegion region(#name);                                       \
    return next_##name(mode, requests, count, noted.get());                        \
  }
MEND_LIST(lio_listio, aiocb* const*)
MEND_LIST(lio_listio64, aiocb64* const*)

#define MEND_AWAIT_REQUEST(name, type)                                                             \
  MEND_NEXT(int, name, type, int, const timespec*);                                                \
  MEND_INTERPOSE(int, name, type requests, int count, const timespec* timeout) {                   \
    return mend::jit::CallRestartingFor(                                                           \
        #name, timeout, [&](const timespec* left) { return next_##name(requests, count, left); }); \
  }
MEND_AWAIT_REQUEST(aio_suspend, const aiocb* const*)
MEND_AWAIT_REQUEST(aio_suspend64, const aiocb64* const*)
