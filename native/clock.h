/* Time as the addon measures it. */
#ifndef VIADUCT_CLOCK_H
#define VIADUCT_CLOCK_H

#include <stdint.h>

/* Nanoseconds of the monotonic clock. */
int64_t now_nanoseconds(void);

/* So many milliseconds as JavaScript gives them; what no clock reaches is cut to some weeks, since no wait is endless. */
int64_t timeout_nanoseconds(double milliseconds);

#endif
