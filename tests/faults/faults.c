/*
 * System calls that fail on demand, linked into a program by the linker's --wrap: a kernel that has
 * fewer offloads than this one, or finds out later that it cannot do what it agreed to. The
 * variable CRYPRQ_FAULTS says which, separated by commas, each with the number of calls that
 * succeed before (0 unless given, as in "gso=20"):
 *
 *   uso, tso, csum   TUNSETOFFLOAD with that bit (tso: super-packets of both kinds): EINVAL
 *   vnet             TUNSETIFF with a virtio header: EINVAL
 *   gro              setting UDP_GRO: ENOPROTOOPT
 *   gso              sending with UDP_SEGMENT: EIO
 *   merge            writing a super-packet: EINVAL
 *   udp64            writing a UDP super-packet of more than 64: EINVAL, as before Linux 6.9
 *   aes              no call: the CPU has no AES instructions (no_aes.c)
 */
#include "faults.h"

#include "os/tun.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
ssize_t __real_sendmsg(int fd, const struct msghdr *header, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *header, int flags);
int __real_sendmmsg(int fd, struct mmsghdr *headers, unsigned num, int flags);
int __wrap_sendmmsg(int fd, struct mmsghdr *headers, unsigned num, int flags);
ssize_t __real_writev(int fd, const struct iovec *iov, int num);
ssize_t __wrap_writev(int fd, const struct iovec *iov, int num);

enum { GSO_UDP_L4 = 5 }; /* of the virtio header */

enum fault { USO, TSO, CSUM, VNET, GRO, GSO, MERGE, UDP64, AES, NUM_FAULTS };

static const char *const names[NUM_FAULTS] = {"uso", "tso",   "csum",  "vnet", "gro",
                                              "gso", "merge", "udp64", "aes"};
static bool wanted[NUM_FAULTS];
static _Atomic long left[NUM_FAULTS]; /* calls that still succeed */

void faults_set(const char *text)
{
    memset(wanted, 0, sizeof(wanted));
    while (text != NULL && *text != '\0') {
        size_t len = strcspn(text, ",="), end = strcspn(text, ",");
        for (int i = 0; i < NUM_FAULTS; i++)
            if (strlen(names[i]) == len && strncmp(names[i], text, len) == 0) {
                wanted[i] = true;
                left[i] = len < end ? strtol(text + len + 1, NULL, 10) : 0;
            }
        text += end + (text[end] == ',');
    }
}

bool faults_hide_aes(void)
{
    return wanted[AES];
}

/* Before threads and the system-call filter are there. */
__attribute__((constructor)) static void read_environment(void)
{
    faults_set(getenv("CRYPRQ_FAULTS"));
}

static bool strikes(enum fault fault)
{
    return wanted[fault] && atomic_fetch_sub(&left[fault], 1) <= 0;
}

static int fail(int error)
{
    errno = error;
    return -1;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list list;

    va_start(list, request);
    unsigned long value = va_arg(list, unsigned long);
    va_end(list);
    if (request == TUNSETOFFLOAD &&
        (((value & CQ_TUN_OFFLOAD_USO) != 0 && (strikes(USO) || strikes(TSO))) ||
         ((value & CQ_TUN_OFFLOAD_TSO) != 0 && strikes(TSO)) ||
         ((value & CQ_TUN_OFFLOAD_CSUM) != 0 && strikes(CSUM))))
        return fail(EINVAL);
    if (request == TUNSETIFF && (((struct ifreq *)value)->ifr_flags & IFF_VNET_HDR) != 0 &&
        strikes(VNET))
        return fail(EINVAL);
    return __real_ioctl(fd, request, value);
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    if (level == IPPROTO_UDP && name == UDP_GRO && strikes(GRO))
        return fail(ENOPROTOOPT);
    return __real_setsockopt(fd, level, name, value, len);
}

static bool has_segments(const struct msghdr *header)
{
    struct msghdr h = *header;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c != NULL; c = CMSG_NXTHDR(&h, c))
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_SEGMENT)
            return true;
    return false;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *header, int flags)
{
    if (has_segments(header) && strikes(GSO))
        return fail(EIO);
    return __real_sendmsg(fd, header, flags);
}

/* Like the kernel's: what comes before the one that fails goes. */
int __wrap_sendmmsg(int fd, struct mmsghdr *headers, unsigned num, int flags)
{
    for (unsigned i = 0; i < num; i++) {
        if (!has_segments(&headers[i].msg_hdr) || !strikes(GSO))
            continue;
        return i == 0 ? fail(EIO) : __real_sendmmsg(fd, headers, i, flags);
    }
    return __real_sendmmsg(fd, headers, num, flags);
}

ssize_t __wrap_writev(int fd, const struct iovec *iov, int num)
{
    if ((wanted[MERGE] || wanted[UDP64]) && num > 1 && iov[0].iov_len == CQ_TUN_HEADER_LEN) {
        struct cq_tun_header header;
        memcpy(&header, iov[0].iov_base, sizeof(header));
        if (header.gso_type != 0 && wanted[MERGE] && strikes(MERGE))
            return fail(EINVAL);
        /* iov: header, then a piece per datagram */
        if (header.gso_type == GSO_UDP_L4 && num > 1 + 64 && strikes(UDP64))
            return fail(EINVAL);
    }
    return __real_writev(fd, iov, num);
}
