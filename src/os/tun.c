#include "os/tun.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

static enum cq_err open_error(void)
{
    switch (errno) {
    case EBUSY:
        return CQ_ERR_EXISTS;
    case EPERM:
    case EACCES:
        return CQ_ERR_PERM;
    case ENOENT:
    case ENODEV:
    case ENXIO:
        return CQ_ERR_NOTFOUND;
    case EINVAL:
        return CQ_ERR_INVALID;
    default:
        return CQ_ERR_IO;
    }
}

/* Asks for the most first; kernels before 6.2 do not know USO. Super-packets need partial
 * checksums. */
static unsigned negotiate(int fd, unsigned without)
{
    static const unsigned wishes[] = {
        CQ_TUN_OFFLOAD_CSUM | CQ_TUN_OFFLOAD_TSO | CQ_TUN_OFFLOAD_USO,
        CQ_TUN_OFFLOAD_CSUM | CQ_TUN_OFFLOAD_TSO,
        CQ_TUN_OFFLOAD_CSUM,
    };

    for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++)
        if ((wishes[i] & without) == 0 && ioctl(fd, TUNSETOFFLOAD, (unsigned long)wishes[i]) == 0)
            return wishes[i];
    (void)ioctl(fd, TUNSETOFFLOAD, 0UL);
    return 0;
}

static enum cq_err attach(struct cq_tun *tun, const struct cq_tun_options *options)
{
    struct ifreq request;
    int flags = IFF_TUN | IFF_NO_PI | (options->multi_queue ? IFF_MULTI_QUEUE : 0);

    memset(&request, 0, sizeof(request));
    memcpy(request.ifr_name, options->name, strlen(options->name));
    tun->vnet = !options->no_vnet;
    request.ifr_flags = (short)(flags | (tun->vnet ? IFF_VNET_HDR : 0));
    int rc = ioctl(tun->fd, TUNSETIFF, &request);
    if (rc != 0 && errno == EINVAL && tun->vnet) {
        tun->vnet = false;
        request.ifr_flags = (short)flags;
        rc = ioctl(tun->fd, TUNSETIFF, &request);
    }
    if (rc != 0)
        return open_error();
    memcpy(tun->name, request.ifr_name, sizeof(tun->name));
    tun->name[sizeof(tun->name) - 1] = '\0';
    tun->offloads = tun->vnet ? negotiate(tun->fd, options->without) : 0;
    tun->num_lines = 1;
    return CQ_OK;
}

static int open_clone(void)
{
    return open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

/* As many as the kernel gives: fewer are no failure. */
static void add_lines(struct cq_tun *tun, unsigned lines)
{
    struct ifreq request;

    memset(&request, 0, sizeof(request));
    memcpy(request.ifr_name, tun->name, strlen(tun->name));
    request.ifr_flags =
        (short)(IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE | (tun->vnet ? IFF_VNET_HDR : 0));
    while (tun->num_lines < lines && tun->num_lines < CQ_TUN_MAX_LINES) {
        int fd = open_clone();
        if (fd < 0)
            return;
        if (ioctl(fd, TUNSETIFF, &request) != 0) {
            close(fd);
            return;
        }
        tun->others[tun->num_lines++ - 1] = fd;
    }
}

enum cq_err cq_tun_open(struct cq_tun *tun, const struct cq_tun_options *options)
{
    *tun = (struct cq_tun){.fd = -1};
    if (strlen(options->name) >= CQ_TUN_NAME_MAX)
        return CQ_ERR_INVALID;
    tun->fd = open_clone();
    if (tun->fd < 0)
        return open_error();
    enum cq_err err = attach(tun, options);
    if (err != CQ_OK) {
        int saved = errno;
        cq_tun_close(tun);
        errno = saved;
    } else if (options->multi_queue) {
        add_lines(tun, options->lines);
    }
    return err;
}

void cq_tun_close_others(struct cq_tun *tun)
{
    while (tun->num_lines > 1)
        close(tun->others[--tun->num_lines - 1]);
}

void cq_tun_close(struct cq_tun *tun)
{
    cq_tun_close_others(tun);
    if (tun->fd >= 0)
        close(tun->fd);
    tun->fd = -1;
}

static_assert(sizeof(struct cq_tun_header) == CQ_TUN_HEADER_LEN, "layout of virtio_net_hdr");

enum cq_err cq_tun_read(const struct cq_tun *tun, unsigned line, struct cq_tun_header *header,
                        uint8_t *buf, size_t size, size_t *out_len)
{
    size_t header_len = tun->vnet ? sizeof(*header) : 0;
    struct iovec iov[2] = {{header, header_len}, {buf, size}};

    *out_len = 0;
    if (!tun->vnet)
        memset(header, 0, sizeof(*header));
    ssize_t n = readv(cq_tun_line(tun, line), iov, 2);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? CQ_ERR_AGAIN : CQ_ERR_IO;
    if ((size_t)n <= header_len)
        return CQ_ERR_RANGE;
    /* The kernel gives the full length of a frame that it cut off, or the size; neither tells the
     * two apart. */
    if ((size_t)n >= header_len + size)
        return CQ_ERR_RANGE;
    *out_len = (size_t)n - header_len;
    return CQ_OK;
}

enum cq_err cq_tun_write(const struct cq_tun *tun, struct cq_tun_header *header, struct iovec *iov,
                         size_t num_iov)
{
    size_t skip = tun->vnet ? 0 : 1;

    assert(num_iov >= 2);
    iov[0] = (struct iovec){header, sizeof(*header)};
    if (writev(tun->fd, iov + skip, (int)(num_iov - skip)) >= 0)
        return CQ_OK;
    if (errno == EINVAL)
        return CQ_ERR_INVALID;
    return errno == EAGAIN ? CQ_ERR_AGAIN : CQ_ERR_IO;
}
