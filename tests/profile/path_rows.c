/* The packet path: two paths back to back, batches of packets out of the one and into the other. */
#include "measure.h"

#include "path/index.h"
#include "path/packet.h"
#include "path/table.h"
#include "path_pair.h"
#include "proto/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BATCH = 64,
    SUPER_PAYLOAD = 61000, /* as much as one send takes once it is sealed */
    TCP_SEGMENT = 1368,    /* with IPv4, TCP and its timestamps: 1420 */
    UDP_SEGMENT = 1392,
    PREFIXES = 10000,
    LOOKUPS = 1000,
    WINDOW_RUN = 1024,
};

/* One pair per suite, made when it is first wanted. */
static struct pair pairs[2];
static bool made[2];
static struct pair plain; /* its receiver takes no super-packets */
static bool plain_made;

static uint8_t frame_bufs[BATCH][PAIR_MTU + CQ_PATH_SLACK];
static uint8_t super_buf[PACKET_MAX + CQ_PATH_SLACK];
static struct cq_path_frame frames[BATCH];
static unsigned num_frames;

static struct pair_record records[PAIR_RECORDS];
static uint8_t datagram_bufs[BATCH][2048];
static struct cq_path_datagram datagrams[BATCH];
static size_t num_datagrams;

static void die(const char *what)
{
    fprintf(stderr, "path_rows: %s\n", what);
    exit(1);
}

static struct pair *pair_of(uint8_t suite)
{
    unsigned i = suite == CQ_SUITE_CHACHA20_POLY1305;

    if (!made[i])
        pair_init(&pairs[i], &(struct pair_options){.suite = (enum cq_suite)suite});
    made[i] = true;
    return &pairs[i];
}

static struct pair *plain_pair(void)
{
    if (!plain_made)
        pair_init(&plain, &(struct pair_options){.no_offloads = true});
    plain_made = true;
    return &plain;
}

/* ---- out ---- */

/* A batch of packets of row->size bytes, of one flow, as the TUN hands them over. */
static void prepare_packets(const struct measure_row *row)
{
    size_t headers = row->proto == CQ_PROTO_TCP ? 52 : 28;

    num_frames = BATCH;
    for (uint32_t i = 0; i < BATCH; i++) {
        struct packet_spec spec = packet_spec(row->version, row->proto, row->size - headers);
        spec.seq += i * (uint32_t)spec.payload;
        spec.id = (uint16_t)(spec.id + i);
        frames[i] = packet_make_frame(frame_bufs[i], &spec, 0);
    }
}

static void prepare_super(const struct measure_row *row)
{
    struct packet_spec spec = packet_spec(row->version, row->proto, SUPER_PAYLOAD);

    num_frames = 1;
    frames[0] = packet_make_frame(super_buf, &spec, row->size);
}

static void seal_frames(struct pair *pair)
{
    struct pair_side *side = &pair->a;

    cq_path_enter(side->worker);
    for (unsigned i = 0; i < num_frames; i++)
        while (!cq_path_seal(side->worker, &side->out, &frames[i], pair->now))
            cq_path_out_reset(&side->out);
    cq_path_out_reset(&side->out);
    (void)!cq_path_leave(side->worker);
}

static void run_seal(const struct measure_row *row)
{
    seal_frames(pair_of(row->suite));
}

/* Without a session, packets wait. */
static void prepare_staging(const struct measure_row *row)
{
    struct pair *pair = pair_of(row->suite);

    cq_path_peer_set_current(pair->a.path, pair->a.peer, NULL);
    cq_path_drop_staged(pair->a.worker, PAIR_PEER);
    pair_skip_events(&pair->a);
    prepare_packets(row);
}

static void prepare_staged(const struct measure_row *row)
{
    struct pair *pair = pair_of(row->suite);

    prepare_staging(row);
    seal_frames(pair);
    cq_path_peer_set_current(pair->a.path, pair->a.peer, pair->a.keypair);
}

static void run_send_staged(const struct measure_row *row)
{
    struct pair *pair = pair_of(row->suite);
    struct pair_side *side = &pair->a;

    cq_path_enter(side->worker);
    while (!cq_path_send_staged(side->worker, &side->out, PAIR_PEER, pair->now))
        cq_path_out_reset(&side->out);
    cq_path_out_reset(&side->out);
    (void)!cq_path_leave(side->worker);
}

/* ---- in ---- */

/* Fresh records of the frames, where they can be opened. */
static void prepare_records(struct pair *pair)
{
    struct pair_side *from = &pair->a;
    size_t num = 0;

    cq_path_peer_set_current(from->path, from->peer, from->keypair);
    cq_path_enter(from->worker);
    for (unsigned i = 0; i < num_frames; i++)
        while (!cq_path_seal(from->worker, &from->out, &frames[i], pair->now))
            num += pair_take(from, records + num);
    (void)!cq_path_leave(from->worker);
    num += pair_take(from, records + num);
    if (num == 0 || num > BATCH)
        die("a batch of another size than was meant");
    num_datagrams = num;
    for (size_t i = 0; i < num; i++) {
        memcpy(datagram_bufs[i], records[i].data, records[i].len);
        datagrams[i] = (struct cq_path_datagram){datagram_bufs[i], records[i].len};
    }
}

static void open_datagrams(struct pair *pair)
{
    struct pair_side *side = &pair->b;

    cq_path_enter(side->worker);
    cq_path_open(side->worker, &side->in, &pair->a.source, datagrams, num_datagrams, pair->now);
    (void)!cq_path_leave(side->worker);
    cq_path_in_finish(&side->in);
    cq_path_in_reset(&side->in);
}

static void prepare_open(const struct measure_row *row)
{
    prepare_packets(row);
    prepare_records(pair_of(row->suite));
}

static void prepare_open_super(const struct measure_row *row)
{
    prepare_super(row);
    prepare_records(pair_of(row->suite));
}

static void run_open(const struct measure_row *row)
{
    open_datagrams(pair_of(row->suite));
}

static void prepare_open_plain(const struct measure_row *row)
{
    prepare_packets(row);
    prepare_records(plain_pair());
}

static void run_open_plain(const struct measure_row *row)
{
    (void)row;
    open_datagrams(plain_pair());
}

/* What somebody on the network can make a node do. */
static void prepare_forged(const struct measure_row *row)
{
    prepare_open(row);
    for (size_t i = 0; i < num_datagrams; i++)
        datagrams[i].data[datagrams[i].len - 1] ^= 1;
}

static void prepare_replayed(const struct measure_row *row)
{
    prepare_open(row);
    run_open(row);
    for (size_t i = 0; i < num_datagrams; i++)
        memcpy(datagram_bufs[i], records[i].data, records[i].len);
}

static void prepare_unknown(const struct measure_row *row)
{
    prepare_open(row);
    for (size_t i = 0; i < num_datagrams; i++)
        datagrams[i].data[4] ^= 0x80; /* the index of a session that is not there */
}

/* ---- look-ups ---- */

static struct cq_reclaim reclaim;
static struct cq_table table;
static struct cq_index sessions;
static bool filled;
static char owners[PREFIXES];
static unsigned found; /* so that no look-up can be left out */

static uint32_t mix(uint32_t x)
{
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) * 0x846ca68bu;
    return x ^ x >> 16;
}

static struct cq_ip address_of(uint8_t version, uint32_t i)
{
    struct cq_ip ip = {version == 4 ? CQ_FAMILY_IPV4 : CQ_FAMILY_IPV6, {0xfd}};
    uint32_t drawn = mix(i + 1);

    memcpy(ip.bytes + (version == 4 ? 0 : 8), &drawn, sizeof(drawn));
    return ip;
}

static void fill(void)
{
    cq_reclaim_init(&reclaim, &cq_heap_allocator);
    cq_table_init(&table, &reclaim);
    cq_index_init(&sessions, &reclaim);
    if (cq_table_reserve(&table, (size_t)2 * PREFIXES) != CQ_OK)
        die("no memory");
    for (uint32_t i = 0; i < PREFIXES; i++) {
        void *owner = &owners[i];
        cq_table_set(&table, &(struct cq_prefix){address_of(4, i), 32}, owner);
        cq_table_set(&table, &(struct cq_prefix){address_of(6, i), 128}, owner);
        if (cq_index_add(&sessions, mix(i + 1), owner) != CQ_OK)
            die("no memory");
    }
    cq_table_release(&table);
    (void)cq_reclaim_run(&reclaim);
}

static void prepare_lookup(const struct measure_row *row)
{
    (void)row;
    if (!filled)
        fill();
    filled = true;
}

static void run_find(const struct measure_row *row)
{
    for (uint32_t i = 0; i < LOOKUPS; i++) {
        struct cq_ip ip = address_of(row->version, i * (PREFIXES / LOOKUPS));
        const struct cq_path_peer *peer =
            row->version == 4 ? cq_table_find4(&table, ip.bytes) : cq_table_find6(&table, ip.bytes);
        found += peer != NULL;
    }
}

static void run_index(const struct measure_row *row)
{
    (void)row;
    for (uint32_t i = 0; i < LOOKUPS; i++)
        found += cq_index_find(&sessions, mix(i * (PREFIXES / LOOKUPS) + 1)) != NULL;
}

/* ---- windows and keys ---- */

static struct cq_replay *window;
static uint64_t window_next;

static void prepare_window(const struct measure_row *row)
{
    size_t bytes = cq_replay_bytes(CQ_REPLAY_WINDOW_FIRST);

    (void)row;
    if (window == NULL)
        window = calloc(1, bytes);
    if (window == NULL)
        die("no memory");
    memset(window, 0, bytes);
    cq_replay_init(window, CQ_REPLAY_WINDOW_FIRST);
    window_next = 0;
}

/* size: how far apart neighbours in time are; 1: in order. */
static void run_window(const struct measure_row *row)
{
    bool newest = false;

    for (uint64_t i = 0; i < WINDOW_RUN; i++) {
        uint64_t seq = window_next + (i ^ (row->size - 1u));
        if (cq_replay_look(window, seq))
            found += cq_replay_commit(window, seq, &newest);
    }
    window_next += WINDOW_RUN;
}

static struct cq_keypair_params next_params;

static void prepare_switch(const struct measure_row *row)
{
    struct pair *pair = pair_of(row->suite);

    next_params = pair->a.params;
    next_params.local_idx = 0x77777777;
}

/* What a rotation costs the path: new keys made and used, the ones before them erased. */
static void run_switch(const struct measure_row *row)
{
    struct pair_side *side = &pair_of(row->suite)->a;
    struct cq_keypair *fresh = NULL;

    if (cq_path_keypair_add(side->path, side->peer, &next_params, &fresh) != CQ_OK)
        die("no keypair");
    cq_path_peer_set_current(side->path, side->peer, fresh);
    cq_path_peer_set_current(side->path, side->peer, side->keypair);
    cq_path_keypair_remove(side->path, fresh);
    if (cq_path_reclaim(side->path))
        die("a keypair that cannot be freed");
}

enum {
    AES = CQ_SUITE_AES_256_GCM,
    CHACHA = CQ_SUITE_CHACHA20_POLY1305,
    TCP = CQ_PROTO_TCP,
    UDP = CQ_PROTO_UDP,
    TCP_SEGMENTS = (SUPER_PAYLOAD + TCP_SEGMENT - 1) / TCP_SEGMENT,
    UDP_SEGMENTS = (SUPER_PAYLOAD + UDP_SEGMENT - 1) / UDP_SEGMENT,
};

static const struct measure_row rows[] = {
    {"seal/aes/64", "packet", BATCH, prepare_packets, run_seal, AES, 64, 4, UDP},
    {"seal/aes/512", "packet", BATCH, prepare_packets, run_seal, AES, 512, 4, UDP},
    {"seal/aes/1420", "packet", BATCH, prepare_packets, run_seal, AES, 1420, 4, UDP},
    {"seal/aes/1420-ipv6", "packet", BATCH, prepare_packets, run_seal, AES, 1400, 6, UDP},
    {"seal/chacha/64", "packet", BATCH, prepare_packets, run_seal, CHACHA, 64, 4, UDP},
    {"seal/chacha/512", "packet", BATCH, prepare_packets, run_seal, CHACHA, 512, 4, UDP},
    {"seal/chacha/1420", "packet", BATCH, prepare_packets, run_seal, CHACHA, 1420, 4, UDP},
    {"seal/tcp-super-packet", "segment", TCP_SEGMENTS, prepare_super, run_seal, AES, TCP_SEGMENT, 4,
     TCP},
    {"seal/udp-super-packet", "segment", UDP_SEGMENTS, prepare_super, run_seal, AES, UDP_SEGMENT, 4,
     UDP},
    {"open/aes/64", "packet", BATCH, prepare_open, run_open, AES, 64, 4, UDP},
    {"open/aes/512", "packet", BATCH, prepare_open, run_open, AES, 512, 4, UDP},
    {"open/aes/1420", "packet", BATCH, prepare_open, run_open, AES, 1420, 4, UDP},
    {"open/aes/1420-tcp", "packet", BATCH, prepare_open, run_open, AES, 1420, 4, TCP},
    {"open/aes/1420-ipv6", "packet", BATCH, prepare_open, run_open, AES, 1400, 6, UDP},
    {"open/chacha/64", "packet", BATCH, prepare_open, run_open, CHACHA, 64, 4, UDP},
    {"open/chacha/512", "packet", BATCH, prepare_open, run_open, CHACHA, 512, 4, UDP},
    {"open/chacha/1420", "packet", BATCH, prepare_open, run_open, CHACHA, 1420, 4, UDP},
    {"open/tcp-super-packet", "segment", TCP_SEGMENTS, prepare_open_super, run_open, AES,
     TCP_SEGMENT, 4, TCP},
    {"open/udp-super-packet", "segment", UDP_SEGMENTS, prepare_open_super, run_open, AES,
     UDP_SEGMENT, 4, UDP},
    {"open/no-offloads/1420", "packet", BATCH, prepare_open_plain, run_open_plain, AES, 1420, 4,
     TCP},
    {"open/forged/64", "packet", BATCH, prepare_forged, run_open, AES, 64, 4, UDP},
    {"open/replayed/64", "packet", BATCH, prepare_replayed, run_open, AES, 64, 4, UDP},
    {"open/unknown-index/64", "packet", BATCH, prepare_unknown, run_open, AES, 64, 4, UDP},
    {"staged/wait", "packet", BATCH, prepare_staging, run_seal, AES, 1420, 4, UDP},
    {"staged/send", "packet", BATCH, prepare_staged, run_send_staged, AES, 1420, 4, UDP},
    {"allowed-ips/ipv4", "look-up", LOOKUPS, prepare_lookup, run_find, AES, 0, 4, 0},
    {"allowed-ips/ipv6", "look-up", LOOKUPS, prepare_lookup, run_find, AES, 0, 6, 0},
    {"index", "look-up", LOOKUPS, prepare_lookup, run_index, AES, 0, 0, 0},
    {"window/in-order", "record", WINDOW_RUN, prepare_window, run_window, AES, 1, 0, 0},
    {"window/reordered", "record", WINDOW_RUN, prepare_window, run_window, AES, 16, 0, 0},
    {"keypair/switch", "rotation", 1, prepare_switch, run_switch, AES, 0, 0, 0},
};

static void clean_up(void)
{
    for (size_t i = 0; i < 2; i++)
        if (made[i])
            pair_free(&pairs[i]);
    if (plain_made)
        pair_free(&plain);
    if (filled) {
        cq_table_wipe(&table);
        cq_index_wipe(&sessions);
        cq_reclaim_finish(&reclaim);
    }
    free(window);
}

int main(int argc, char **argv)
{
    int status = measure_main(argc, argv, rows, sizeof(rows) / sizeof(rows[0]));

    clean_up();
    return status;
}
