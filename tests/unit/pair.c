#include "pair.h"

#include "base/bytes.h"
#include "crypto/hash.h"
#include "proto/handshake_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

const uint8_t low_order_points[NUM_LOW_ORDER][32] = {
    {0},
    {1},
    {0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3,
     0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32,
     0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
    {0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1,
     0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c,
     0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57},
    /* p - 1, p, p + 1 */
    {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    {0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    {0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    /* 0, 1, p - 1, p, p + 1 with the bit that X25519 ignores */
    {[31] = 0x80},
    {[0] = 1, [31] = 0x80},
    {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
    {0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
    {0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
};

/* 32 bytes that depend on the seed and the label. */
static void draw(uint8_t out[32], unsigned seed, const char *label)
{
    uint8_t bytes[4];
    cq_store_be32(bytes, seed);
    assert_int_equal(cq_hash(out, CQ_SPANS({bytes, 4}, {label, strlen(label)})), CQ_OK);
}

static uint32_t draw_idx(unsigned seed, const char *label)
{
    uint8_t bytes[32];
    draw(bytes, seed, label);
    return cq_load_be32(bytes);
}

static void draw_identity(struct cq_identity *out, struct cq_mac_keys *macs, unsigned seed,
                          const char *label)
{
    uint8_t k[32];
    draw(k, seed, label);
    assert_int_equal(cq_identity_init(out, k), CQ_OK);
    assert_int_equal(cq_mac_keys_init(macs, out->id), CQ_OK);
}

void pair_init(struct pair *p, unsigned seed)
{
    memset(p, 0, sizeof(*p));
    draw_identity(&p->i, &p->macs_i, seed, "initiator");
    draw_identity(&p->r, &p->macs_r, seed, "responder");
    p->init_random.idx = draw_idx(seed, "init idx");
    draw(p->init_random.e, seed, "init e");
    draw(p->init_random.m, seed, "init m");
    p->reply_random.idx = draw_idx(seed, "reply idx");
    draw(p->reply_random.e, seed, "reply e");
    draw(p->reply_random.m, seed, "reply m");
    draw(p->offer_seed, seed, "offer d");
    draw(p->offer_seed + 32, seed, "offer z");
    draw(p->accept_random, seed, "accept m");
    p->pi = (struct cq_handshake_params){
        .self = &p->i,
        .peer_id = p->r.id,
        .peer_key = &p->r.public_key,
        .psk = p->psk,
        .suites = CQ_SUITE_AES_256_GCM | CQ_SUITE_CHACHA20_POLY1305,
        .rotate_secs = 300,
    };
    p->pr = p->pi;
    p->pr.self = &p->r;
    p->pr.peer_id = p->i.id;
    p->pr.peer_key = &p->i.public_key;
    p->pr.preferred_suite = CQ_SUITE_AES_256_GCM;
}

void pair_wipe(struct pair *p)
{
    cq_initiator_wipe(&p->si);
    cq_init_reading_wipe(&p->reading);
    cq_responder_wipe(&p->sr);
    cq_identity_wipe(&p->i);
    cq_identity_wipe(&p->r);
}

void pair_init_message(struct pair *p)
{
    assert_int_equal(cq_init_write(&p->si, p->init, &p->pi, &p->macs_r, NULL, &p->init_random),
                     CQ_OK);
}

void pair_read_init(struct pair *p)
{
    assert_int_equal(cq_init_read_id(&p->reading, p->init, &p->r), CQ_DROP_NONE);
    assert_int_equal(cq_init_read_fresh(&p->reading, p->fresh, p->init, &p->pr), CQ_DROP_NONE);
}

void pair_write_reply(struct pair *p)
{
    unsigned suite = cq_suite_choose(p->init[CQ_INIT_SUITES], p->pr.suites, p->pr.preferred_suite);
    assert_int_equal(cq_reply_write(&p->sr, p->reply, &p->reading, p->init, (enum cq_suite)suite,
                                    &p->pr, &p->reply_random),
                     CQ_OK);
}

void pair_read_reply(struct pair *p)
{
    assert_int_equal(cq_reply_read(&p->si, p->reply, &p->pi), CQ_DROP_NONE);
}

void pair_write_offer(struct pair *p)
{
    assert_int_equal(cq_offer_write(&p->si, p->offer, &p->pi, p->offer_seed), CQ_OK);
}

void pair_read_offer(struct pair *p)
{
    assert_int_equal(cq_offer_read(&p->sr, p->offer, &p->pr, p->accept_random, p->accept, &p->kr),
                     CQ_DROP_NONE);
}

void pair_read_accept(struct pair *p)
{
    assert_int_equal(cq_accept_read(&p->si, p->accept, &p->ki), CQ_DROP_NONE);
}

void pair_forge_reply(const struct pair *p, const uint8_t e_r[32], const uint8_t choice[8],
                      uint8_t out[CQ_REPLY_LEN])
{
    struct cq_transcript t = p->reading.t;
    struct cq_mlkem_key *ek;
    uint8_t ct[CQ_MLKEM_CT_LEN], k_i[32], ee[32] = {0}, se[32] = {0};
    cq_t_answer_header(out, CQ_MSG_REPLY, p->reply_random.idx, p->init_random.idx);
    memcpy(out + CQ_REPLY_E, e_r, 32);
    assert_int_equal(cq_t_mix_hash(&t, CQ_SPANS({out, CQ_REPLY_ENC_CT})), CQ_OK);
    assert_int_equal(cq_mlkem_import(&ek, p->i.public_key.ek), CQ_OK);
    assert_int_equal(cq_mlkem_encaps(ct, k_i, ek, p->reply_random.m), CQ_OK);
    cq_mlkem_free(ek);
    assert_int_equal(cq_t_seal(&t, "m2 ct", out + CQ_REPLY_ENC_CT, ct, sizeof(ct)), CQ_OK);
    /* From the initiator's secrets, so that e_R need not be a point whose secret is known. Where it
     * is of low order both stay zero, which is what an attacker would compute. */
    enum cq_err err = cq_x25519(ee, p->init_random.e, e_r);
    if (err == CQ_OK)
        err = cq_x25519(se, p->i.x25519, e_r);
    assert_true(err == CQ_OK || err == CQ_ERR_AUTH);
    assert_int_equal(cq_t_mix_key(&t, k_i, ee, se), CQ_OK);
    assert_int_equal(cq_t_seal(&t, "m2 choice", out + CQ_REPLY_ENC_CHOICE, choice, 8), CQ_OK);
}

void pair_forge_offer(const struct pair *p, const uint8_t offer[CQ_MLKEM_EK_LEN + 8],
                      uint8_t out[CQ_OFFER_LEN])
{
    struct cq_transcript t = p->si.t;
    cq_t_answer_header(out, CQ_MSG_OFFER, p->init_random.idx, p->reply_random.idx);
    assert_int_equal(cq_t_mix_hash(&t, CQ_SPANS({out, CQ_ANSWER_HDR_LEN})), CQ_OK);
    assert_int_equal(
        cq_t_seal(&t, "m3 offer", out + CQ_OFFER_ENC_OFFER, offer, CQ_MLKEM_EK_LEN + 8), CQ_OK);
}
