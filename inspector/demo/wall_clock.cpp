// A wall clock that can be set, for the processes that this library is preloaded into: true time plus what the file
// named by INSPECTOR_WALL_CLOCK says, a 64-bit count of seconds. The monotonic clock stays as it is.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

namespace {

const volatile int64_t* mapped() {
  static const int64_t right = 0;
  const char* path = getenv("INSPECTOR_WALL_CLOCK");
  const int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return &right;
  void* page = mmap(nullptr, sizeof right, PROT_READ, MAP_SHARED, file, 0);
  close(file);
  return page == MAP_FAILED ? &right : static_cast<const volatile int64_t*>(page);
}

int64_t seconds_off() {
  static const volatile int64_t* const off = mapped();
  return *off;
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, struct timespec* now) noexcept {
  const int failed = static_cast<int>(syscall(SYS_clock_gettime, clock, now));
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += seconds_off();
  return failed;
}

int gettimeofday(struct timeval* now, void*) noexcept {
  struct timespec wall;
  if (clock_gettime(CLOCK_REALTIME, &wall)) return -1;
  now->tv_sec = wall.tv_sec;
  now->tv_usec = wall.tv_nsec / 1000;
  return 0;
}

time_t time(time_t* now) noexcept {
  struct timespec wall;
  if (clock_gettime(CLOCK_REALTIME, &wall)) return -1;
  if (now) *now = wall.tv_sec;
  return wall.tv_sec;
}
}
