#include "os/clock.h"

#include <sys/timerfd.h>
#include <time.h>

static cq_time read_clock(clockid_t id)
{
    struct timespec t = {0};

    clock_gettime(id, &t);
    return (cq_time)t.tv_sec * CQ_NS_PER_S + t.tv_nsec;
}

cq_time cq_clock_now(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

cq_time cq_clock_wall(void)
{
    return read_clock(CLOCK_REALTIME);
}

enum cq_err cq_clock_timer(int *out_fd)
{
    int fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);

    if (fd < 0)
        return CQ_ERR_IO;
    *out_fd = fd;
    return CQ_OK;
}

void cq_clock_timer_set(int fd, cq_time at)
{
    struct itimerspec spec = {0};

    if (at != CQ_TIME_NEVER) {
        if (at <= 0)
            at = 1; /* zero would stop it */
        spec.it_value.tv_sec = (time_t)(at / CQ_NS_PER_S);
        spec.it_value.tv_nsec = (long)(at % CQ_NS_PER_S);
    }
    timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, NULL);
}
