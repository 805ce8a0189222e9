/*
 * The handshake against tests/interop/vectors/handshake-v1.json, which an independent
 * implementation of docs/protocol.md wrote (tests/interop/README.md describes the fields). Every
 * field of every case must be looked at. CRYPRQ_HANDSHAKE_VECTORS names the file.
 */
#include "base/bytes.h"
#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "proto/handshake.h"
#include "proto/handshake_internal.h"
#include "proto/mac.h"
#include "proto/record.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_CASES = 64, FIELD_MAX = 2048 };

/* One case of the file. `seen` collects the names that a test asked for. */
struct vector {
    const json_t *fields;
    json_t *seen;
};

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

static size_t get(struct vector *v, const char *name, uint8_t *out, size_t max)
{
    const char *text = json_string_value(json_object_get(v->fields, name));
    if (text == NULL)
        fail_msg("no field %s", name);
    size_t len = strlen(text) / 2;
    if (strlen(text) % 2 != 0 || len > max)
        fail_msg("length of %s", name);
    for (size_t i = 0; i < len; i++) {
        int high = hex_digit(text[2 * i]);
        int low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            fail_msg("%s is not hexadecimal", name);
        out[i] = (uint8_t)(high << 4 | low);
    }
    json_object_set_new(v->seen, name, json_true());
    return len;
}

static void get_exact(struct vector *v, const char *name, uint8_t *out, size_t len)
{
    if (get(v, name, out, len) != len)
        fail_msg("length of %s", name);
}

static unsigned get_number(struct vector *v, const char *name, size_t len)
{
    uint8_t bytes[4];
    get_exact(v, name, bytes, len);
    return len == 1 ? bytes[0] : len == 2 ? cq_load_be16(bytes) : cq_load_be32(bytes);
}

static void check(struct vector *v, const char *name, const void *actual, size_t len)
{
    uint8_t expected[FIELD_MAX];
    size_t expected_len = get(v, name, expected, sizeof(expected));
    if (expected_len != len || memcmp(actual, expected, len) != 0)
        fail_msg("%s differs", name);
}

static void get_identity(struct vector *v, const char *k_name, struct cq_identity *out)
{
    uint8_t k[CQ_SECRET_KEY_LEN];
    get_exact(v, k_name, k, sizeof(k));
    assert_int_equal(cq_identity_init(out, k), CQ_OK);
}

static void get_macs(struct vector *v, const char *id_name, struct cq_mac_keys *out)
{
    uint8_t id[CQ_PEER_ID_LEN];
    get_exact(v, id_name, id, sizeof(id));
    assert_int_equal(cq_mac_keys_init(out, id), CQ_OK);
}

/* ---- identity ---- */

static void test_identity(struct vector *v)
{
    static const uint8_t type = 0x01;
    struct cq_identity self;
    struct cq_mac_keys macs;
    uint8_t k[32], out[32];
    get_exact(v, "k", k, sizeof(k));
    get_identity(v, "k", &self);
    check(v, "s", self.x25519, 32);
    check(v, "s_pub", self.public_key.s, 32);
    check(v, "ek", self.public_key.ek, CQ_MLKEM_EK_LEN);
    check(v, "public", &self.public_key, sizeof(self.public_key));
    check(v, "id", self.id, CQ_PEER_ID_LEN);
    assert_int_equal(cq_public_key_verify(&self.public_key, self.id), CQ_OK);

    assert_int_equal(cq_hmac(out, k, 32, CQ_SPANS({"CrypRQ ml-kem-768 d", 19}, {&type, 1})), CQ_OK);
    check(v, "d", out, 32);
    assert_int_equal(cq_hmac(out, k, 32, CQ_SPANS({"CrypRQ ml-kem-768 z", 19}, {&type, 1})), CQ_OK);
    check(v, "z", out, 32);

    assert_int_equal(cq_mac_keys_init(&macs, self.id), CQ_OK);
    check(v, "mac1_key", macs.mac1, 32);
    cq_identity_wipe(&self);
}

/* ---- handshake ---- */

/* A handshake between the two identities of a case, the inputs of both sides. */
struct run {
    struct cq_identity i, r;
    uint8_t psk[32];
    struct cq_handshake_params pi, pr;
    struct cq_mac_keys macs;
    uint8_t cookie[CQ_COOKIE_LEN];
    bool has_cookie;
    struct cq_initiator si;
    struct cq_responder sr;
    struct cq_init_reading reading;
    uint8_t init[CQ_INIT_LEN], reply[CQ_REPLY_LEN], offer[CQ_OFFER_LEN], accept[CQ_ACCEPT_LEN];
};

static void set_up(struct vector *v, struct run *run)
{
    memset(run, 0, sizeof(*run));
    get_identity(v, "initiator_k", &run->i);
    get_identity(v, "responder_k", &run->r);
    check(v, "initiator_id", run->i.id, 32);
    check(v, "responder_id", run->r.id, 32);
    get_macs(v, "responder_id", &run->macs);
    get_exact(v, "psk", run->psk, 32);
    run->has_cookie = get(v, "cookie", run->cookie, sizeof(run->cookie)) > 0;
    run->pi = (struct cq_handshake_params){
        .self = &run->i,
        .peer_id = run->r.id,
        .peer_key = &run->r.public_key,
        .psk = run->psk,
        .suites = (uint8_t)get_number(v, "suites_offered", 1),
        .rotate_secs = (uint16_t)get_number(v, "rotate_i", 2),
    };
    run->pr = (struct cq_handshake_params){
        .self = &run->r,
        .peer_id = run->i.id,
        .peer_key = &run->i.public_key,
        .psk = run->psk,
        .suites = (uint8_t)get_number(v, "suites_allowed", 1),
        .preferred_suite = CQ_SUITE_AES_256_GCM,
        .rotate_secs = (uint16_t)get_number(v, "rotate_r", 2),
    };
}

static void tear_down(struct run *run)
{
    cq_initiator_wipe(&run->si);
    cq_responder_wipe(&run->sr);
    cq_init_reading_wipe(&run->reading);
    cq_identity_wipe(&run->i);
    cq_identity_wipe(&run->r);
}

/* INIT without a cookie and the COOKIE that answers it, where the case has them. */
static void check_cookie_round(struct vector *v, struct run *run)
{
    struct cq_init_random random;
    struct cq_initiator first;
    uint8_t init[CQ_INIT_LEN], nonce[CQ_COOKIE_NONCE_LEN], msg[CQ_COOKIE_MSG_LEN], c[CQ_COOKIE_LEN];
    random.idx = get_number(v, "first_idx_i", 4);
    get_exact(v, "first_e_i_secret", random.e, 32);
    get_exact(v, "first_kem_m_r", random.m, 32);
    assert_int_equal(cq_init_write(&first, init, &run->pi, &run->macs, NULL, &random), CQ_OK);
    check(v, "first_init", init, sizeof(init));
    cq_initiator_wipe(&first);

    get_exact(v, "cookie_nonce", nonce, sizeof(nonce));
    assert_int_equal(cq_cookie_seal(msg, &run->macs, init, sizeof(init), nonce, run->cookie),
                     CQ_OK);
    check(v, "cookie_message", msg, sizeof(msg));
    assert_int_equal(cq_wire_check(msg, sizeof(msg)), CQ_DROP_NONE);
    assert_int_equal(cq_cookie_open(c, &run->macs, msg, init + CQ_INIT_MAC1), CQ_OK);
    assert_memory_equal(c, run->cookie, sizeof(c));
}

static void run_init(struct vector *v, struct run *run)
{
    struct cq_init_random random;
    uint8_t fresh[CQ_FRESH_LEN] = {0};
    const uint8_t *cookie = run->has_cookie ? run->cookie : NULL;
    random.idx = get_number(v, "idx_i", 4);
    get_exact(v, "e_i_secret", random.e, 32);
    get_exact(v, "kem_m_r", random.m, 32);
    get_exact(v, "init", run->init, CQ_INIT_LEN);
    if (get_number(v, "max_version", 1) == CQ_PROTOCOL_VERSION) {
        assert_int_equal(cq_init_write(&run->si, run->init, &run->pi, &run->macs, cookie, &random),
                         CQ_OK);
        check(v, "init", run->init, CQ_INIT_LEN);
    } else {
        /* Not an INIT that this version writes, but one that it reads. The initiator's state is
         * made from the responder's below. */
        run->si.local_idx = random.idx;
        run->si.suites = run->pi.suites;
        memcpy(run->si.e, random.e, 32);
        struct cq_mlkem_key *ek;
        uint8_t k[32], ct[CQ_MLKEM_CT_LEN];
        assert_int_equal(cq_mlkem_import(&ek, run->r.public_key.ek), CQ_OK);
        assert_int_equal(cq_mlkem_encaps(ct, k, ek, random.m), CQ_OK);
        cq_mlkem_free(ek);
        assert_memory_equal(ct, run->init + CQ_INIT_CT, sizeof(ct));
    }
    assert_int_equal(run->init[CQ_INIT_MAX_VERSION], get_number(v, "max_version", 1));
    assert_int_equal(run->init[CQ_INIT_SUITES], get_number(v, "suites_offered", 1));
    check(v, "mac1", run->init + CQ_INIT_MAC1, CQ_MAC_LEN);
    check(v, "mac2", run->init + CQ_INIT_MAC2, CQ_MAC_LEN);

    assert_int_equal(cq_wire_check(run->init, CQ_INIT_LEN), CQ_DROP_NONE);
    assert_true(cq_mac1_verify(run->init, CQ_INIT_LEN, &run->macs));
    if (cookie != NULL) {
        assert_true(cq_mac2_verify(run->init, CQ_INIT_LEN, cookie));
        assert_int_equal(cq_cookie_fresh(fresh, cookie), CQ_OK);
    }
    check(v, "fresh8", fresh, sizeof(fresh));

    assert_int_equal(cq_init_read_id(&run->reading, run->init, &run->r), CQ_DROP_NONE);
    check(v, "initiator_id", run->reading.initiator_id, 32);
    memset(fresh, 0xaa, sizeof(fresh));
    assert_int_equal(cq_init_read_fresh(&run->reading, fresh, run->init, &run->pr), CQ_DROP_NONE);
    check(v, "fresh8", fresh, sizeof(fresh));
    check(v, "h_after_init", run->reading.t.h, 32);
    check(v, "ck_after_init", run->reading.t.ck, 32);
    if (get_number(v, "max_version", 1) != CQ_PROTOCOL_VERSION)
        run->si.t = run->reading.t;
    check(v, "h_after_init", run->si.t.h, 32);
    check(v, "ck_after_init", run->si.t.ck, 32);
}

static void run_reply(struct vector *v, struct run *run)
{
    struct cq_reply_random random;
    unsigned suite =
        cq_suite_choose(run->init[CQ_INIT_SUITES], run->pr.suites, run->pr.preferred_suite);
    random.idx = get_number(v, "idx_r", 4);
    get_exact(v, "e_r_secret", random.e, 32);
    get_exact(v, "kem_m_i", random.m, 32);
    assert_int_equal(suite, get_number(v, "suite", 1));
    assert_int_equal(cq_reply_write(&run->sr, run->reply, &run->reading, run->init,
                                    (enum cq_suite)suite, &run->pr, &random),
                     CQ_OK);
    check(v, "reply", run->reply, CQ_REPLY_LEN);
    check(v, "h_after_reply", run->sr.t.h, 32);
    check(v, "ck_after_reply", run->sr.t.ck, 32);
    assert_int_equal(cq_wire_check(run->reply, CQ_REPLY_LEN), CQ_DROP_NONE);
    assert_int_equal(cq_reply_read(&run->si, run->reply, &run->pi), CQ_DROP_NONE);
    check(v, "h_after_reply", run->si.t.h, 32);
    check(v, "ck_after_reply", run->si.t.ck, 32);
    assert_int_equal(run->si.suite, suite);
}

static void check_session(struct vector *v, const struct cq_session_keys *s)
{
    check(v, "i2r_key", s->i2r_key, 32);
    check(v, "i2r_iv", s->i2r_iv, 12);
    check(v, "r2i_key", s->r2i_key, 32);
    check(v, "r2i_iv", s->r2i_iv, 12);
    check(v, "exporter", s->exporter, 32);
    check(v, "sid", s->sid, CQ_SID_LEN);
    assert_int_equal(s->suite, get_number(v, "suite", 1));
    assert_int_equal(s->rotate_secs, get_number(v, "rotate", 2));
}

static void run_offer_accept(struct vector *v, struct run *run)
{
    uint8_t seed[CQ_MLKEM_SEED_LEN], m[32];
    struct cq_session_keys ki, kr;
    get_exact(v, "kem_d_e", seed, 32);
    get_exact(v, "kem_z_e", seed + 32, 32);
    get_exact(v, "kem_m_e", m, 32);
    assert_int_equal(cq_offer_write(&run->si, run->offer, &run->pi, seed), CQ_OK);
    check(v, "offer", run->offer, CQ_OFFER_LEN);
    check(v, "h_after_offer", run->si.t.h, 32);
    assert_int_equal(cq_wire_check(run->offer, CQ_OFFER_LEN), CQ_DROP_NONE);

    assert_int_equal(cq_offer_read(&run->sr, run->offer, &run->pr, m, run->accept, &kr),
                     CQ_DROP_NONE);
    check(v, "accept", run->accept, CQ_ACCEPT_LEN);
    check_session(v, &kr);
    assert_int_equal(kr.local_idx, get_number(v, "idx_r", 4));
    assert_int_equal(kr.remote_idx, get_number(v, "idx_i", 4));

    assert_int_equal(cq_wire_check(run->accept, CQ_ACCEPT_LEN), CQ_DROP_NONE);
    assert_int_equal(cq_accept_read(&run->si, run->accept, &ki), CQ_DROP_NONE);
    check_session(v, &ki);
    assert_int_equal(ki.local_idx, get_number(v, "idx_i", 4));
    assert_int_equal(ki.remote_idx, get_number(v, "idx_r", 4));
}

static void check_key(struct vector *v, const struct cq_transcript *t, const char *label,
                      const char *field)
{
    uint8_t key[32];
    assert_int_equal(cq_t_key(t, label, key), CQ_OK);
    check(v, field, key, 32);
}

static void open_field(struct vector *v, struct cq_transcript *t, const char *label,
                       const char *field, uint8_t *out, const uint8_t *c, size_t ct_len)
{
    check_key(v, t, label, field);
    assert_int_equal(cq_t_open(t, label, out, c, ct_len), CQ_OK);
}

/* The symmetric state token by token, from the secrets of one side or the other. */
static void walk_init(struct vector *v, const struct run *run, struct cq_transcript *t)
{
    uint8_t k_s[32], dh[32], out[CQ_MLKEM_CT_LEN];
    assert_int_equal(cq_t_start(t, run->r.id), CQ_OK);
    check(v, "h_start", t->h, 32);
    check(v, "h_start", t->ck, 32);
    assert_int_equal(cq_mlkem_decaps(k_s, run->r.mlkem, run->init + CQ_INIT_CT), CQ_OK);
    assert_int_equal(cq_x25519(dh, run->r.x25519, run->init + CQ_INIT_E), CQ_OK);
    assert_int_equal(cq_t_init_begin(t, run->init, run->r.id, k_s, dh), CQ_OK);
    open_field(v, t, "m1 id", "key_m1_id", out, run->init + CQ_INIT_ENC_ID, 48);
    assert_memory_equal(out, run->i.id, 32);
    assert_int_equal(cq_t_mix_identities(t, run->i.id, &run->i.public_key, &run->r.public_key),
                     CQ_OK);
    assert_int_equal(cq_x25519(dh, run->i.x25519, run->r.public_key.s), CQ_OK);
    assert_int_equal(cq_t_mix_key(t, dh, run->psk, NULL), CQ_OK);
    open_field(v, t, "m1 fresh", "key_m1_fresh", out, run->init + CQ_INIT_ENC_FRESH, 24);
    check(v, "h_after_init", t->h, 32);
    check(v, "ck_after_init", t->ck, 32);
}

static void walk_reply(struct vector *v, const struct run *run, struct cq_transcript *t)
{
    uint8_t e_i[32], k_i[32], ee[32], se[32], ct[CQ_MLKEM_CT_LEN], choice[8];
    const uint8_t *e_r = run->reply + CQ_REPLY_E;
    get_exact(v, "e_i_secret", e_i, 32);
    assert_int_equal(cq_t_mix_hash(t, CQ_SPANS({run->reply, CQ_REPLY_ENC_CT})), CQ_OK);
    open_field(v, t, "m2 ct", "key_m2_ct", ct, run->reply + CQ_REPLY_ENC_CT, sizeof(ct) + 16);
    assert_int_equal(cq_mlkem_decaps(k_i, run->i.mlkem, ct), CQ_OK);
    assert_int_equal(cq_x25519(ee, e_i, e_r), CQ_OK);
    assert_int_equal(cq_x25519(se, run->i.x25519, e_r), CQ_OK);
    assert_int_equal(cq_t_mix_key(t, k_i, ee, se), CQ_OK);
    open_field(v, t, "m2 choice", "key_m2_choice", choice, run->reply + CQ_REPLY_ENC_CHOICE, 24);
    assert_int_equal(choice[0], get_number(v, "suite", 1));
    assert_int_equal(cq_load_be16(choice + 1), get_number(v, "rotate_r", 2));
    check(v, "h_after_reply", t->h, 32);
    check(v, "ck_after_reply", t->ck, 32);
}

static void walk_rest(struct vector *v, const struct run *run, struct cq_transcript *t)
{
    uint8_t offer[CQ_MLKEM_EK_LEN + 8], ct[CQ_MLKEM_CT_LEN], seed[64], k_e[32], none;
    struct cq_mlkem_key *key;
    struct cq_session_keys s = {0};
    assert_int_equal(cq_t_mix_hash(t, CQ_SPANS({run->offer, CQ_ANSWER_HDR_LEN})), CQ_OK);
    open_field(v, t, "m3 offer", "key_m3_offer", offer, run->offer + CQ_OFFER_ENC_OFFER,
               sizeof(offer) + 16);
    assert_int_equal(cq_load_be16(offer + CQ_MLKEM_EK_LEN), get_number(v, "rotate_i", 2));
    check(v, "h_after_offer", t->h, 32);
    assert_int_equal(cq_t_mix_hash(t, CQ_SPANS({run->accept, CQ_ANSWER_HDR_LEN})), CQ_OK);
    open_field(v, t, "m4 ct", "key_m4_ct", ct, run->accept + CQ_ACCEPT_ENC_CT, sizeof(ct) + 16);
    get_exact(v, "kem_d_e", seed, 32);
    get_exact(v, "kem_z_e", seed + 32, 32);
    assert_int_equal(cq_mlkem_keygen(&key, NULL, seed), CQ_OK);
    assert_int_equal(cq_mlkem_decaps(k_e, key, ct), CQ_OK);
    cq_mlkem_free(key);
    assert_int_equal(cq_t_mix_key(t, k_e, NULL, NULL), CQ_OK);
    open_field(v, t, "m4 fin", "key_m4_fin", &none, run->accept + CQ_ACCEPT_ENC_FIN, 16);
    check(v, "h_final", t->h, 32);
    check(v, "ck_final", t->ck, 32);
    assert_int_equal(cq_t_session(t, &s), CQ_OK);
    check(v, "exporter", s.exporter, 32);
}

/* ---- records ---- */

enum { INNER_MTU = 1420 };

/* Seals one record and opens it again. */
static void check_record(struct vector *v, const char *prefix, const char *key_name,
                         const char *iv_name, const char *idx_name, uint8_t type)
{
    char name[64];
    uint8_t key[32], iv[12], plain[FIELD_MAX], packet[FIELD_MAX], seq[8], record[FIELD_MAX];
    struct cq_record header = {.type = type}, read;
    struct cq_aead *aead;
#define FIELD(suffix) (snprintf(name, sizeof(name), "%s_%s", prefix, suffix), name)
    get_exact(v, key_name, key, 32);
    get_exact(v, iv_name, iv, 12);
    size_t len = get(v, FIELD("plaintext"), plain, sizeof(plain));
    get_exact(v, FIELD("seq"), seq, 8);
    unsigned lane = get_number(v, FIELD("lane"), 1);
    header.flags = (uint8_t)get_number(v, FIELD("flags"), 1);
    header.receiver = get_number(v, idx_name, 4);
    header.counter = cq_record_counter(lane, cq_load_be64(seq));
    cq_record_write(record, &header);

    enum cq_suite suite = (enum cq_suite)get_number(v, "suite", 1);
    struct cq_aead_op op = {.ad = record,
                            .ad_len = CQ_RECORD_HEADER_LEN,
                            .in = plain,
                            .out = record + CQ_RECORD_HEADER_LEN,
                            .len = len,
                            .tag = record + CQ_RECORD_HEADER_LEN + len};
    cq_record_nonce(op.nonce, iv, header.counter);
    assert_int_equal(cq_aead_new(&aead, suite, CQ_AEAD_SEAL, key), CQ_OK);
    assert_int_equal(cq_aead_seal_batch(aead, &op, 1), CQ_OK);
    cq_aead_free(aead);
    check(v, FIELD("record"), record, len + CQ_RECORD_OVERHEAD);

    assert_true(cq_record_is_one(record, len + CQ_RECORD_OVERHEAD));
    assert_int_equal(cq_record_read(&read, record, len + CQ_RECORD_OVERHEAD), CQ_DROP_NONE);
    assert_int_equal(read.type, type);
    assert_int_equal(read.flags, header.flags);
    assert_int_equal(read.receiver, header.receiver);
    assert_int_equal(cq_record_lane(read.counter), lane);
    assert_int_equal(cq_record_seq(read.counter), cq_load_be64(seq));
    op.in = record + CQ_RECORD_HEADER_LEN;
    cq_record_nonce(op.nonce, iv, read.counter);
    assert_int_equal(cq_aead_new(&aead, suite, CQ_AEAD_OPEN, key), CQ_OK);
    assert_int_equal(cq_aead_open_batch(aead, &op, 1), CQ_OK);
    cq_aead_free(aead);
    assert_memory_equal(record + CQ_RECORD_HEADER_LEN, plain, len);
    if (type == CQ_MSG_DATA) {
        size_t packet_len = get(v, FIELD("packet"), packet, sizeof(packet));
        assert_int_equal(len, cq_record_padded_len(packet_len, INNER_MTU));
        assert_memory_equal(plain, packet, packet_len);
    }
#undef FIELD
}

static void check_records(struct vector *v)
{
    check_record(v, "i2r_control", "i2r_key", "i2r_iv", "idx_r", CQ_MSG_CONTROL);
    check_record(v, "i2r_data", "i2r_key", "i2r_iv", "idx_r", CQ_MSG_DATA);
    check_record(v, "i2r_data6", "i2r_key", "i2r_iv", "idx_r", CQ_MSG_DATA);
    check_record(v, "r2i_control", "r2i_key", "r2i_iv", "idx_i", CQ_MSG_CONTROL);
    check_record(v, "r2i_data", "r2i_key", "r2i_iv", "idx_i", CQ_MSG_DATA);
    check_record(v, "r2i_data_flag", "r2i_key", "r2i_iv", "idx_i", CQ_MSG_DATA);
}

static void test_handshake(struct vector *v)
{
    struct run run;
    struct cq_transcript t;
    set_up(v, &run);
    if (run.has_cookie)
        check_cookie_round(v, &run);
    run_init(v, &run);
    run_reply(v, &run);
    run_offer_accept(v, &run);
    walk_init(v, &run, &t);
    walk_reply(v, &run, &t);
    walk_rest(v, &run, &t);
    check_records(v);
    tear_down(&run);
}

/* ---- first contact ---- */

static void check_ids(struct vector *v)
{
    struct cq_identity identity;
    get_identity(v, "initiator_k", &identity);
    check(v, "initiator_id", identity.id, 32);
    cq_identity_wipe(&identity);
    get_identity(v, "responder_k", &identity);
    check(v, "responder_id", identity.id, 32);
    cq_identity_wipe(&identity);
}

static void test_key_request(struct vector *v)
{
    struct cq_mac_keys macs;
    uint8_t cookie[CQ_COOKIE_LEN], msg[CQ_KEY_REQUEST_LEN];
    get_macs(v, "responder_id", &macs);
    bool has_cookie = get(v, "cookie", cookie, sizeof(cookie)) > 0;
    assert_int_equal(cq_key_request_write(msg, &macs, get_number(v, "request_id", 4),
                                          has_cookie ? cookie : NULL),
                     CQ_OK);
    check(v, "message", msg, sizeof(msg));
    check(v, "mac1", msg + CQ_KEY_REQUEST_MAC1, CQ_MAC_LEN);
    check(v, "mac2", msg + CQ_KEY_REQUEST_MAC2, CQ_MAC_LEN);
    assert_int_equal(cq_wire_check(msg, sizeof(msg)), CQ_DROP_NONE);
    assert_true(cq_mac1_verify(msg, sizeof(msg), &macs));
    if (has_cookie)
        assert_true(cq_mac2_verify(msg, sizeof(msg), cookie));
    check_ids(v);
}

static void test_cookie(struct vector *v)
{
    struct cq_mac_keys macs;
    uint8_t request[CQ_KEY_REQUEST_LEN] = {CQ_MSG_KEY_REQUEST, CQ_PROTOCOL_VERSION};
    uint8_t nonce[CQ_COOKIE_NONCE_LEN], cookie[CQ_COOKIE_LEN], msg[CQ_COOKIE_MSG_LEN];
    uint8_t key[32], fresh[CQ_FRESH_LEN], opened[CQ_COOKIE_LEN];
    get_macs(v, "responder_id", &macs);
    get_exact(v, "idx", request + 4, 4);
    get_exact(v, "answered_mac1", request + CQ_KEY_REQUEST_MAC1, CQ_MAC_LEN);
    get_exact(v, "cookie", cookie, sizeof(cookie));
    get_exact(v, "cookie_nonce", nonce, sizeof(nonce));
    assert_int_equal(cq_hmac(key, macs.cookie, 32, CQ_SPANS({nonce, sizeof(nonce)})), CQ_OK);
    check(v, "cookie_key", key, 32);
    assert_int_equal(cq_cookie_fresh(fresh, cookie), CQ_OK);
    check(v, "fresh8", fresh, sizeof(fresh));
    assert_int_equal(cq_cookie_seal(msg, &macs, request, sizeof(request), nonce, cookie), CQ_OK);
    check(v, "message", msg, sizeof(msg));
    assert_int_equal(cq_cookie_open(opened, &macs, msg, request + CQ_KEY_REQUEST_MAC1), CQ_OK);
    assert_memory_equal(opened, cookie, sizeof(cookie));
    check_ids(v);
}

static void test_key_response(struct vector *v)
{
    struct cq_public_key key;
    uint8_t msg[CQ_KEY_RESPONSE_LEN];
    get_exact(v, "public", (uint8_t *)&key, sizeof(key));
    cq_key_response_write(msg, get_number(v, "request_id", 4), &key);
    check(v, "message", msg, sizeof(msg));
    assert_int_equal(cq_wire_check(msg, sizeof(msg)), CQ_DROP_NONE);
    check_ids(v);
}

static void test_key_push(struct vector *v)
{
    struct cq_mac_keys macs;
    struct cq_public_key key;
    uint8_t msg[CQ_KEY_PUSH_LEN];
    get_macs(v, "responder_id", &macs);
    get_exact(v, "public", (uint8_t *)&key, sizeof(key));
    assert_int_equal(cq_key_push_write(msg, &macs, &key), CQ_OK);
    check(v, "message", msg, sizeof(msg));
    check(v, "mac1", msg + CQ_KEY_PUSH_MAC1, CQ_PUSH_MAC_LEN);
    assert_int_equal(cq_wire_check(msg, sizeof(msg)), CQ_DROP_NONE);
    assert_true(cq_key_push_verify(msg, &macs));
    check_ids(v);
}

/* ---- the file ---- */

static const struct {
    const char *kind;
    void (*run)(struct vector *v);
    size_t min_cases;
} kinds[] = {
    {"identity", test_identity, 3},         {"handshake", test_handshake, 5},
    {"key_request", test_key_request, 2},   {"cookie", test_cookie, 1},
    {"key_response", test_key_response, 1}, {"key_push", test_key_push, 1},
};
enum { NUM_KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static int find_kind(const json_t *fields)
{
    const char *kind = json_string_value(json_object_get(fields, "kind"));
    for (int i = 0; kind != NULL && i < NUM_KINDS; i++)
        if (strcmp(kind, kinds[i].kind) == 0)
            return i;
    return -1;
}

static void run_case(void **state)
{
    struct vector v = {.fields = *state, .seen = json_object()};
    const char *name;
    json_t *value;
    int kind = find_kind(v.fields);
    assert_true(kind >= 0);
    kinds[kind].run(&v);
    json_object_foreach((json_t *)*state, name, value)
    {
        if (strcmp(name, "kind") != 0 && strcmp(name, "name") != 0 &&
            json_object_get(v.seen, name) == NULL)
            fail_msg("nothing looked at the field %s", name);
    }
    json_decref(v.seen);
}

static json_t *load(void)
{
    const char *path = getenv("CRYPRQ_HANDSHAKE_VECTORS");
    json_error_t error;
    json_t *root = path != NULL ? json_load_file(path, 0, &error) : NULL;
    const char *format = json_string_value(json_object_get(root, "format"));
    if (format == NULL || strcmp(format, "cryprq handshake vectors v1") != 0) {
        fprintf(stderr, "no handshake vectors in %s (CRYPRQ_HANDSHAKE_VECTORS)\n",
                path != NULL ? path : "nothing");
        exit(1);
    }
    return root;
}

static void test_all_kinds_present(void **state)
{
    size_t count[NUM_KINDS] = {0}, index;
    json_t *fields;
    json_array_foreach((json_t *)*state, index, fields)
    {
        int kind = find_kind(fields);
        assert_true(kind >= 0);
        count[kind]++;
    }
    for (int i = 0; i < NUM_KINDS; i++)
        if (count[i] < kinds[i].min_cases)
            fail_msg("only %zu cases of kind %s", count[i], kinds[i].kind);
}

int main(void)
{
    struct CMUnitTest tests[MAX_CASES] = {0};
    json_t *root = load();
    json_t *cases = json_object_get(root, "cases");
    size_t num = 0;
    if (cq_crypto_init(false) != CQ_OK || json_array_size(cases) >= MAX_CASES)
        return 1;
    tests[num++] = (struct CMUnitTest)cmocka_unit_test_prestate(test_all_kinds_present, cases);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        json_t *fields = json_array_get(cases, i);
        tests[num++] = (struct CMUnitTest){
            .name = json_string_value(json_object_get(fields, "name")),
            .test_func = run_case,
            .initial_state = fields,
        };
    }
    int failed = _cmocka_run_group_tests("handshake_vectors", tests, num, NULL, NULL);
    json_decref(root);
    return failed;
}
