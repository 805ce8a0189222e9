/*
 * Runs the handshake of src/proto over the recorder, so that what it computes comes out as JSON
 * lines: one handshake between two sides, and each role by itself for every peer of the model,
 * facing a network of which nothing is known: ephemeral keys and KEM ciphertexts are open inputs,
 * and sealed fields are holes that open under any key. tests/symbolic/roles.py reads the lines.
 */
#include "recorder.h"

#include "base/bytes.h"
#include "proto/handshake.h"
#include "proto/mac.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROTATE = 300 };

static const uint8_t both_suites = CQ_SUITE_AES_256_GCM | CQ_SUITE_CHACHA20_POLY1305;

/* A, B and M with keys of their own; the others are public keys that M may claim, made of halves of
 * somebody else's. */
enum who { A, B, M, MXA, MXB, MKA, MKB, NUM_WHO };

static const char *const names[NUM_WHO] = {"A", "B", "M", "MxA", "MxB", "MkA", "MkB"};

struct party {
    struct cq_identity self; /* A, B, M */
    struct cq_public_key key;
    uint8_t id[CQ_PEER_ID_LEN];
    struct cq_mac_keys macs;
};

static struct party parties[NUM_WHO];

static void require(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "trace: %s failed\n", what);
    exit(1);
}

static void name_value(const char *format, const char *name, const uint8_t *value, size_t len)
{
    char text[64];
    snprintf(text, sizeof(text), "%s%s", format, name);
    rec_value(text, value, len);
}

static void make_party(enum who w, const struct cq_public_key *key)
{
    struct party *p = &parties[w];
    p->key = *key;
    require(cq_peer_id(p->id, &p->key) == CQ_OK, "peer ID");
    require(cq_mac_keys_init(&p->macs, p->id) == CQ_OK, "MAC keys");
    name_value("S_", names[w], p->key.s, sizeof(p->key.s));
    name_value("ek_", names[w], p->key.ek, sizeof(p->key.ek));
    name_value("ID_", names[w], p->id, sizeof(p->id));
}

static void make_owner(enum who w)
{
    char name[16];
    uint8_t secret[CQ_SECRET_KEY_LEN];
    struct party *p = &parties[w];
    snprintf(name, sizeof(name), "k_%s", names[w]);
    rec_atom(name, secret, sizeof(secret));
    require(cq_identity_init(&p->self, secret) == CQ_OK, "identity");
    name_value("s_", names[w], p->self.x25519, sizeof(p->self.x25519));
    make_party(w, &p->self.public_key);
}

static void make_mix(enum who w, enum who s, enum who ek)
{
    struct cq_public_key key = parties[s].key;
    memcpy(key.ek, parties[ek].key.ek, sizeof(key.ek));
    make_party(w, &key);
}

static struct cq_handshake_params params(enum who self, enum who peer, const uint8_t psk[32])
{
    return (struct cq_handshake_params){
        .self = &parties[self].self,
        .peer_id = parties[peer].id,
        .peer_key = &parties[peer].key,
        .psk = psk,
        .suites = both_suites,
        .preferred_suite = CQ_SUITE_AES_256_GCM,
        .rotate_secs = ROTATE,
    };
}

/* ---- values of a state ---- */

static void name_state(const char *when, const struct cq_transcript *t)
{
    name_value("h_", when, t->h, sizeof(t->h));
    name_value("ck_", when, t->ck, sizeof(t->ck));
}

static void name_session(const struct cq_session_keys *k)
{
    rec_value("i2r key", k->i2r_key, sizeof(k->i2r_key));
    rec_value("i2r iv", k->i2r_iv, sizeof(k->i2r_iv));
    rec_value("r2i key", k->r2i_key, sizeof(k->r2i_key));
    rec_value("r2i iv", k->r2i_iv, sizeof(k->r2i_iv));
    rec_value("exporter", k->exporter, sizeof(k->exporter));
    rec_value("sid", k->sid, sizeof(k->sid));
}

/* ---- inputs that a role draws itself ---- */

static void draw_initiator(struct cq_init_random *random, uint8_t seed[CQ_MLKEM_SEED_LEN])
{
    uint8_t idx[4];
    rec_atom("@idx_I", idx, sizeof(idx));
    random->idx = cq_load_be32(idx);
    rec_atom("@e_I", random->e, sizeof(random->e));
    rec_atom("@m_R", random->m, sizeof(random->m));
    rec_atom("@seed_E", seed, CQ_MLKEM_SEED_LEN);
}

static void draw_responder(struct cq_reply_random *random, uint8_t m_e[CQ_MLKEM_RANDOM_LEN])
{
    uint8_t idx[4];
    rec_atom("@idx_R", idx, sizeof(idx));
    random->idx = cq_load_be32(idx);
    rec_atom("@e_R", random->e, sizeof(random->e));
    rec_atom("@m_I", random->m, sizeof(random->m));
    rec_atom("@m_E", m_e, CQ_MLKEM_RANDOM_LEN);
}

/* ---- messages from a network that may send anything ---- */

static const uint8_t choice[8] = {CQ_SUITE_AES_256_GCM, ROTATE >> 8, ROTATE & 0xff};

static void open_init(uint8_t msg[CQ_INIT_LEN], enum who peer, uint8_t suites)
{
    static const uint8_t fresh[CQ_FRESH_LEN];
    memset(msg, 0, CQ_INIT_LEN);
    msg[0] = CQ_MSG_INIT;
    msg[1] = CQ_PROTOCOL_VERSION;
    msg[CQ_INIT_MAX_VERSION] = CQ_PROTOCOL_VERSION;
    msg[CQ_INIT_SUITES] = suites;
    rec_atom("?idx_I", msg + CQ_INIT_IDX, 4);
    rec_atom("?e_I", msg + CQ_INIT_E, CQ_X25519_LEN);
    rec_atom("?ct_R", msg + CQ_INIT_CT, CQ_MLKEM_CT_LEN);
    rec_hole(msg + CQ_INIT_ENC_ID, parties[peer].id, CQ_PEER_ID_LEN);
    rec_hole(msg + CQ_INIT_ENC_FRESH, fresh, sizeof(fresh));
}

/* The header of REPLY, OFFER or ACCEPT toward whoever has index `to`. */
static void open_header(uint8_t *msg, enum cq_msg_type type, const char *sender, uint32_t to)
{
    msg[0] = (uint8_t)type;
    msg[1] = CQ_PROTOCOL_VERSION;
    msg[2] = 0;
    msg[3] = 0;
    rec_atom(sender, msg + CQ_ANSWER_SENDER, 4);
    cq_store_be32(msg + CQ_ANSWER_RECEIVER, to);
}

static void open_reply(uint8_t msg[CQ_REPLY_LEN], uint32_t to)
{
    uint8_t ct_i[CQ_MLKEM_CT_LEN];
    open_header(msg, CQ_MSG_REPLY, "?idx_R", to);
    rec_atom("?e_R", msg + CQ_REPLY_E, CQ_X25519_LEN);
    rec_atom("?ct_I", ct_i, sizeof(ct_i));
    rec_hole(msg + CQ_REPLY_ENC_CT, ct_i, sizeof(ct_i));
    rec_hole(msg + CQ_REPLY_ENC_CHOICE, choice, sizeof(choice));
}

static void open_offer(uint8_t msg[CQ_OFFER_LEN], uint32_t to)
{
    uint8_t offer[CQ_MLKEM_EK_LEN + 8] = {0};
    open_header(msg, CQ_MSG_OFFER, "?idx_OFFER", to);
    rec_atom("?ek_E", offer, CQ_MLKEM_EK_LEN);
    cq_store_be16(offer + CQ_MLKEM_EK_LEN, ROTATE);
    rec_hole(msg + CQ_OFFER_ENC_OFFER, offer, sizeof(offer));
}

static void open_accept(uint8_t msg[CQ_ACCEPT_LEN], uint32_t to)
{
    uint8_t ct_e[CQ_MLKEM_CT_LEN];
    open_header(msg, CQ_MSG_ACCEPT, "?idx_ACCEPT", to);
    rec_atom("?ct_E", ct_e, sizeof(ct_e));
    rec_hole(msg + CQ_ACCEPT_ENC_CT, ct_e, sizeof(ct_e));
    rec_hole(msg + CQ_ACCEPT_ENC_FIN, (const uint8_t *)"", 0);
}

/* ---- the steps of both roles, as the engine takes them ---- */

struct initiator {
    struct cq_handshake_params p;
    struct cq_init_random random;
    uint8_t seed[CQ_MLKEM_SEED_LEN];
    struct cq_initiator st;
};

static void write_init(struct initiator *i, enum who peer, uint8_t msg[CQ_INIT_LEN])
{
    draw_initiator(&i->random, i->seed);
    enum cq_err err = cq_init_write(&i->st, msg, &i->p, &parties[peer].macs, NULL, &i->random);
    require(err == CQ_OK, "INIT");
    name_state("init", &i->st.t);
    rec_value("INIT", msg, CQ_INIT_MAC1);
    rec_value("mac1", msg + CQ_INIT_MAC1, CQ_MAC_LEN);
}

static void read_reply(struct initiator *i, const uint8_t reply[CQ_REPLY_LEN],
                       uint8_t offer[CQ_OFFER_LEN])
{
    require(cq_reply_read(&i->st, reply, &i->p) == CQ_DROP_NONE, "reading REPLY");
    name_state("reply", &i->st.t);
    rec_value("REPLY", reply, CQ_REPLY_LEN);
    require(cq_offer_write(&i->st, offer, &i->p, i->seed) == CQ_OK, "OFFER");
    name_state("offer", &i->st.t);
    rec_value("OFFER", offer, CQ_OFFER_LEN);
}

static void read_accept(struct initiator *i, const uint8_t accept[CQ_ACCEPT_LEN])
{
    struct cq_session_keys keys;
    require(cq_accept_read(&i->st, accept, &keys) == CQ_DROP_NONE, "reading ACCEPT");
    rec_value("ACCEPT", accept, CQ_ACCEPT_LEN);
    name_session(&keys);
    cq_initiator_wipe(&i->st);
}

struct responder {
    struct cq_handshake_params p;
    struct cq_reply_random random;
    uint8_t m_e[CQ_MLKEM_RANDOM_LEN];
    struct cq_responder st;
};

static void read_init(struct responder *r, const uint8_t init[CQ_INIT_LEN],
                      uint8_t reply[CQ_REPLY_LEN])
{
    struct cq_init_reading reading;
    uint8_t fresh[CQ_FRESH_LEN];
    draw_responder(&r->random, r->m_e);
    require(cq_init_read_id(&reading, init, r->p.self) == CQ_DROP_NONE, "reading INIT");
    require(memcmp(reading.initiator_id, r->p.peer_id, CQ_PEER_ID_LEN) == 0, "finding the peer");
    require(cq_init_read_fresh(&reading, fresh, init, &r->p) == CQ_DROP_NONE, "reading fresh8");
    name_state("init", &reading.t);
    rec_value("INIT", init, CQ_INIT_MAC1);
    require(cq_reply_write(&r->st, reply, &reading, init, CQ_SUITE_AES_256_GCM, &r->p,
                           &r->random) == CQ_OK,
            "REPLY");
    name_state("reply", &r->st.t);
    rec_value("REPLY", reply, CQ_REPLY_LEN);
}

static void read_offer(struct responder *r, const uint8_t offer[CQ_OFFER_LEN],
                       uint8_t accept[CQ_ACCEPT_LEN])
{
    struct cq_session_keys keys;
    require(cq_offer_read(&r->st, offer, &r->p, r->m_e, accept, &keys) == CQ_DROP_NONE,
            "reading OFFER");
    rec_value("OFFER", offer, CQ_OFFER_LEN);
    rec_value("ACCEPT", accept, CQ_ACCEPT_LEN);
    name_session(&keys);
}

/* ---- runs ---- */

static void start_run(const char *role, enum who self, enum who peer)
{
    char name[32];
    snprintf(name, sizeof(name), "%s %s %s", role, names[self], names[peer]);
    rec_run(name);
}

static void run_initiator(enum who self, enum who peer)
{
    uint8_t psk[32], init[CQ_INIT_LEN], reply[CQ_REPLY_LEN], offer[CQ_OFFER_LEN],
        accept[CQ_ACCEPT_LEN];
    start_run("initiator", self, peer);
    rec_atom("?psk", psk, sizeof(psk));
    struct initiator i = {.p = params(self, peer, psk)};
    write_init(&i, peer, init);
    open_reply(reply, i.random.idx);
    read_reply(&i, reply, offer);
    open_accept(accept, i.random.idx);
    read_accept(&i, accept);
}

/* suites: what an INIT says that it offers; A offers both. */
static void run_responder(const char *role, enum who self, enum who peer, uint8_t suites)
{
    uint8_t psk[32], init[CQ_INIT_LEN], reply[CQ_REPLY_LEN], offer[CQ_OFFER_LEN],
        accept[CQ_ACCEPT_LEN];
    start_run(role, self, peer);
    rec_atom("?psk", psk, sizeof(psk));
    struct responder r = {.p = params(self, peer, psk)};
    open_init(init, peer, suites);
    read_init(&r, init, reply);
    open_offer(offer, r.random.idx);
    read_offer(&r, offer, accept);
}

/* Both sides against each other, without holes: every tag is verified for what it is. */
static void run_pair(enum who initiator, enum who responder)
{
    uint8_t psk[32], init[CQ_INIT_LEN], reply[CQ_REPLY_LEN], offer[CQ_OFFER_LEN],
        accept[CQ_ACCEPT_LEN];
    start_run("pair", initiator, responder);
    rec_atom("?psk", psk, sizeof(psk));
    struct initiator i = {.p = params(initiator, responder, psk)};
    struct responder r = {.p = params(responder, initiator, psk)};
    write_init(&i, responder, init);
    require(cq_mac1_verify(init, sizeof(init), &parties[responder].macs), "mac1");
    read_init(&r, init, reply);
    read_reply(&i, reply, offer);
    read_offer(&r, offer, accept);
    read_accept(&i, accept);
}

int main(void)
{
    rec_run("keys");
    make_owner(A);
    make_owner(B);
    make_owner(M);
    make_mix(MXA, A, M);
    make_mix(MXB, B, M);
    make_mix(MKA, M, A);
    make_mix(MKB, M, B);

    run_pair(A, B);
    static const enum who responders[] = {B, M, MXB, MKB};
    static const enum who initiators[] = {A, M, MXA, MKA};
    for (unsigned n = 0; n < 4; n++) {
        run_initiator(A, responders[n]);
        run_responder("responder", B, initiators[n], both_suites);
    }
    run_initiator(B, A);
    run_responder("responder", A, B, both_suites);
    run_responder("responder-one-suite", B, A, CQ_SUITE_AES_256_GCM);

    for (unsigned n = A; n <= M; n++)
        cq_identity_wipe(&parties[n].self);
    return ferror(stdout) != 0 || fflush(stdout) != 0;
}
