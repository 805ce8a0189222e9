#include "node/snapshot.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAGIC = 0x43515331 }; /* "CQS1" */

struct cq_snapshot_front {
    uint32_t magic;
    uint32_t num_peers, num_prefixes, num_text;
    char interface[CQ_CONF_INTERFACE_MAX + 1];
    _Atomic uint32_t ready;
    _Atomic uint64_t version; /* odd while it is written */
    struct cq_snapshot_node node;
};

_Static_assert(sizeof(struct cq_snapshot_front) % 8 == 0, "what follows is aligned");
_Static_assert(sizeof(struct cq_peer_status) % 8 == 0, "what follows is aligned");
_Static_assert(sizeof(struct cq_snapshot_info) % 4 == 0, "what follows is aligned");

#define US INT64_C(1000)
#define MS CQ_NS_PER_MS

const cq_time cq_snapshot_durations[CQ_SNAPSHOT_DURATIONS] = {
    100 * US, 250 * US, 500 * US, MS,       5 * MS / 2, 5 * MS,    10 * MS,   25 * MS,
    50 * MS,  100 * MS, 250 * MS, 500 * MS, 1000 * MS,  2500 * MS, 5000 * MS, 10000 * MS,
};

void cq_snapshot_durations_add(struct cq_snapshot_durations *durations, cq_time duration)
{
    unsigned slot = 0;

    while (slot < CQ_SNAPSHOT_DURATIONS && duration > cq_snapshot_durations[slot])
        slot++;
    durations->counts[slot]++;
    durations->sum += duration;
}

/* ---- the memory ---- */

/* front, peers, infos, prefixes, texts: in the order of their alignment. */
static size_t needed_bytes(size_t num_peers, size_t num_prefixes, size_t num_text)
{
    return sizeof(struct cq_snapshot_front) + num_peers * sizeof(struct cq_peer_status) +
           num_peers * sizeof(struct cq_snapshot_info) + num_prefixes * sizeof(struct cq_prefix) +
           num_text;
}

static void find_parts(struct cq_snapshot *s)
{
    s->peers = (struct cq_peer_status *)(s->front + 1);
    s->infos = (struct cq_snapshot_info *)(s->peers + s->num_peers);
    s->prefixes = (struct cq_prefix *)(s->infos + s->num_peers);
    s->texts = (char *)(s->prefixes + s->num_prefixes);
}

static enum cq_err map(struct cq_snapshot *s, bool writable)
{
    void *memory =
        mmap(NULL, s->len, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, s->fd, 0);

    if (memory == MAP_FAILED)
        return CQ_ERR_IO;
    s->front = memory;
    return CQ_OK;
}

static void write_peers(struct cq_snapshot *s, const struct cq_conf *conf)
{
    uint32_t next = 0, text = 1; /* the first byte is the empty text */

    for (size_t i = 0; i < conf->num_peers; i++) {
        const struct cq_conf_peer *peer = &conf->peers[i];
        struct cq_snapshot_info *info = &s->infos[i];
        memcpy(info->id, peer->id, sizeof(info->id));
        memcpy(info->name, peer->name, sizeof(info->name));
        info->first_prefix = next;
        info->num_prefixes = (uint32_t)peer->num_allowed_ips;
        for (size_t j = 0; j < peer->num_allowed_ips; j++)
            s->prefixes[next++] = peer->allowed_ips[j];
        info->port = peer->endpoint.port;
        if (peer->endpoint.host == NULL)
            continue;
        size_t len = strlen(peer->endpoint.host) + 1;
        info->host = text;
        memcpy(s->texts + text, peer->endpoint.host, len);
        text += (uint32_t)len;
    }
}

enum cq_err cq_snapshot_make(struct cq_snapshot *out, const struct cq_conf *conf)
{
    size_t num_prefixes = 0, num_text = 1;

    for (size_t i = 0; i < conf->num_peers; i++) {
        const struct cq_conf_peer *peer = &conf->peers[i];
        num_prefixes += peer->num_allowed_ips;
        num_text += peer->endpoint.host != NULL ? strlen(peer->endpoint.host) + 1 : 0;
    }
    *out = (struct cq_snapshot){
        .fd = memfd_create("cryprq-snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING),
        .len = needed_bytes(conf->num_peers, num_prefixes, num_text),
        .num_peers = (uint32_t)conf->num_peers,
        .num_prefixes = (uint32_t)num_prefixes,
        .num_text = (uint32_t)num_text,
    };
    if (out->fd < 0)
        return CQ_ERR_IO;
    /* Nobody can cut it short under those who have it mapped. */
    if (ftruncate(out->fd, (off_t)out->len) != 0 ||
        fcntl(out->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0 ||
        map(out, true) != CQ_OK) {
        cq_snapshot_close(out);
        return CQ_ERR_IO;
    }
    find_parts(out);
    out->front->magic = MAGIC;
    out->front->num_peers = out->num_peers;
    out->front->num_prefixes = out->num_prefixes;
    out->front->num_text = out->num_text;
    memcpy(out->front->interface, conf->interface, sizeof(out->front->interface));
    write_peers(out, conf);
    return CQ_OK;
}

enum cq_err cq_snapshot_reader(const struct cq_snapshot *snapshot, int *out_fd)
{
    char path[40];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", snapshot->fd);
    *out_fd = open(path, O_RDONLY | O_CLOEXEC);
    return *out_fd >= 0 ? CQ_OK : CQ_ERR_IO;
}

/* Whether the parts lie within the memory and what infos refer to within them. */
static bool is_sound(struct cq_snapshot *s)
{
    if (s->front->magic != MAGIC || s->front->num_peers > CQ_CONF_MAX_PEERS)
        return false;
    s->num_peers = s->front->num_peers;
    s->num_prefixes = s->front->num_prefixes;
    s->num_text = s->front->num_text;
    if (needed_bytes(s->num_peers, s->num_prefixes, s->num_text) != s->len || s->num_text == 0)
        return false;
    find_parts(s);
    if (s->texts[s->num_text - 1] != '\0')
        return false;
    for (uint32_t i = 0; i < s->num_peers; i++)
        if ((uint64_t)s->infos[i].first_prefix + s->infos[i].num_prefixes > s->num_prefixes ||
            s->infos[i].host >= s->num_text)
            return false;
    return true;
}

enum cq_err cq_snapshot_open(struct cq_snapshot *out, int fd, size_t len, bool writable)
{
    struct stat st;
    enum cq_err err = CQ_ERR_INVALID;

    *out = (struct cq_snapshot){.fd = fd, .len = len};
    if (len == 0 && fstat(fd, &st) == 0)
        out->len = (size_t)st.st_size;
    if (out->len >= sizeof(struct cq_snapshot_front)) {
        err = map(out, writable);
        if (err == CQ_OK && !is_sound(out))
            err = CQ_ERR_INVALID;
    }
    if (err != CQ_OK)
        cq_snapshot_close(out);
    else
        close(out->fd); /* the mapping stays */
    out->fd = -1;
    return err;
}

void cq_snapshot_close(struct cq_snapshot *snapshot)
{
    if (snapshot->front != NULL)
        munmap(snapshot->front, snapshot->len);
    if (snapshot->fd >= 0)
        close(snapshot->fd);
    *snapshot = (struct cq_snapshot){.fd = -1};
}

void cq_snapshot_set_ready(struct cq_snapshot *snapshot, bool ready)
{
    if (snapshot->front != NULL)
        atomic_store(&snapshot->front->ready, ready);
}

bool cq_snapshot_is_ready(const struct cq_snapshot *snapshot)
{
    return atomic_load(&snapshot->front->ready) != 0;
}

const char *cq_snapshot_interface(const struct cq_snapshot *snapshot)
{
    return snapshot->front->interface;
}

/* Odd, then the content, then even: what cq_snapshot_read looks for. */

void cq_snapshot_begin(struct cq_snapshot *snapshot)
{
    uint64_t version = atomic_load_explicit(&snapshot->front->version, memory_order_relaxed);

    atomic_store_explicit(&snapshot->front->version, version | 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

uint64_t cq_snapshot_end(struct cq_snapshot *snapshot, const struct cq_snapshot_node *node)
{
    uint64_t version = atomic_load_explicit(&snapshot->front->version, memory_order_relaxed) + 1;

    snapshot->front->node = *node;
    atomic_store_explicit(&snapshot->front->version, version, memory_order_release);
    return version;
}

enum cq_err cq_snapshot_read(const struct cq_snapshot *snapshot, uint64_t version,
                             struct cq_snapshot_node *out, struct cq_peer_status *out_peers)
{
    if (atomic_load_explicit(&snapshot->front->version, memory_order_acquire) != version)
        return CQ_ERR_AGAIN;
    *out = snapshot->front->node;
    memcpy(out_peers, snapshot->peers, snapshot->num_peers * sizeof(*out_peers));
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&snapshot->front->version, memory_order_relaxed) != version)
        return CQ_ERR_AGAIN;
    return CQ_OK;
}
