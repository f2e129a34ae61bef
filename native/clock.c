#include "clock.h"

#include <time.h>

int64_t now_nanoseconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

int64_t timeout_nanoseconds(double milliseconds) {
  const double most = 4503599627370496.0; /* 2^52 ns are 52 days. */
  if (!(milliseconds > 0)) return 0;
  double nanoseconds = milliseconds * 1e6;
  return (int64_t)(nanoseconds < most ? nanoseconds : most);
}
