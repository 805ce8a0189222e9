#include "proto/handshake.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "proto/handshake_internal.h"

#include <string.h>

static void write_init_header(uint8_t *msg, const struct cq_initiator *st, uint8_t preferred)
{
    bool chacha = preferred == CQ_SUITE_CHACHA20_POLY1305 && st->suites != preferred;

    msg[0] = CQ_MSG_INIT;
    msg[1] = CQ_PROTOCOL_VERSION;
    msg[CQ_INIT_MAX_VERSION] = CQ_PROTOCOL_VERSION;
    msg[CQ_INIT_SUITES] = (uint8_t)(st->suites | (chacha ? CQ_SUITE_PREFERS_CHACHA20 : 0));
    cq_store_be32(msg + CQ_INIT_IDX, st->local_idx);
}

enum cq_err cq_init_write(struct cq_initiator *out, uint8_t msg[CQ_INIT_LEN],
                          const struct cq_handshake_params *p,
                          const struct cq_mac_keys *responder_macs,
                          const uint8_t cookie[CQ_COOKIE_LEN], const struct cq_init_random *random)
{
    struct cq_mlkem_key *ek_r = NULL;
    uint8_t k_s[32], dh[32], fresh[CQ_FRESH_LEN] = {0};
    struct cq_initiator st = {.local_idx = random->idx, .suites = p->suites};
    memcpy(st.e, random->e, sizeof(st.e));
    write_init_header(msg, &st, p->preferred_suite);

    enum cq_err err = cq_mlkem_import(&ek_r, p->peer_key->ek);
    if (err == CQ_OK)
        err = cq_x25519_public(msg + CQ_INIT_E, st.e);
    if (err == CQ_OK)
        err = cq_mlkem_encaps(msg + CQ_INIT_CT, k_s, ek_r, random->m);
    if (err == CQ_OK)
        err = cq_x25519(dh, st.e, p->peer_key->s);
    if (err == CQ_OK)
        err = cq_t_init_begin(&st.t, msg, p->peer_id, k_s, dh);
    if (err == CQ_OK)
        err = cq_t_seal(&st.t, "m1 id", msg + CQ_INIT_ENC_ID, p->self->id, CQ_PEER_ID_LEN);
    if (err == CQ_OK)
        err = cq_t_mix_identities(&st.t, p->self->id, &p->self->public_key, p->peer_key);
    if (err == CQ_OK)
        err = cq_x25519(dh, p->self->x25519, p->peer_key->s);
    if (err == CQ_OK)
        err = cq_t_mix_key(&st.t, dh, p->psk, NULL);
    if (err == CQ_OK && cookie != NULL)
        err = cq_cookie_fresh(fresh, cookie);
    if (err == CQ_OK)
        err = cq_t_seal(&st.t, "m1 fresh", msg + CQ_INIT_ENC_FRESH, fresh, sizeof(fresh));
    if (err == CQ_OK)
        err = cq_mac_write(msg, CQ_INIT_LEN, responder_macs, cookie);

    cq_mlkem_free(ek_r);
    cq_wipe(k_s, sizeof(k_s));
    cq_wipe(dh, sizeof(dh));
    cq_wipe(fresh, sizeof(fresh));
    if (err == CQ_OK)
        *out = st;
    else
        memset(out, 0, sizeof(*out));
    cq_wipe(&st, sizeof(st));
    return err;
}

/* enc_choice = suite(1) || rotate_R(2) || 0^5 */
static enum cq_drop check_choice(struct cq_initiator *st, const uint8_t choice[8],
                                 uint16_t own_rotate_secs)
{
    static const uint8_t zeros[5];
    uint8_t suite = choice[0];
    uint16_t rotate = cq_load_be16(choice + 1);
    if ((suite & st->suites) == 0 ||
        (suite != CQ_SUITE_AES_256_GCM && suite != CQ_SUITE_CHACHA20_POLY1305))
        return CQ_DROP_BAD_CHOICE;
    if (!cq_rotate_ok(rotate))
        return CQ_DROP_BAD_ROTATE;
    if (memcmp(choice + 3, zeros, sizeof(zeros)) != 0)
        return CQ_DROP_RESERVED_BITS;
    st->suite = suite;
    st->rotate_secs = rotate < own_rotate_secs ? rotate : own_rotate_secs;
    return CQ_DROP_NONE;
}

/* MixKey(K_i || DH(e_I, e_R) || DH(s_I, e_R)) */
static enum cq_drop mix_reply_key(struct cq_initiator *st, const uint8_t *e_r,
                                  const uint8_t ct_i[CQ_MLKEM_CT_LEN],
                                  const struct cq_identity *self)
{
    uint8_t k_i[32], dh_ee[32], dh_se[32];
    enum cq_err err = cq_mlkem_decaps(k_i, self->mlkem, ct_i);
    if (err == CQ_OK)
        err = cq_x25519(dh_ee, st->e, e_r);
    if (err == CQ_OK)
        err = cq_x25519(dh_se, self->x25519, e_r);
    if (err == CQ_OK)
        err = cq_t_mix_key(&st->t, k_i, dh_ee, dh_se);
    cq_wipe(k_i, sizeof(k_i));
    cq_wipe(dh_ee, sizeof(dh_ee));
    cq_wipe(dh_se, sizeof(dh_se));
    return cq_t_drop(err, CQ_DROP_DH_ZERO);
}

enum cq_drop cq_reply_read(struct cq_initiator *state, const uint8_t msg[CQ_REPLY_LEN],
                           const struct cq_handshake_params *p)
{
    struct cq_initiator st = *state;
    uint8_t ct_i[CQ_MLKEM_CT_LEN], choice[8];
    st.remote_idx = cq_load_be32(msg + CQ_ANSWER_SENDER);

    enum cq_drop drop =
        cq_t_drop(cq_t_mix_hash(&st.t, CQ_SPANS({msg, CQ_REPLY_ENC_CT})), CQ_DROP_DECRYPT_REPLY);
    if (drop == CQ_DROP_NONE)
        drop = cq_t_drop(cq_t_open(&st.t, "m2 ct", ct_i, msg + CQ_REPLY_ENC_CT,
                                   CQ_MLKEM_CT_LEN + CQ_AEAD_TAG_LEN),
                         CQ_DROP_DECRYPT_REPLY);
    if (drop == CQ_DROP_NONE)
        drop = mix_reply_key(&st, msg + CQ_REPLY_E, ct_i, p->self);
    if (drop == CQ_DROP_NONE)
        drop = cq_t_drop(cq_t_open(&st.t, "m2 choice", choice, msg + CQ_REPLY_ENC_CHOICE,
                                   sizeof(choice) + CQ_AEAD_TAG_LEN),
                         CQ_DROP_DECRYPT_REPLY);
    if (drop == CQ_DROP_NONE)
        drop = check_choice(&st, choice, p->rotate_secs);
    if (drop == CQ_DROP_NONE) {
        cq_wipe(st.e, sizeof(st.e)); /* used for the last time */
        *state = st;
    }
    cq_wipe(&st, sizeof(st));
    cq_wipe(ct_i, sizeof(ct_i));
    return drop;
}

enum cq_err cq_offer_write(struct cq_initiator *st, uint8_t msg[CQ_OFFER_LEN],
                           const struct cq_handshake_params *p,
                           const uint8_t seed[CQ_MLKEM_SEED_LEN])
{
    uint8_t offer[CQ_MLKEM_EK_LEN + 8] = {0}; /* ek_E || rotate_I(2) || 0^6 */
    cq_t_answer_header(msg, CQ_MSG_OFFER, st->local_idx, st->remote_idx);
    cq_store_be16(offer + CQ_MLKEM_EK_LEN, p->rotate_secs);

    enum cq_err err = cq_t_mix_hash(&st->t, CQ_SPANS({msg, CQ_ANSWER_HDR_LEN}));
    if (err == CQ_OK)
        err = cq_mlkem_keygen(&st->ephemeral, offer, seed);
    if (err == CQ_OK)
        err = cq_t_seal(&st->t, "m3 offer", msg + CQ_OFFER_ENC_OFFER, offer, sizeof(offer));
    cq_wipe(offer, sizeof(offer));
    if (err != CQ_OK)
        cq_initiator_wipe(st);
    return err;
}

enum cq_drop cq_accept_read(const struct cq_initiator *st, const uint8_t msg[CQ_ACCEPT_LEN],
                            struct cq_session_keys *out)
{
    struct cq_transcript t = st->t;
    uint8_t ct_e[CQ_MLKEM_CT_LEN], k_e[32], none;
    memset(out, 0, sizeof(*out));

    enum cq_err err = cq_t_mix_hash(&t, CQ_SPANS({msg, CQ_ANSWER_HDR_LEN}));
    if (err == CQ_OK)
        err =
            cq_t_open(&t, "m4 ct", ct_e, msg + CQ_ACCEPT_ENC_CT, CQ_MLKEM_CT_LEN + CQ_AEAD_TAG_LEN);
    if (err == CQ_OK)
        err = cq_mlkem_decaps(k_e, st->ephemeral, ct_e);
    if (err == CQ_OK)
        err = cq_t_mix_key(&t, k_e, NULL, NULL);
    if (err == CQ_OK)
        err = cq_t_open(&t, "m4 fin", &none, msg + CQ_ACCEPT_ENC_FIN, CQ_AEAD_TAG_LEN);
    if (err == CQ_OK)
        err = cq_t_session(&t, out);
    if (err == CQ_OK) {
        out->suite = st->suite;
        out->rotate_secs = st->rotate_secs;
        out->local_idx = st->local_idx;
        out->remote_idx = st->remote_idx;
    } else {
        cq_wipe(out, sizeof(*out));
    }
    cq_wipe(&t, sizeof(t));
    cq_wipe(ct_e, sizeof(ct_e));
    cq_wipe(k_e, sizeof(k_e));
    return cq_t_drop(err, CQ_DROP_DECRYPT_ACCEPT);
}

void cq_initiator_wipe(struct cq_initiator *state)
{
    cq_mlkem_free(state->ephemeral);
    cq_wipe(state, sizeof(*state));
}
