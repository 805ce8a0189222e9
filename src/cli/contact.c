#include "cli/contact.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "base/secret.h"
#include "crypto/crypto.h"
#include "os/clock.h"
#include "os/udp.h"
#include "proto/control.h"
#include "proto/record.h"
#include "proto/timers.h"

#include <errno.h>
#include <string.h>

/*
 *   stage    sent                      leaves it
 *   KEY      KEY_REQUEST               KEY_RESPONSE that hashes to the ID       -> INIT
 *   INIT     KEY_PUSH, INIT            REPLY that verifies                      -> OFFER
 *   OFFER    OFFER                     ACCEPT that verifies                     -> SESSION
 *   SESSION  CONTROL (PING, CLOSE)
 */
enum stage { STAGE_KEY, STAGE_INIT, STAGE_OFFER, STAGE_SESSION };

enum { REFUSALS_ENOUGH = 2 };

struct cq_contact {
    enum stage stage;
    struct cq_probe probe;
    const struct cq_identity *identity;
    struct cq_mac_keys macs;
    struct cq_handshake_params params;
    uint8_t peer_id[CQ_PEER_ID_LEN], psk[CQ_PSK_LEN];
    struct cq_public_key key;
    struct cq_attempt_facts facts;
    enum cq_send_fault fault;
    bool other_version, unreachable;
    unsigned num_refused;
    cq_time first_answer;

    uint32_t request_id;
    uint8_t mac1[CQ_MAC_LEN]; /* of the newest KEY_REQUEST or INIT */
    bool has_cookie, cookie_used;
    uint8_t cookie[CQ_COOKIE_LEN];
    struct cq_initiator hs;
    bool has_hs;
    uint8_t out[CQ_HANDSHAKE_MSG_MAX]; /* INIT, later OFFER */
    size_t out_len;
    cq_time next_send, backoff;

    struct cq_session_keys keys;
    struct cq_aead *seal, *open;
    uint64_t seq;
    uint8_t in[2048];
    size_t in_len;
};

enum cq_err cq_contact_new(struct cq_contact **out, const uint8_t peer_id[32],
                           const struct cq_addr *to, uint32_t mark,
                           const struct cq_identity *identity, const uint8_t *psk,
                           const struct cq_public_key *peer_key)
{
    struct cq_contact *c = cq_secret_alloc(sizeof(*c));

    *out = NULL;
    if (c == NULL)
        return CQ_ERR_NOMEM;
    c->probe.fd = -1;
    c->identity = identity;
    memcpy(c->peer_id, peer_id, sizeof(c->peer_id));
    if (psk != NULL)
        memcpy(c->psk, psk, sizeof(c->psk));
    if (peer_key != NULL) {
        c->key = *peer_key;
        c->stage = STAGE_INIT;
    }
    c->params = (struct cq_handshake_params){
        .self = identity,
        .peer_id = c->peer_id,
        .peer_key = &c->key,
        .psk = c->psk,
        .suites = CQ_SUITE_AES_256_GCM | CQ_SUITE_CHACHA20_POLY1305,
        .rotate_secs = CQ_ROTATE_SECS_DEFAULT,
    };
    c->first_answer = CQ_TIME_NEVER;
    enum cq_err err = cq_mac_keys_init(&c->macs, peer_id);
    if (err == CQ_OK)
        err = cq_crypto_random(&c->request_id, sizeof(c->request_id));
    if (err == CQ_OK)
        err = cq_probe_open(&c->probe, to, mark);
    if (err != CQ_OK) {
        int saved = errno;
        cq_contact_free(c);
        errno = saved;
        return err;
    }
    *out = c;
    return CQ_OK;
}

void cq_contact_free(struct cq_contact *c)
{
    if (c == NULL)
        return;
    cq_probe_close(&c->probe);
    cq_initiator_wipe(&c->hs);
    cq_aead_free(c->seal);
    cq_aead_free(c->open);
    cq_secret_free(c);
    cq_wipe_stack();
}

/* ---- sending ---- */

static void note_network(struct cq_contact *c)
{
    const struct cq_probe *p = &c->probe;

    if (!p->by_icmp)
        c->fault = cq_udp_fault(p->error);
    else if (p->error == ECONNREFUSED)
        c->num_refused++;
    else if (p->error == EMSGSIZE)
        c->fault = CQ_SEND_FAULT_TOO_BIG;
    else
        c->unreachable = true;
}

static void send_message(struct cq_contact *c, enum cq_step step, const uint8_t *msg, size_t len)
{
    if (cq_probe_send(&c->probe, msg, len) != CQ_OK) {
        note_network(c);
        /* An ICMP report stood in the way of the datagram, which was not sent. */
        if (!c->probe.by_icmp || cq_probe_send(&c->probe, msg, len) != CQ_OK) {
            c->facts.send_fault = (uint8_t)c->fault;
            cq_facts_note(&c->facts, CQ_STEP_SEND_ERROR, cq_clock_now());
            return;
        }
    }
    cq_facts_note(&c->facts, step, cq_clock_now());
}

static void send_key_request(struct cq_contact *c)
{
    uint8_t msg[CQ_KEY_REQUEST_LEN];

    if (cq_key_request_write(msg, &c->macs, c->request_id, c->has_cookie ? c->cookie : NULL) !=
        CQ_OK)
        return;
    memcpy(c->mac1, msg + CQ_KEY_REQUEST_MAC1, sizeof(c->mac1));
    send_message(c, CQ_STEP_KEY_REQUEST_SENT, msg, sizeof(msg));
}

static bool make_init(struct cq_contact *c)
{
    struct cq_init_random random;
    bool ok = false;

    cq_initiator_wipe(&c->hs);
    if (cq_crypto_random(&random, sizeof(random)) == CQ_OK)
        ok = cq_init_write(&c->hs, c->out, &c->params, &c->macs, c->has_cookie ? c->cookie : NULL,
                           &random) == CQ_OK;
    cq_wipe(&random, sizeof(random));
    memcpy(c->mac1, c->out + CQ_INIT_MAC1, sizeof(c->mac1));
    c->out_len = CQ_INIT_LEN;
    c->has_hs = ok;
    return ok;
}

static void send_init(struct cq_contact *c)
{
    uint8_t push[CQ_KEY_PUSH_LEN];

    if (!c->has_hs && !make_init(c))
        return;
    if (cq_key_push_write(push, &c->macs, &c->identity->public_key) == CQ_OK)
        send_message(c, CQ_STEP_KEY_PUSH_SENT, push, sizeof(push));
    send_message(c, CQ_STEP_INIT_SENT, c->out, c->out_len);
}

static void send_stage(struct cq_contact *c)
{
    switch (c->stage) {
    case STAGE_KEY:
        send_key_request(c);
        break;
    case STAGE_INIT:
        send_init(c);
        break;
    case STAGE_OFFER:
        send_message(c, CQ_STEP_OFFER_SENT, c->out, c->out_len);
        break;
    case STAGE_SESSION:
        break;
    }
}

static void begin_stage(struct cq_contact *c, enum stage stage)
{
    c->stage = stage;
    c->backoff = CQ_RETRANSMIT_FIRST;
    c->next_send = cq_clock_now();
}

/* ---- receiving ---- */

static void note(struct cq_contact *c, enum cq_step step)
{
    cq_facts_note(&c->facts, step, cq_clock_now());
}

static void on_cookie(struct cq_contact *c)
{
    uint32_t idx = c->stage == STAGE_KEY ? c->request_id : c->hs.local_idx;
    uint8_t cookie[CQ_COOKIE_LEN];

    if (c->stage > STAGE_INIT || cq_load_be32(c->in + CQ_COOKIE_IDX) != idx ||
        cq_cookie_open(cookie, &c->macs, c->in, c->mac1) != CQ_OK)
        return;
    note(c, CQ_STEP_COOKIE_RECEIVED);
    memcpy(c->cookie, cookie, sizeof(cookie));
    cq_wipe(cookie, sizeof(cookie));
    c->has_cookie = true;
    c->has_hs = false;
    if (!c->cookie_used)
        c->next_send = cq_clock_now();
    c->cookie_used = true;
}

static void on_key_response(struct cq_contact *c)
{
    struct cq_public_key key;

    if (c->stage != STAGE_KEY || cq_load_be32(c->in + CQ_KEY_ID) != c->request_id)
        return;
    note(c, CQ_STEP_KEY_RESPONSE_RECEIVED);
    memcpy(key.s, c->in + CQ_KEY_RESPONSE_KEY, sizeof(key.s));
    memcpy(key.ek, c->in + CQ_KEY_RESPONSE_KEY + sizeof(key.s), sizeof(key.ek));
    if (cq_public_key_verify(&key, c->peer_id) != CQ_OK) {
        note(c, CQ_STEP_KEY_MISMATCH);
        return;
    }
    c->key = key;
    begin_stage(c, STAGE_INIT);
}

static void on_reply(struct cq_contact *c)
{
    uint8_t seed[CQ_MLKEM_SEED_LEN];

    if (c->stage != STAGE_INIT || !c->has_hs ||
        cq_load_be32(c->in + CQ_ANSWER_RECEIVER) != c->hs.local_idx)
        return;
    if (cq_reply_read(&c->hs, c->in, &c->params) != CQ_DROP_NONE) {
        note(c, CQ_STEP_REPLY_REFUSED);
        return;
    }
    note(c, CQ_STEP_REPLY_RECEIVED);
    c->has_hs = cq_crypto_random(seed, sizeof(seed)) == CQ_OK &&
                cq_offer_write(&c->hs, c->out, &c->params, seed) == CQ_OK;
    cq_wipe(seed, sizeof(seed));
    if (!c->has_hs) /* a new INIT, then */
        return;
    c->out_len = CQ_OFFER_LEN;
    begin_stage(c, STAGE_OFFER);
}

static void on_accept(struct cq_contact *c)
{
    if (c->stage != STAGE_OFFER || cq_load_be32(c->in + CQ_ANSWER_RECEIVER) != c->hs.local_idx ||
        cq_load_be32(c->in + CQ_ANSWER_SENDER) != c->hs.remote_idx ||
        cq_accept_read(&c->hs, c->in, &c->keys) != CQ_DROP_NONE)
        return;
    if (cq_aead_new(&c->seal, c->keys.suite, CQ_AEAD_SEAL, c->keys.i2r_key) != CQ_OK ||
        cq_aead_new(&c->open, c->keys.suite, CQ_AEAD_OPEN, c->keys.r2i_key) != CQ_OK)
        return;
    note(c, CQ_STEP_ACCEPT_RECEIVED);
    cq_initiator_wipe(&c->hs);
    c->stage = STAGE_SESSION;
}

static void on_message(struct cq_contact *c)
{
    if (cq_wire_check(c->in, c->in_len) != CQ_DROP_NONE)
        return;
    switch ((enum cq_msg_type)c->in[0]) {
    case CQ_MSG_COOKIE:
        on_cookie(c);
        break;
    case CQ_MSG_KEY_RESPONSE:
        on_key_response(c);
        break;
    case CQ_MSG_REPLY:
        on_reply(c);
        break;
    case CQ_MSG_ACCEPT:
        on_accept(c);
        break;
    case CQ_MSG_INIT:
    case CQ_MSG_OFFER:
    case CQ_MSG_KEY_REQUEST:
    case CQ_MSG_KEY_PUSH:
    case CQ_MSG_DATA:
    case CQ_MSG_CONTROL:
        break;
    }
}

static unsigned num_answers(const struct cq_contact *c)
{
    static const enum cq_step answers[] = {CQ_STEP_COOKIE_RECEIVED, CQ_STEP_KEY_RESPONSE_RECEIVED,
                                           CQ_STEP_REPLY_RECEIVED, CQ_STEP_ACCEPT_RECEIVED};
    unsigned num = 0;

    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
        num += c->facts.num[answers[i]];
    return num;
}

/* Takes one datagram or report, or waits until the time. Whether a datagram is in c->in. */
static bool receive(struct cq_contact *c, cq_time until, struct cq_addr *from)
{
    enum cq_err err = cq_probe_receive(&c->probe, c->in, sizeof(c->in), &c->in_len, from, until);

    if (err == CQ_ERR_IO)
        note_network(c);
    return err == CQ_OK;
}

static void receive_message(struct cq_contact *c, cq_time until)
{
    struct cq_addr from;

    if (!receive(c, until, &from))
        return;
    unsigned before = num_answers(c);
    if (c->in_len >= 2 && c->in[0] >= CQ_MSG_INIT && c->in[0] <= CQ_MSG_KEY_PUSH &&
        c->in[1] != CQ_PROTOCOL_VERSION && cq_addr_equal(&from, &c->probe.to))
        c->other_version = true;
    on_message(c);
    if (num_answers(c) == before)
        return;
    if (c->first_answer == CQ_TIME_NEVER)
        c->first_answer = cq_clock_now();
    if (cq_addr_equal(&from, &c->probe.to))
        return;
    c->facts.elsewhere = from;
    note(c, CQ_STEP_ANSWER_ELSEWHERE);
}

/* Nothing that comes later can change what is known now. */
static bool is_hopeless(const struct cq_contact *c)
{
    return c->num_refused >= REFUSALS_ENOUGH || c->facts.num[CQ_STEP_KEY_MISMATCH] > 0 ||
           c->facts.num[CQ_STEP_SEND_ERROR] >= 3;
}

static bool go_on(struct cq_contact *c, enum stage goal, cq_time until)
{
    if (!c->facts.happened)
        cq_facts_begin(&c->facts, cq_clock_now());
    begin_stage(c, c->stage);
    for (;;) {
        cq_time now = cq_clock_now();
        if (c->stage >= goal || now >= until || is_hopeless(c))
            return c->stage >= goal;
        if (now >= c->next_send) {
            send_stage(c);
            c->next_send = now + c->backoff;
            c->backoff = cq_time_min(2 * c->backoff, CQ_RETRANSMIT_MAX);
        }
        receive_message(c, cq_time_min(c->next_send, until));
    }
}

bool cq_contact_key(struct cq_contact *c, cq_time until)
{
    return go_on(c, STAGE_INIT, until);
}

bool cq_contact_handshake(struct cq_contact *c, cq_time until)
{
    return go_on(c, STAGE_SESSION, until);
}

/* ---- under the session ---- */

static void send_control(struct cq_contact *c, const uint8_t *plaintext, size_t len)
{
    uint8_t record[CQ_RECORD_OVERHEAD + 64];
    struct cq_record header = {.type = CQ_MSG_CONTROL,
                               .receiver = c->keys.remote_idx,
                               .counter = cq_record_counter(0, c->seq++)};
    struct cq_aead_op op = {.ad = record,
                            .ad_len = CQ_RECORD_HEADER_LEN,
                            .in = plaintext,
                            .out = record + CQ_RECORD_HEADER_LEN,
                            .len = len,
                            .tag = record + CQ_RECORD_HEADER_LEN + len};

    cq_record_write(record, &header);
    cq_record_nonce(op.nonce, c->keys.i2r_iv, header.counter);
    if (cq_aead_seal_batch(c->seal, &op, 1) == CQ_OK &&
        cq_probe_send(&c->probe, record, CQ_RECORD_OVERHEAD + len) != CQ_OK)
        note_network(c);
}

/* Whether the datagram is a record of the session that holds this PONG. */
static bool has_pong(struct cq_contact *c, const uint8_t token[CQ_CONTROL_TOKEN_LEN])
{
    struct cq_record header;
    struct cq_control entry;
    bool found = false;

    if (!cq_record_is_one(c->in, c->in_len) ||
        cq_record_read(&header, c->in, c->in_len) != CQ_DROP_NONE ||
        header.type != CQ_MSG_CONTROL || header.receiver != c->keys.local_idx)
        return false;
    size_t len = c->in_len - CQ_RECORD_OVERHEAD;
    struct cq_aead_op op = {.ad = c->in,
                            .ad_len = CQ_RECORD_HEADER_LEN,
                            .in = c->in + CQ_RECORD_HEADER_LEN,
                            .out = c->in + CQ_RECORD_HEADER_LEN,
                            .len = len,
                            .tag = c->in + CQ_RECORD_HEADER_LEN + len};
    cq_record_nonce(op.nonce, c->keys.r2i_iv, header.counter);
    if (cq_aead_open_batch(c->open, &op, 1) != CQ_OK)
        return false;
    struct cq_control_iter iter = cq_control_begin(op.out, len);
    while (cq_control_next(&iter, &entry))
        found |=
            entry.type == CQ_CONTROL_PONG && memcmp(entry.token, token, CQ_CONTROL_TOKEN_LEN) == 0;
    return found;
}

bool cq_contact_ping(struct cq_contact *c, cq_time until, cq_time *out_took)
{
    uint8_t plaintext[32], token[CQ_CONTROL_TOKEN_LEN];
    struct cq_addr from;

    if (cq_crypto_random(token, sizeof(token)) != CQ_OK)
        return false;
    begin_stage(c, STAGE_SESSION);
    cq_time sent = c->next_send;
    for (;;) {
        cq_time now = cq_clock_now();
        if (now >= until || c->num_refused >= REFUSALS_ENOUGH)
            return false;
        if (now >= c->next_send) {
            struct cq_writer w = cq_writer_make(plaintext, sizeof(plaintext));
            cq_control_write_ping(&w, token);
            send_control(c, plaintext, w.written);
            sent = now;
            c->next_send = now + c->backoff;
            c->backoff = cq_time_min(2 * c->backoff, CQ_RETRANSMIT_MAX);
        }
        if (receive(c, cq_time_min(c->next_send, until), &from) && has_pong(c, token)) {
            *out_took = cq_clock_now() - sent;
            return true;
        }
    }
}

void cq_contact_close(struct cq_contact *c)
{
    uint8_t plaintext[16];
    struct cq_writer w = cq_writer_make(plaintext, sizeof(plaintext));

    if (c->stage != STAGE_SESSION)
        return;
    cq_control_write_close(&w, CQ_CLOSE_SHUTDOWN);
    send_control(c, plaintext, w.written);
}

/* ---- conclusions ---- */

void cq_contact_look(const struct cq_contact *c, struct cq_contact_view *out)
{
    *out = (struct cq_contact_view){
        .facts = &c->facts,
        .probe = &c->probe,
        .fault = c->fault,
        .other_version = c->other_version,
        .refused = c->num_refused > 0,
        .unreachable = c->unreachable,
        .first_answer = c->first_answer,
        .suite = (uint8_t)c->keys.suite,
    };
}

enum cq_diagnosis cq_contact_diagnosis(const struct cq_contact *c)
{
    enum cq_diagnosis d = cq_diagnosis_of_attempt(&c->facts);

    if (d == CQ_DIAGNOSIS_ALL_WELL || num_answers(c) > 0)
        return d;
    if (c->other_version)
        return CQ_DIAGNOSIS_VERSION_MISMATCH;
    if (c->fault == CQ_SEND_FAULT_TOO_BIG)
        return CQ_DIAGNOSIS_MTU_TOO_SMALL;
    if (d == CQ_DIAGNOSIS_NO_ANSWER && c->num_refused > 0)
        return CQ_DIAGNOSIS_NOBODY_LISTENS;
    if (d == CQ_DIAGNOSIS_NO_ANSWER && c->unreachable)
        return CQ_DIAGNOSIS_HOST_UNREACHABLE;
    return d;
}
