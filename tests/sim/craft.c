#include "craft.h"

#include "crypto/hash.h"
#include "duo.h"
#include "proto/record.h"

void craft_init(struct craft *c, const struct lab_node *i, const struct lab_node *r,
                const uint8_t cookie[CQ_COOKIE_LEN])
{
    struct cq_init_random random;
    memset(c, 0, sizeof(*c));
    c->i = i;
    c->r = r;
    c->params = (struct cq_handshake_params){
        .self = &i->identity,
        .peer_id = r->identity.id,
        .peer_key = &r->identity.public_key,
        .psk = c->psk,
        .suites = CQ_SUITE_AES_256_GCM,
        .rotate_secs = 300,
    };
    uint64_t words[sizeof(random) / 8 + 1];
    for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++)
        words[k] = lab_rng_next(&i->lab->rng);
    memcpy(&random, words, sizeof(random));
    assert_int_equal(cq_mac_keys_init(&c->macs, r->identity.id), CQ_OK);
    assert_int_equal(cq_init_write(&c->state, c->init, &c->params, &c->macs, cookie, &random),
                     CQ_OK);
}

void craft_offer(struct craft *c, const uint8_t reply[CQ_REPLY_LEN])
{
    uint8_t seed[CQ_MLKEM_SEED_LEN];
    for (size_t k = 0; k < sizeof(seed); k++)
        seed[k] = (uint8_t)lab_rng_next(&c->i->lab->rng);
    assert_int_equal(cq_reply_read(&c->state, reply, &c->params), CQ_DROP_NONE);
    assert_int_equal(cq_offer_write(&c->state, c->offer, &c->params, seed), CQ_OK);
}

void craft_accept(struct craft *c, const uint8_t accept[CQ_ACCEPT_LEN])
{
    assert_int_equal(cq_accept_read(&c->state, accept, &c->keys), CQ_DROP_NONE);
}

size_t craft_keepalive(const struct craft *c, uint64_t counter, uint8_t out[64])
{
    static const uint8_t keepalive[3] = {1, 0, 0};
    struct cq_record record = {CQ_MSG_CONTROL, 0, c->keys.remote_idx, counter};
    struct cq_aead *aead;
    cq_record_write(out, &record);
    struct cq_aead_op op = {.ad = out,
                            .ad_len = CQ_RECORD_HEADER_LEN,
                            .in = keepalive,
                            .out = out + CQ_RECORD_HEADER_LEN,
                            .len = sizeof(keepalive),
                            .tag = out + CQ_RECORD_HEADER_LEN + sizeof(keepalive)};
    cq_record_nonce(op.nonce, c->keys.i2r_iv, record.counter);
    assert_int_equal(cq_aead_new(&aead, c->keys.suite, CQ_AEAD_SEAL, c->keys.i2r_key), CQ_OK);
    assert_int_equal(cq_aead_seal_batch(aead, &op, 1), CQ_OK);
    cq_aead_free(aead);
    return CQ_RECORD_OVERHEAD + sizeof(keepalive);
}

void craft_repair_mac1(uint8_t *msg, size_t len, const struct lab_node *r)
{
    struct cq_mac_keys macs;
    uint8_t full[CQ_HASH_LEN];
    assert_int_equal(cq_mac_keys_init(&macs, r->identity.id), CQ_OK);
    size_t at = msg[0] == CQ_MSG_KEY_PUSH ? CQ_KEY_PUSH_MAC1 : CQ_INIT_MAC1;
    assert_true(at < len);
    assert_int_equal(cq_hmac(full, macs.mac1, 32, CQ_SPANS({msg, at})), CQ_OK);
    memcpy(msg + at, full, msg[0] == CQ_MSG_KEY_PUSH ? CQ_PUSH_MAC_LEN : CQ_MAC_LEN);
}

void craft_wipe(struct craft *c)
{
    cq_initiator_wipe(&c->state);
}
