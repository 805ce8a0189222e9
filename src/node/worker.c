/*
 * The loop of a packet worker. Each round waits until something is readable and then takes one
 * batch of each kind:
 *
 *   commands of the control thread -> seal -> send
 *   UDP: recvmmsg -> records: open, merge, write to the TUN; the rest: to the control thread
 *   TUN: read frames -> seal -> send, whenever about 60 kB are together and at the end of the batch
 *
 * so that neither direction starves the other.
 */
#include "node/worker.h"

#include "base/counter.h"
#include "crypto/crypto.h"
#include "node/ring.h"
#include "os/backlog.h"
#include "os/clock.h"
#include "path/worker.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    OUT_BYTES = 160 * 1024,
    OUT_FLUSH_BYTES = 60 * 1024,
    TUN_BATCH = 32,              /* frames of one line in one round, */
    TUN_QUANTUM = 2 * 60 * 1024, /* or bytes */
    TUN_BUFFER = CQ_PATH_FRAME_MAX + 1 + CQ_PATH_SLACK,
    MAX_FDS = 3 + CQ_TUN_MAX_LINES,
    FALLBACKS = 16, /* waiting to be told; a power of two */
};

/* What an event of epoll is about; below: the line of the TUN. */
enum source { WAKE = CQ_TUN_MAX_LINES, UDP4, UDP6 };

struct command {
    enum cq_action_type type;
    uint32_t peer;
    uint32_t local_idx;
    uint16_t len, padded_len;
    struct cq_route route;
    uint8_t data[CQ_PATH_CONTROL_MAX];
};

struct batches {
    _Atomic uint64_t counts[CQ_WORKER_BATCH_SIZES], packets;
};

struct cq_worker {
    struct cq_worker_config config;
    struct cq_path_worker *path;
    pthread_t thread;
    int epoll_fd;
    int wake_fd;   /* control thread -> worker */
    int notify_fd; /* worker -> control thread */
    _Atomic bool quit;
    _Atomic bool notified; /* notify_fd was written and not acknowledged yet */

    struct cq_ring command_ring, datagram_ring, fallback_ring;
    struct cq_worker_fallback fallbacks[FALLBACKS];
    struct command *commands;
    struct cq_worker_datagram *datagrams;

    /* The worker's own. */
    struct cq_path_out out;
    struct cq_path_in in;
    struct cq_udp_tx tx;
    struct cq_udp_rx *rx;
    uint8_t *out_buf, *tun_buf;
    struct cq_backlog_line *backlog; /* of all workers' lines; NULL: not counted */
    bool sparse[CQ_TUN_MAX_LINES];   /* the last look at this line found one frame at most */
    bool must_notify;
    cq_time now;

    _Atomic unsigned offloads;
    _Atomic uint64_t num_fallbacks[CQ_OFFLOAD_COUNT], frames_written, wakeups;
    struct batches seal, open;
    uint64_t sealed; /* total of the path when a batch was last counted */
};

/* A batch of num packets. */
static void count_batch(struct batches *b, uint64_t num)
{
    unsigned slot = 0;

    if (num == 0)
        return;
    while (slot + 1 < CQ_WORKER_BATCH_SIZES && num > UINT64_C(1) << slot)
        slot++;
    cq_counter_add(&b->counts[slot], 1);
    cq_counter_add(&b->packets, num);
}

/* Counts that an offload is not used any more, and has it told. */
static void note_fallback(struct cq_worker *w, enum cq_offload offload, const struct cq_addr *to,
                          int error)
{
    uint32_t slot = 0;

    cq_counter_add(&w->num_fallbacks[offload], 1);
    w->must_notify = true;
    if (!cq_ring_reserve(&w->fallback_ring, FALLBACKS, &slot))
        return;
    w->fallbacks[slot] = (struct cq_worker_fallback){.offload = offload, .error = error};
    if (to != NULL)
        w->fallbacks[slot].to = *to;
    cq_ring_commit(&w->fallback_ring);
}

/* ---- sending ---- */

static void flush_out(struct cq_worker *w)
{
    struct cq_udp_send sends[CQ_PATH_OUT_SENDS];
    struct cq_path_out *out = &w->out;

    static_assert((int)CQ_PATH_OUT_SENDS <= (int)CQ_UDP_MAX_SEND, "one call takes all");
    if (out->num_sends == 0)
        return;
    uint64_t sealed = cq_counter_get(&cq_path_worker_totals(w->path)->sealed);
    count_batch(&w->seal, sealed - w->sealed);
    w->sealed = sealed;
    for (size_t i = 0; i < out->num_sends; i++) {
        const struct cq_path_send *s = &out->sends[i];
        sends[i] = (struct cq_udp_send){&s->route, s->data, s->len, s->segment, s->ecn};
    }
    uint64_t fallbacks = w->tx.num_fallbacks;
    size_t lost = cq_udp_send(&w->config.udp, &w->tx, sends, out->num_sends);
    if (lost > 0)
        cq_drop_count(cq_path_worker_counters(w->path), CQ_DROP_SEND_ERROR, lost);
    for (; fallbacks < w->tx.num_fallbacks; fallbacks++)
        note_fallback(w, CQ_OFFLOAD_UDP_GSO, &w->tx.fallback, w->tx.fallback_error);
    cq_path_out_reset(out);
}

/* One packet for the TUN. */
static void write_single(void *ctx, const struct cq_vnet *vnet, uint8_t *data, size_t len)
{
    struct cq_worker *w = ctx;
    struct cq_tun_header header;
    struct iovec iov[2] = {{NULL, 0}, {data, len}};

    memcpy(&header, vnet, sizeof(header));
    if (cq_tun_write(&w->config.tun, &header, iov, 2) != CQ_OK)
        cq_drop_count(cq_path_worker_counters(w->path), CQ_DROP_TUN_WRITE, 1);
    else
        cq_counter_add(&w->frames_written, 1);
}

/* Tells whoever sent a packet that the path does not take. */
static void answer(struct cq_worker *w)
{
    static const struct cq_vnet whole;
    uint8_t *data;
    size_t len;

    if (cq_path_take_reply(w->path, &data, &len))
        write_single(w, &whole, data, len);
}

static struct cq_backlog_line *backlog_of(const struct cq_worker *w, unsigned line)
{
    if (w->backlog == NULL)
        return NULL;
    return &w->backlog[w->config.number * w->config.tun.num_lines + line];
}

static void read_tun(struct cq_worker *w, unsigned line)
{
    struct cq_tun_header header = {0};
    size_t len = 0, bytes = 0;
    unsigned num = 0;
    struct cq_backlog_line *backlog = backlog_of(w, line);

    static_assert(sizeof(header) == sizeof(struct cq_vnet), "the same layout");
    while (num < TUN_BATCH && bytes < TUN_QUANTUM) {
        uint64_t queued = backlog != NULL ? cq_backlog_queued(backlog) : 0;
        enum cq_err err = cq_tun_read(&w->config.tun, line, &header, w->tun_buf,
                                      TUN_BUFFER - CQ_PATH_SLACK, &len);
        num++;
        if (err == CQ_ERR_RANGE) {
            cq_drop_count(cq_path_worker_counters(w->path), CQ_DROP_TUN_MALFORMED, 1);
            continue;
        }
        if (err == CQ_ERR_IO) {
            /* The interface is gone, and would be reported as readable for ever. */
            (void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, cq_tun_line(&w->config.tun, line), NULL);
            break;
        }
        if (err != CQ_OK) {
            if (backlog != NULL)
                cq_backlog_found_empty(backlog, queued);
            num--;
            break;
        }
        if (backlog != NULL)
            cq_backlog_take(backlog, len);
        bytes += len;
        struct cq_path_frame frame = {.data = w->tun_buf, .len = len};
        memcpy(&frame.vnet, &header, sizeof(frame.vnet));
        while (!cq_path_seal(w->path, &w->out, &frame, w->now))
            flush_out(w);
        answer(w);
        /* A packet that comes alone does not wait for a look at whether it does. */
        if (w->out.used >= OUT_FLUSH_BYTES || w->sparse[line])
            flush_out(w);
        w->sparse[line] = false;
    }
    w->sparse[line] = num <= 1;
    flush_out(w);
}

/* ---- receiving ---- */

/* A kernel that refuses a merged frame is not given another one. */
static void stop_merging(struct cq_worker *w, const struct cq_path_in_frame *frame)
{
    bool udp = frame->vnet.gso_type == CQ_VNET_GSO_UDP_L4;
    unsigned gone = udp ? CQ_TUN_OFFLOAD_USO : CQ_TUN_OFFLOAD_TSO;

    /* It may be that the kernel takes fewer of them at a time. */
    if (udp && frame->num_pieces > CQ_PATH_IN_PIECES_OLD) {
        w->in.max_udp = CQ_PATH_IN_PIECES_OLD;
        return;
    }
    /* Frames that were merged before the first one was refused may follow it. */
    if (udp ? w->in.uso : w->in.tso)
        note_fallback(w, udp ? CQ_OFFLOAD_TUN_USO : CQ_OFFLOAD_TUN_TSO, NULL, EINVAL);
    if (udp)
        w->in.uso = false;
    else
        w->in.tso = false;
    atomic_fetch_and_explicit(&w->offloads, ~gone, memory_order_relaxed);
}

static void write_frame(struct cq_worker *w, size_t index)
{
    const struct cq_path_in_frame *frame = &w->in.frames[index];
    struct iovec iov[CQ_PATH_IN_PIECES + 1];
    struct cq_tun_header header;
    size_t n = 1;

    memcpy(&header, &frame->vnet, sizeof(header));
    for (uint32_t i = frame->first; i != CQ_PATH_IN_FRAMES; i = w->in.pieces[i].next)
        iov[n++] = (struct iovec){w->in.pieces[i].data, w->in.pieces[i].len};
    enum cq_err err = cq_tun_write(&w->config.tun, &header, iov, n);
    if (err == CQ_OK) {
        cq_counter_add(&w->frames_written, 1);
    } else if (err == CQ_ERR_INVALID && frame->num_pieces > 1) {
        stop_merging(w, frame);
        cq_path_in_split(&w->in, index, write_single, w);
    } else {
        cq_drop_count(cq_path_worker_counters(w->path), CQ_DROP_TUN_WRITE, frame->num_pieces);
    }
}

static void flush_in(struct cq_worker *w)
{
    cq_path_in_finish(&w->in);
    for (size_t i = 0; i < w->in.num_frames; i++)
        write_frame(w, i);
    cq_path_in_reset(&w->in);
}

static void hand_over(struct cq_worker *w, const struct cq_route *route, const uint8_t *data,
                      size_t len)
{
    uint32_t slot = 0;

    if (len == 0 || len > CQ_WORKER_DATAGRAM_MAX) {
        cq_drop_count(cq_path_worker_counters(w->path), CQ_DROP_BAD_LENGTH, 1);
        return;
    }
    w->must_notify = true;
    if (!cq_ring_reserve(&w->datagram_ring, CQ_WORKER_DATAGRAMS, &slot)) {
        cq_drop_count(cq_path_worker_counters(w->path), CQ_DROP_QUEUE_FULL, 1);
        return;
    }
    struct cq_worker_datagram *d = &w->datagrams[slot];
    d->route = *route;
    d->len = (uint16_t)len;
    memcpy(d->data, data, len);
    cq_ring_commit(&w->datagram_ring);
}

static void open_batch(struct cq_worker *w, const struct cq_path_source *source,
                       const struct cq_path_datagram *batch, size_t num)
{
    count_batch(&w->open, num);
    if (cq_path_in_room(&w->in) < num)
        flush_in(w);
    cq_path_open(w->path, &w->in, source, batch, num, w->now);
}

/* Datagrams of one source that arrived together. */
static void take_received(struct cq_worker *w, const struct cq_udp_received *r)
{
    struct cq_path_source source = {.route = r->route, .ecn = r->ecn};
    struct cq_path_datagram batch[CQ_PATH_BATCH];
    size_t num = 0;

    if (!cq_addr_is_usable(&r->route.remote)) {
        cq_drop_count(cq_path_worker_counters(w->path), CQ_DROP_BAD_SOURCE, 1);
        return;
    }
    if (r->len == 0)
        hand_over(w, &r->route, r->data, 0);
    for (size_t at = 0; at < r->len; at += r->segment) {
        size_t len = r->len - at < r->segment ? r->len - at : r->segment;
        if (!cq_path_is_record(r->data + at, len)) {
            hand_over(w, &r->route, r->data + at, len);
            continue;
        }
        batch[num++] = (struct cq_path_datagram){r->data + at, len};
        if (num == CQ_PATH_BATCH) {
            open_batch(w, &source, batch, num);
            num = 0;
        }
    }
    if (num > 0)
        open_batch(w, &source, batch, num);
}

static void receive(struct cq_worker *w, int fd)
{
    const struct cq_udp_received *received;
    size_t num = 0;

    if (cq_udp_receive(fd, w->rx, &received, &num) != CQ_OK)
        return;
    for (size_t i = 0; i < num; i++)
        take_received(w, &received[i]);
    flush_in(w); /* the frames lie in the buffers of this batch */
}

/* ---- commands ---- */

static void run_command(struct cq_worker *w, const struct command *c)
{
    struct cq_path_control control = {
        .local_idx = c->local_idx,
        .len = c->len,
        .padded_len = c->padded_len,
        .route = c->route,
        .data = c->data,
    };

    if (c->type == CQ_ACTION_SEND_CONTROL) {
        while (!cq_path_seal_control(w->path, &w->out, &control, w->now))
            flush_out(w);
    } else if (c->type == CQ_ACTION_SESSION_READY) {
        while (!cq_path_send_staged(w->path, &w->out, c->peer, w->now))
            flush_out(w);
    } else {
        cq_path_drop_staged(w->path, c->peer);
    }
}

static void run_commands(struct cq_worker *w)
{
    uint64_t count;
    uint32_t slot = 0;

    if (read(w->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        return;
    while (cq_ring_peek(&w->command_ring, CQ_WORKER_COMMANDS, &slot)) {
        run_command(w, &w->commands[slot]);
        cq_ring_release(&w->command_ring);
    }
    flush_out(w);
}

/* ---- the thread ---- */

static void notify(struct cq_worker *w)
{
    uint64_t one = 1;

    w->must_notify = false;
    if (atomic_exchange_explicit(&w->notified, true, memory_order_acq_rel))
        return;
    if (write(w->notify_fd, &one, sizeof(one)) != sizeof(one))
        atomic_store_explicit(&w->notified, false, memory_order_release);
}

static void run_round(struct cq_worker *w, const struct epoll_event *events, int num)
{
    unsigned lines = 0;
    bool received = false;

    w->now = cq_clock_now();
    cq_path_enter(w->path);
    for (int i = 0; i < num; i++) {
        uint32_t source = events[i].data.u32;
        if (source < CQ_TUN_MAX_LINES)
            lines |= 1u << source;
        else if (source == WAKE)
            run_commands(w);
    }
    if (lines & 1)
        read_tun(w, 0);
    for (int i = 0; i < num; i++) {
        uint32_t source = events[i].data.u32;
        if (source != UDP4 && source != UDP6)
            continue;
        receive(w, source == UDP4 ? w->config.udp.fd4 : w->config.udp.fd6);
        received = true;
    }
    /* What was just written to the interface was perhaps answered there and then. */
    if (received)
        read_tun(w, 0);
    for (unsigned line = 1; line < w->config.tun.num_lines; line++)
        if (lines & 1u << line)
            read_tun(w, line);
    bool reported = cq_path_leave(w->path);
    if (reported || w->must_notify)
        notify(w);
}

static void *run_worker(void *arg)
{
    struct cq_worker *w = arg;
    struct epoll_event events[MAX_FDS];
    char name[16];

    snprintf(name, sizeof(name), "packets-%u", w->config.number % 100);
    (void)pthread_setname_np(pthread_self(), name);
    /* The order of a stop: quit is set, then wake_fd written; commands queued before are carried
     * out in that round. */
    while (!atomic_load_explicit(&w->quit, memory_order_acquire)) {
        int num = epoll_wait(w->epoll_fd, events, MAX_FDS, -1);
        if (num < 0 && errno != EINTR)
            break;
        cq_counter_add(&w->wakeups, 1);
        if (num > 0)
            run_round(w, events, num);
    }
    cq_crypto_thread_done();
    return NULL;
}

/* ---- control thread ---- */

static bool watch(struct cq_worker *w, int fd, uint32_t source)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = source};

    return fd < 0 || epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static enum cq_err open_descriptors(struct cq_worker *w)
{
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->notify_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->epoll_fd < 0 || w->wake_fd < 0 || w->notify_fd < 0)
        return CQ_ERR_IO;
    bool good = watch(w, w->wake_fd, WAKE) && watch(w, w->config.udp.fd4, UDP4) &&
                watch(w, w->config.udp.fd6, UDP6);
    for (unsigned i = 0; i < w->config.tun.num_lines; i++)
        good = good && watch(w, cq_tun_line(&w->config.tun, i), i);
    return good ? CQ_OK : CQ_ERR_IO;
}

/* Pages of these are touched as they are used. */
static enum cq_err make_buffers(struct cq_worker *w)
{
    w->commands = calloc(CQ_WORKER_COMMANDS, sizeof(*w->commands));
    w->datagrams = calloc(CQ_WORKER_DATAGRAMS, sizeof(*w->datagrams));
    w->out_buf = malloc(OUT_BYTES);
    w->tun_buf = malloc(TUN_BUFFER);
    w->rx = cq_udp_rx_new();
    if (w->commands == NULL || w->datagrams == NULL || w->out_buf == NULL || w->tun_buf == NULL ||
        w->rx == NULL)
        return CQ_ERR_NOMEM;
    cq_path_out_init(&w->out, w->out_buf, OUT_BYTES);
    w->out.single = w->config.no_gso;
    w->tx.gso_off = w->config.no_gso;
    unsigned offloads = w->config.tun.offloads;
    cq_path_in_init(&w->in, (offloads & CQ_TUN_OFFLOAD_CSUM) != 0,
                    (offloads & CQ_TUN_OFFLOAD_TSO) != 0, (offloads & CQ_TUN_OFFLOAD_USO) != 0);
    atomic_store(&w->offloads, offloads);
    if (w->config.backlog_fd >= 0)
        w->backlog = cq_backlog_map(w->config.backlog_fd);
    return CQ_OK;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

static void free_worker(struct cq_worker *w)
{
    close_fd(w->epoll_fd);
    close_fd(w->wake_fd);
    close_fd(w->notify_fd);
    cq_backlog_unmap(w->backlog);
    free(w->commands);
    free(w->datagrams);
    free(w->out_buf);
    free(w->tun_buf);
    cq_udp_rx_free(w->rx);
    free(w);
}

/* The thread gets no signals: they are the control thread's. */
static enum cq_err start_thread(struct cq_worker *w)
{
    sigset_t all, old;

    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &old) != 0)
        return CQ_ERR_IO;
    int rc = pthread_create(&w->thread, NULL, run_worker, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0)
        return rc == EAGAIN ? CQ_ERR_NOMEM : CQ_ERR_IO;
    return CQ_OK;
}

enum cq_err cq_worker_start(struct cq_worker **out, const struct cq_worker_config *config)
{
    struct cq_worker *w = calloc(1, sizeof(*w));

    *out = NULL;
    if (w == NULL)
        return CQ_ERR_NOMEM;
    w->config = *config;
    w->path = cq_path_get_worker(config->path, config->number);
    w->epoll_fd = w->wake_fd = w->notify_fd = -1;
    enum cq_err err = make_buffers(w);
    if (err == CQ_OK)
        err = open_descriptors(w);
    if (err == CQ_OK)
        err = start_thread(w);
    if (err != CQ_OK) {
        free_worker(w);
        return err;
    }
    *out = w;
    return CQ_OK;
}

static void wake(struct cq_worker *w)
{
    uint64_t one = 1;

    /* Fails only where the counter is at its maximum, and then the worker is awake anyway. */
    if (write(w->wake_fd, &one, sizeof(one)) < 0)
        assert(errno == EAGAIN);
}

void cq_worker_stop(struct cq_worker *worker)
{
    if (worker == NULL)
        return;
    atomic_store_explicit(&worker->quit, true, memory_order_release);
    wake(worker);
    pthread_join(worker->thread, NULL);
    /* A round that had begun before the last commands came. */
    cq_path_enter(worker->path);
    worker->now = cq_clock_now();
    run_commands(worker);
    (void)!cq_path_leave(worker->path);
    free_worker(worker);
}

int cq_worker_notify_fd(const struct cq_worker *worker)
{
    return worker->notify_fd;
}

void cq_worker_acknowledge(struct cq_worker *worker)
{
    uint64_t count;

    if (read(worker->notify_fd, &count, sizeof(count)) < 0)
        assert(errno == EAGAIN);
    /* Whatever was queued before this exchange is seen by the caller's next look; what comes after
     * notifies again. */
    (void)atomic_exchange_explicit(&worker->notified, false, memory_order_acq_rel);
}

const struct cq_worker_datagram *cq_worker_next_datagram(struct cq_worker *worker)
{
    uint32_t slot = 0;

    if (!cq_ring_peek(&worker->datagram_ring, CQ_WORKER_DATAGRAMS, &slot))
        return NULL;
    return &worker->datagrams[slot];
}

void cq_worker_pop_datagram(struct cq_worker *worker)
{
    cq_ring_release(&worker->datagram_ring);
}

enum cq_err cq_worker_command(struct cq_worker *worker, const struct cq_action *action)
{
    uint32_t slot = 0;

    if (action->type != CQ_ACTION_SEND_CONTROL && action->type != CQ_ACTION_SESSION_READY &&
        action->type != CQ_ACTION_DROP_STAGED)
        return CQ_ERR_INVALID;
    if (action->type == CQ_ACTION_SEND_CONTROL && action->len > CQ_PATH_CONTROL_MAX)
        return CQ_ERR_RANGE;
    if (!cq_ring_reserve(&worker->command_ring, CQ_WORKER_COMMANDS, &slot))
        return CQ_ERR_AGAIN;
    struct command *c = &worker->commands[slot];
    c->type = action->type;
    c->peer = action->peer;
    c->local_idx = action->local_idx;
    c->padded_len = action->padded_len;
    c->route = action->route;
    c->len = action->type == CQ_ACTION_SEND_CONTROL ? action->len : 0;
    memcpy(c->data, action->data, c->len);
    cq_ring_commit(&worker->command_ring);
    wake(worker);
    return CQ_OK;
}

bool cq_worker_next_fallback(struct cq_worker *worker, struct cq_worker_fallback *out)
{
    uint32_t slot = 0;

    if (!cq_ring_peek(&worker->fallback_ring, FALLBACKS, &slot))
        return false;
    *out = worker->fallbacks[slot];
    cq_ring_release(&worker->fallback_ring);
    return true;
}

static uint64_t get(const _Atomic uint64_t *p)
{
    return cq_counter_get(p);
}

static void get_batches(const struct batches *b, struct cq_worker_batches *out)
{
    for (int i = 0; i < CQ_WORKER_BATCH_SIZES; i++)
        out->counts[i] = get(&b->counts[i]);
    out->packets = get(&b->packets);
}

static void add_batches(struct cq_worker_batches *sum, const struct cq_worker_batches *b)
{
    for (int i = 0; i < CQ_WORKER_BATCH_SIZES; i++)
        sum->counts[i] += b->counts[i];
    sum->packets += b->packets;
}

void cq_worker_status_add(struct cq_worker_status *sum, const struct cq_worker_status *w)
{
    sum->tun_offloads &= w->tun_offloads;
    sum->tun_header = sum->tun_header && w->tun_header;
    sum->udp_gso = sum->udp_gso && w->udp_gso;
    sum->udp_gro = sum->udp_gro && w->udp_gro;
    for (int i = 0; i < CQ_OFFLOAD_COUNT; i++)
        sum->fallbacks[i] += w->fallbacks[i];
    sum->sealed += w->sealed;
    sum->sealed_bytes += w->sealed_bytes;
    sum->opened += w->opened;
    sum->opened_bytes += w->opened_bytes;
    sum->frames_read += w->frames_read;
    sum->frames_written += w->frames_written;
    sum->inner_sent += w->inner_sent;
    sum->inner_received += w->inner_received;
    sum->wakeups += w->wakeups;
    sum->num_datagrams += w->num_datagrams;
    sum->num_commands += w->num_commands;
    add_batches(&sum->seal, &w->seal);
    add_batches(&sum->open, &w->open);
}

void cq_worker_get_status(const struct cq_worker *worker, struct cq_worker_status *out)
{
    const struct cq_path_totals *t = cq_path_worker_totals(worker->path);

    *out = (struct cq_worker_status){
        .tun_offloads = atomic_load_explicit(&worker->offloads, memory_order_relaxed),
        .tun_header = worker->config.tun.vnet,
        .udp_gso = !worker->config.no_gso,
        .udp_gro = worker->config.udp.gro,
        .sealed = get(&t->sealed),
        .sealed_bytes = get(&t->sealed_bytes),
        .opened = get(&t->opened),
        .opened_bytes = get(&t->opened_bytes),
        .frames_read = get(&t->frames_read),
        .frames_written = get(&worker->frames_written),
        .inner_sent = get(&t->inner_sent),
        .inner_received = get(&t->inner_received),
        .wakeups = get(&worker->wakeups),
        .num_datagrams = cq_ring_count(&worker->datagram_ring),
        .num_commands = cq_ring_count(&worker->command_ring),
    };
    for (int i = 0; i < CQ_OFFLOAD_COUNT; i++)
        out->fallbacks[i] = get(&worker->num_fallbacks[i]);
    get_batches(&worker->seal, &out->seal);
    get_batches(&worker->open, &out->open);
}

const struct cq_counters *cq_worker_counters(const struct cq_worker *worker)
{
    return cq_path_worker_counters(worker->path);
}
