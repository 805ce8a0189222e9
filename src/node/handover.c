#include "node/handover.h"

#include "base/bytes.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    MAGIC = 0x43514831, /* "CQH1" */
    PEER_KEY = 1,
    PEER_PSK = 2,
    PEER_REPLIED = 4,
    PEER_PSK_KEPT = 8,
    PREFIX_BYTES = 18,
    CONF_BYTES = 128,                     /* more than write_conf writes */
    PEER_BYTES = 512 + CQ_PUBLIC_KEY_LEN, /* the same for write_peer, without its prefixes */
};

struct front {
    uint32_t magic;
    uint32_t num_marks; /* bytes behind this struct, for cq_handover_answer */
    struct cq_handover_start start;
};

static void write_ip(struct cq_writer *w, const struct cq_ip *ip)
{
    cq_write_u8(w, ip->family);
    cq_write_bytes(w, ip->bytes, sizeof(ip->bytes));
}

static void read_ip(struct cq_reader *r, struct cq_ip *ip)
{
    ip->family = cq_read_u8(r);
    cq_read_bytes(r, ip->bytes, sizeof(ip->bytes));
}

static void write_addr(struct cq_writer *w, const struct cq_addr *addr)
{
    write_ip(w, &addr->ip);
    cq_write_u16(w, addr->port);
    cq_write_u32(w, addr->scope_id);
}

static void read_addr(struct cq_reader *r, struct cq_addr *addr)
{
    read_ip(r, &addr->ip);
    addr->port = cq_read_u16(r);
    addr->scope_id = cq_read_u32(r);
}

static void write_conf(struct cq_writer *w, const struct cq_conf *conf)
{
    cq_write_bytes(w, conf->interface, sizeof(conf->interface));
    cq_write_u8(w, conf->private_key != NULL);
    if (conf->private_key != NULL)
        cq_write_bytes(w, conf->private_key, CQ_SECRET_KEY_LEN);
    cq_write_u8(w, conf->has_listen_port);
    cq_write_u8(w, conf->answer_keys_on);
    cq_write_u8(w, conf->answer_keys_off);
    cq_write_u8(w, conf->push_keys_off);
    cq_write_u16(w, conf->mtu);
    cq_write_u16(w, conf->rotate_secs);
    cq_write_u32(w, conf->fwmark);
    cq_write_u8(w, conf->suites);
    cq_write_u8(w, conf->preferred_suite);
    cq_write_u8(w, (uint8_t)conf->tuning.tun_offload);
    cq_write_u8(w, conf->tuning.udp_gso_off);
    cq_write_u8(w, conf->tuning.udp_gro_off);
    cq_write_u32(w, (uint32_t)conf->num_peers);
}

/* For the status alone: names are looked up by the monitor. */
static void write_host(struct cq_writer *w, const struct cq_conf_endpoint *endpoint)
{
    size_t len = endpoint->host != NULL ? strlen(endpoint->host) : 0;

    cq_write_u16(w, (uint16_t)len);
    cq_write_bytes(w, endpoint->host != NULL ? endpoint->host : "", len);
    cq_write_u16(w, endpoint->port);
}

static void write_peer(struct cq_writer *w, const struct cq_conf_peer *peer,
                       const struct cq_public_key *key, bool replied)
{
    const struct cq_addr none = {0};

    cq_write_bytes(w, peer->id, CQ_PEER_ID_LEN);
    cq_write_bytes(w, peer->name, sizeof(peer->name));
    cq_write_u8(w, (uint8_t)((key != NULL ? PEER_KEY : 0) | (peer->psk != NULL ? PEER_PSK : 0) |
                             (replied ? PEER_REPLIED : 0) |
                             (peer->psk == NULL && peer->psk_kept ? PEER_PSK_KEPT : 0)));
    if (key != NULL)
        cq_write_bytes(w, key, CQ_PUBLIC_KEY_LEN);
    if (peer->psk != NULL)
        cq_write_bytes(w, peer->psk, CQ_PSK_LEN);
    write_addr(w, peer->endpoint.is_numeric ? &peer->endpoint.addr : &none);
    write_host(w, &peer->endpoint);
    cq_write_u16(w, peer->persistent_keepalive);
    cq_write_u32(w, (uint32_t)peer->num_allowed_ips);
    for (size_t i = 0; i < peer->num_allowed_ips; i++) {
        write_ip(w, &peer->allowed_ips[i].ip);
        cq_write_u8(w, peer->allowed_ips[i].bits);
    }
}

static size_t needed_bytes(const struct cq_conf *conf)
{
    size_t n = sizeof(struct front) + conf->num_peers + 1 + CONF_BYTES;

    for (size_t i = 0; i < conf->num_peers; i++)
        n += PEER_BYTES + conf->peers[i].num_allowed_ips * PREFIX_BYTES;
    return n;
}

static enum cq_err map(struct cq_handover *h)
{
    h->memory = mmap(NULL, h->len, PROT_READ | PROT_WRITE, MAP_SHARED, h->fd, 0);
    if (h->memory == MAP_FAILED) {
        h->memory = NULL;
        return CQ_ERR_IO;
    }
    /* Not all of it is secret; where a large configuration exceeds the limit it may reach the swap
     * for the moment of the start, as the file that it was read from may. */
    (void)mlock(h->memory, h->len);
    (void)madvise(h->memory, h->len, MADV_DONTDUMP);
    return CQ_OK;
}

enum cq_err cq_handover_make_in(struct cq_handover *out, int fd, const struct cq_conf *conf,
                                const struct cq_public_key *const *cached, const bool *replied)
{
    *out = (struct cq_handover){.fd = fd, .len = needed_bytes(conf)};
    if (out->fd < 0)
        return CQ_ERR_IO;
    if (ftruncate(out->fd, (off_t)out->len) != 0 || map(out) != CQ_OK) {
        cq_handover_wipe(out);
        return CQ_ERR_IO;
    }
    struct front *front = out->memory;
    front->magic = MAGIC;
    front->num_marks = (uint32_t)conf->num_peers + 1;
    struct cq_writer w = cq_writer_make(front + 1, out->len - sizeof(*front));
    cq_write_zeros(&w, front->num_marks);
    write_conf(&w, conf);
    for (size_t i = 0; i < conf->num_peers; i++) {
        const struct cq_conf_peer *peer = &conf->peers[i];
        const struct cq_public_key *key = peer->public_key != NULL ? peer->public_key : cached[i];
        write_peer(&w, peer, key, replied[i]);
    }
    if (w.failed) {
        cq_handover_wipe(out);
        return CQ_ERR_NOMEM;
    }
    return CQ_OK;
}

enum cq_err cq_handover_make(struct cq_handover *out, const struct cq_conf *conf,
                             const struct cq_public_key *const *cached, const bool *replied)
{
    return cq_handover_make_in(out, memfd_create("cryprq", MFD_CLOEXEC), conf, cached, replied);
}

void cq_handover_answer(struct cq_handover *handover, const uint8_t *marks, size_t num)
{
    cq_wipe(handover->memory, handover->len);
    if (num <= handover->len - sizeof(struct front))
        memcpy((struct front *)handover->memory + 1, marks, num);
}

enum cq_err cq_handover_read_answer(int fd, uint8_t *out_marks, size_t num)
{
    ssize_t n = pread(fd, out_marks, num, sizeof(struct front));

    return n == (ssize_t)num ? CQ_OK : CQ_ERR_IO;
}

void cq_handover_set_start(struct cq_handover *handover, const struct cq_handover_start *start)
{
    struct front *front = handover->memory;

    front->start = *start;
}

void cq_handover_wipe(struct cq_handover *handover)
{
    if (handover->memory != NULL)
        cq_wipe(handover->memory, handover->len);
    cq_handover_forget(handover);
}

void cq_handover_forget(struct cq_handover *handover)
{
    if (handover->memory != NULL)
        munmap(handover->memory, handover->len);
    if (handover->fd >= 0)
        close(handover->fd);
    *handover = (struct cq_handover){.fd = -1};
}

static enum cq_err read_host(struct cq_reader *r, struct cq_conf_endpoint *endpoint)
{
    size_t len = cq_read_u16(r);
    const void *host = cq_read_span(r, len);

    endpoint->port = cq_read_u16(r);
    if (r->failed || len == 0)
        return r->failed ? CQ_ERR_INVALID : CQ_OK;
    endpoint->host = strndup(host, len);
    return endpoint->host != NULL ? CQ_OK : CQ_ERR_NOMEM;
}

static enum cq_err read_peer(struct cq_reader *r, struct cq_conf *conf, bool *replied)
{
    struct cq_conf_peer *peer;
    uint8_t id[CQ_PEER_ID_LEN];
    enum cq_err err;

    cq_read_bytes(r, id, sizeof(id));
    err = cq_conf_add_peer(conf, id, &peer);
    if (err != CQ_OK)
        return err;
    cq_read_bytes(r, peer->name, sizeof(peer->name));
    peer->name[sizeof(peer->name) - 1] = '\0';
    uint8_t flags = cq_read_u8(r);
    *replied = (flags & PEER_REPLIED) != 0;
    if ((flags & PEER_KEY) != 0) {
        peer->public_key = malloc(sizeof(*peer->public_key));
        if (peer->public_key == NULL)
            return CQ_ERR_NOMEM;
        cq_read_bytes(r, peer->public_key, CQ_PUBLIC_KEY_LEN);
    }
    peer->psk_kept = (flags & PEER_PSK_KEPT) != 0;
    if ((flags & PEER_PSK) != 0) {
        const uint8_t *psk = cq_read_span(r, CQ_PSK_LEN);
        err = psk == NULL ? CQ_ERR_INVALID : cq_conf_peer_set_psk(peer, psk);
    }
    read_addr(r, &peer->endpoint.addr);
    peer->endpoint.is_numeric = peer->endpoint.addr.ip.family != CQ_FAMILY_NONE;
    if (err == CQ_OK)
        err = read_host(r, &peer->endpoint);
    peer->persistent_keepalive = cq_read_u16(r);
    uint32_t num = cq_read_u32(r);
    for (uint32_t i = 0; err == CQ_OK && !r->failed && i < num; i++) {
        struct cq_prefix prefix;
        read_ip(r, &prefix.ip);
        prefix.bits = cq_read_u8(r);
        err = cq_conf_add_allowed_ip(peer, &prefix, (struct cq_conf_position){0});
    }
    return err;
}

static enum cq_err read_all(struct cq_reader *r, struct cq_conf *conf, bool **replied)
{
    enum cq_err err = CQ_OK;

    cq_read_bytes(r, conf->interface, sizeof(conf->interface));
    conf->private_key_kept = cq_read_u8(r) == 0;
    const uint8_t *key = conf->private_key_kept ? NULL : cq_read_span(r, CQ_SECRET_KEY_LEN);
    if (key != NULL)
        err = cq_conf_set_private_key(conf, key);
    conf->has_listen_port = cq_read_u8(r) != 0;
    conf->answer_keys_on = cq_read_u8(r) != 0;
    conf->answer_keys_off = cq_read_u8(r) != 0;
    conf->push_keys_off = cq_read_u8(r) != 0;
    conf->mtu = cq_read_u16(r);
    conf->rotate_secs = cq_read_u16(r);
    conf->fwmark = cq_read_u32(r);
    conf->suites = cq_read_u8(r);
    conf->preferred_suite = cq_read_u8(r);
    conf->tuning.tun_offload = (enum cq_conf_tun_offload)cq_read_u8(r);
    conf->tuning.udp_gso_off = cq_read_u8(r) != 0;
    conf->tuning.udp_gro_off = cq_read_u8(r) != 0;
    uint32_t num = cq_read_u32(r);
    if (err != CQ_OK || r->failed || num > CQ_CONF_MAX_PEERS)
        return err != CQ_OK ? err : CQ_ERR_INVALID;
    *replied = calloc(num + 1, sizeof(**replied));
    if (*replied == NULL)
        return CQ_ERR_NOMEM;
    for (uint32_t i = 0; err == CQ_OK && i < num; i++)
        err = read_peer(r, conf, &(*replied)[i]);
    if (err == CQ_OK && r->failed)
        err = CQ_ERR_INVALID;
    return err;
}

enum cq_err cq_handover_take(struct cq_handover *out, int fd, size_t len,
                             struct cq_handover_start *start, struct cq_conf *conf, bool **replied)
{
    cq_conf_init(conf);
    *replied = NULL;
    *out = (struct cq_handover){.fd = fd, .len = len};
    if (len < sizeof(struct front))
        return CQ_ERR_INVALID;
    if (map(out) != CQ_OK)
        return CQ_ERR_IO;
    const struct front *front = out->memory;
    if (front->magic != MAGIC)
        return CQ_ERR_INVALID;
    *start = front->start;
    struct cq_reader r = cq_reader_make(front + 1, out->len - sizeof(*front));
    (void)cq_read_span(&r, front->num_marks);
    enum cq_err err = read_all(&r, conf, replied);
    if (err != CQ_OK) {
        cq_conf_free(conf);
        free(*replied);
        *replied = NULL;
    }
    return err;
}
