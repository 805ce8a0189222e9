/*
 * What a packet worker reads from the network and from the TUN. The input is a list of op(1) ||
 * length(2) || bytes:
 *
 *   op & 3 = 0  a datagram as it is
 *            1  the plaintext of a DATA record that a peer with the right keys sealed; op & 4:
 * checksum elided 2  the plaintext of a CONTROL record, likewise 3  a TUN frame, virtio header (10
 * bytes) first
 */
#include "base/bytes.h"
#include "crypto/crypto.h"
#include "path/path.h"
#include "path/worker.h"
#include "proto/record.h"
#include "proto/wire.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { MTU = 1420, OUT_BYTES = 80 * 1024 };

static struct {
    struct cq_path *path;
    struct cq_path_worker *worker;
    struct cq_aead *seal;
    uint8_t iv[12];
    uint64_t counter;
    struct cq_path_out out;
    struct cq_path_in in;
} node;

static void require(int condition)
{
    if (!condition)
        abort();
}

static void start(void)
{
    static uint8_t out_buf[OUT_BYTES];
    static bool ready;
    struct cq_path_config config = {.allocator = &cq_heap_allocator, .num_workers = 1, .mtu = MTU};
    struct cq_keypair_params params = {
        .suite = CQ_SUITE_AES_256_GCM,
        .local_idx = 0x01020304,
        .remote_idx = 5,
        .send_until = CQ_TIME_NEVER,
        .recv_until = CQ_TIME_NEVER,
        .rotate_at = CQ_TIME_NEVER,
    };
    struct cq_prefix prefixes[] = {{{CQ_FAMILY_IPV4, {0}}, 0}, {{CQ_FAMILY_IPV6, {0}}, 0}};
    struct cq_path_endpoint endpoint = {
        .route.remote = {.ip = {CQ_FAMILY_IPV4, {192, 0, 2, 1}}, .port = 1}};
    struct cq_path_peer *peer;
    struct cq_keypair *keypair;

    if (!ready)
        require(cq_crypto_init(false) == CQ_OK);
    ready = true;
    require(cq_path_new(&node.path, &config) == CQ_OK);
    node.worker = cq_path_get_worker(node.path, 0);
    require(cq_path_peer_add(node.path, 0, &peer) == CQ_OK);
    require(cq_path_peer_set_prefixes(node.path, peer, prefixes, 2) == CQ_OK);
    require(cq_path_peer_set_endpoint(node.path, peer, &endpoint) == CQ_OK);
    require(cq_path_keypair_add(node.path, peer, &params, &keypair) == CQ_OK);
    cq_path_peer_set_current(node.path, peer, keypair);
    require(cq_aead_new(&node.seal, params.suite, CQ_AEAD_SEAL, params.recv_key) == CQ_OK);
    node.counter = 0;
    cq_path_out_init(&node.out, out_buf, sizeof(out_buf));
    cq_path_in_init(&node.in, true, true, true);
}

static void stop(void)
{
    struct cq_path_event event;

    while (cq_path_next_event(node.path, &event))
        ;
    cq_aead_free(node.seal);
    cq_path_free(node.path);
}

static size_t seal(uint8_t op, const uint8_t *plaintext, size_t len, uint8_t *out)
{
    struct cq_record record = {
        .type = (op & 3) == 1 ? CQ_MSG_DATA : CQ_MSG_CONTROL,
        .flags = (op & 7) == 5 ? CQ_RECORD_FLAG_ELIDED : 0,
        .receiver = 0x01020304,
        .counter = node.counter++,
    };
    struct cq_aead_op aead = {
        .ad = out,
        .ad_len = CQ_RECORD_HEADER_LEN,
        .in = plaintext,
        .out = out + CQ_RECORD_HEADER_LEN,
        .len = len,
        .tag = out + CQ_RECORD_HEADER_LEN + len,
    };

    cq_record_write(out, &record);
    cq_record_nonce(aead.nonce, node.iv, record.counter);
    require(cq_aead_seal_batch(node.seal, &aead, 1) == CQ_OK);
    return len + CQ_RECORD_OVERHEAD;
}

/* Frames are IP packets of exactly their length, of at most what an IP header can say. */
static void check_frames(void)
{
    cq_path_in_finish(&node.in);
    for (size_t i = 0; i < node.in.num_frames; i++) {
        const struct cq_path_in_frame *frame = &node.in.frames[i];
        const uint8_t *p = node.in.pieces[frame->first].data;
        size_t len = 0;
        for (uint32_t k = frame->first; k != CQ_PATH_IN_FRAMES; k = node.in.pieces[k].next)
            len += node.in.pieces[k].len;
        require(len == frame->len && len <= CQ_PATH_FRAME_MAX);
        require(len == (p[0] >> 4 == 4 ? cq_load_be16(p + 2) : cq_load_be16(p + 4) + 40u));
        require(frame->num_pieces > 1 || len <= MTU);
        require((frame->num_pieces > 1) == (frame->vnet.gso_type != CQ_VNET_GSO_NONE));
        if (frame->vnet.flags & CQ_VNET_NEEDS_CSUM)
            require((size_t)frame->vnet.csum_start + frame->vnet.csum_offset + 2 <= len);
    }
    cq_path_in_reset(&node.in);
}

static void take_frame(const uint8_t *data, size_t len)
{
    struct cq_path_frame frame = {.data = NULL};

    if (len < sizeof(frame.vnet))
        return;
    memcpy(&frame.vnet, data, sizeof(frame.vnet));
    frame.len = len - sizeof(frame.vnet);
    /* Of exact size, so that the sanitizer sees what is read or written beyond it. */
    frame.data = malloc(frame.len + CQ_PATH_SLACK);
    require(frame.data != NULL);
    memcpy(frame.data, data + sizeof(frame.vnet), frame.len);
    while (!cq_path_seal(node.worker, &node.out, &frame, 1))
        cq_path_out_reset(&node.out);
    free(frame.data);
    for (size_t i = 0; i < node.out.num_sends; i++)
        require(node.out.sends[i].len <= CQ_PATH_DATAGRAM_MAX &&
                node.out.sends[i].segment <= MTU + CQ_RECORD_OVERHEAD);
    cq_path_out_reset(&node.out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct cq_path_source source = {
        .route.remote = {.ip = {CQ_FAMILY_IPV4, {192, 0, 2, 1}}, .port = 1}, .ecn = 3};
    struct cq_reader r = cq_reader_make(data, len);
    uint8_t *buffers[CQ_PATH_BATCH];
    size_t num = 0;

    start();
    cq_path_enter(node.worker);
    while (r.len > 0 && num < CQ_PATH_BATCH) {
        uint8_t op = cq_read_u8(&r);
        size_t n = cq_read_u16(&r);
        const uint8_t *bytes = cq_read_span(&r, n);
        if (r.failed)
            break;
        if ((op & 3) == 3) {
            take_frame(bytes, n);
            continue;
        }
        struct cq_path_datagram d = {malloc(n + CQ_RECORD_OVERHEAD), n};
        require(d.data != NULL);
        buffers[num++] = d.data;
        if ((op & 3) != 0)
            d.len = seal(op, bytes, n, d.data);
        else
            memcpy(d.data, bytes, n);
        if (cq_path_is_record(d.data, d.len))
            cq_path_open(node.worker, &node.in, &source, &d, 1, 1);
    }
    check_frames();
    (void)!cq_path_leave(node.worker);
    while (num > 0)
        free(buffers[--num]);
    stop();
    return 0;
}
