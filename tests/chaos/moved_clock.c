/* A time of day that can be moved, for one process: preloaded before the C library, whose clock it asks. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

long chaos_clock_moved;

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*asked)(clockid_t, struct timespec *);
    int failed;
    if (asked == NULL)
        asked = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    failed = asked(clock, now);
    if (!failed && clock == CLOCK_REALTIME)
        now->tv_sec += chaos_clock_moved;
    return failed;
}
