#include "proto/handshake.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "proto/handshake_internal.h"

#include <string.h>

enum cq_drop cq_init_read_id(struct cq_init_reading *out, const uint8_t msg[CQ_INIT_LEN],
                             const struct cq_identity *self)
{
    uint8_t k_s[32], dh[32];
    memset(out, 0, sizeof(*out));
    enum cq_drop drop = cq_t_drop(cq_x25519(dh, self->x25519, msg + CQ_INIT_E), CQ_DROP_DH_ZERO);
    if (drop == CQ_DROP_NONE)
        drop = cq_t_drop(cq_mlkem_decaps(k_s, self->mlkem, msg + CQ_INIT_CT),
                         CQ_DROP_HANDSHAKE_INTERNAL);
    if (drop == CQ_DROP_NONE)
        drop = cq_t_drop(cq_t_init_begin(&out->t, msg, self->id, k_s, dh), CQ_DROP_DECRYPT_ID);
    if (drop == CQ_DROP_NONE)
        drop = cq_t_drop(cq_t_open(&out->t, "m1 id", out->initiator_id, msg + CQ_INIT_ENC_ID,
                                   CQ_PEER_ID_LEN + CQ_AEAD_TAG_LEN),
                         CQ_DROP_DECRYPT_ID);
    cq_wipe(k_s, sizeof(k_s));
    cq_wipe(dh, sizeof(dh));
    if (drop != CQ_DROP_NONE)
        cq_init_reading_wipe(out);
    return drop;
}

void cq_init_read_unknown(const uint8_t msg[CQ_INIT_LEN], const struct cq_identity *self)
{
    uint8_t dh[32];
    enum cq_err err = cq_x25519(dh, self->x25519, msg + CQ_INIT_E);
    (void)err; /* only its time matters */
    cq_wipe(dh, sizeof(dh));
}

enum cq_drop cq_init_read_fresh(struct cq_init_reading *reading, uint8_t out_fresh[CQ_FRESH_LEN],
                                const uint8_t msg[CQ_INIT_LEN], const struct cq_handshake_params *p)
{
    uint8_t dh[32];
    struct cq_transcript t = reading->t;
    memset(out_fresh, 0, CQ_FRESH_LEN);
    enum cq_drop drop =
        cq_t_drop(cq_t_mix_identities(&t, reading->initiator_id, p->peer_key, &p->self->public_key),
                  CQ_DROP_DECRYPT_FRESH);
    if (drop == CQ_DROP_NONE)
        drop = cq_t_drop(cq_x25519(dh, p->self->x25519, p->peer_key->s), CQ_DROP_DH_ZERO);
    if (drop == CQ_DROP_NONE)
        drop = cq_t_drop(cq_t_mix_key(&t, dh, p->psk, NULL), CQ_DROP_DECRYPT_FRESH);
    if (drop == CQ_DROP_NONE)
        drop = cq_t_drop(cq_t_open(&t, "m1 fresh", out_fresh, msg + CQ_INIT_ENC_FRESH,
                                   CQ_FRESH_LEN + CQ_AEAD_TAG_LEN),
                         CQ_DROP_DECRYPT_FRESH);
    if (drop == CQ_DROP_NONE)
        reading->t = t;
    cq_wipe(dh, sizeof(dh));
    cq_wipe(&t, sizeof(t));
    return drop;
}

void cq_init_reading_wipe(struct cq_init_reading *reading)
{
    cq_wipe(reading, sizeof(*reading));
}

unsigned cq_suite_choose(uint8_t offered, uint8_t allowed, uint8_t preferred)
{
    unsigned common = (unsigned)offered & allowed;
    if ((common & preferred) != 0)
        return preferred;
    if ((common & CQ_SUITE_AES_256_GCM) != 0)
        return CQ_SUITE_AES_256_GCM;
    return common & CQ_SUITE_CHACHA20_POLY1305;
}

/* MixKey(K_i || DH(e_I, e_R) || DH(s_I, e_R)) */
static enum cq_err mix_reply_key(struct cq_transcript *t, const uint8_t k_i[32],
                                 const uint8_t e_r[32], const uint8_t *e_i, const uint8_t *s_i)
{
    uint8_t dh_ee[32], dh_se[32];
    enum cq_err err = cq_x25519(dh_ee, e_r, e_i);
    if (err == CQ_OK)
        err = cq_x25519(dh_se, e_r, s_i);
    if (err == CQ_OK)
        err = cq_t_mix_key(t, k_i, dh_ee, dh_se);
    cq_wipe(dh_ee, sizeof(dh_ee));
    cq_wipe(dh_se, sizeof(dh_se));
    return err;
}

enum cq_err cq_reply_write(struct cq_responder *out, uint8_t msg[CQ_REPLY_LEN],
                           const struct cq_init_reading *reading, const uint8_t init[CQ_INIT_LEN],
                           enum cq_suite suite, const struct cq_handshake_params *p,
                           const struct cq_reply_random *random)
{
    struct cq_mlkem_key *ek_i = NULL;
    uint8_t ct_i[CQ_MLKEM_CT_LEN], k_i[32], choice[8] = {0};
    struct cq_responder st = {.t = reading->t,
                              .local_idx = random->idx,
                              .remote_idx = cq_load_be32(init + CQ_INIT_IDX),
                              .suite = suite};
    cq_t_answer_header(msg, CQ_MSG_REPLY, st.local_idx, st.remote_idx);
    choice[0] = (uint8_t)suite;
    cq_store_be16(choice + 1, p->rotate_secs);

    enum cq_err err = cq_mlkem_import(&ek_i, p->peer_key->ek);
    if (err == CQ_OK)
        err = cq_x25519_public(msg + CQ_REPLY_E, random->e);
    if (err == CQ_OK)
        err = cq_t_mix_hash(&st.t, CQ_SPANS({msg, CQ_REPLY_ENC_CT})); /* hdr || e_R */
    if (err == CQ_OK)
        err = cq_mlkem_encaps(ct_i, k_i, ek_i, random->m);
    if (err == CQ_OK)
        err = cq_t_seal(&st.t, "m2 ct", msg + CQ_REPLY_ENC_CT, ct_i, sizeof(ct_i));
    if (err == CQ_OK)
        err = mix_reply_key(&st.t, k_i, random->e, init + CQ_INIT_E, p->peer_key->s);
    if (err == CQ_OK)
        err = cq_t_seal(&st.t, "m2 choice", msg + CQ_REPLY_ENC_CHOICE, choice, sizeof(choice));

    cq_mlkem_free(ek_i);
    cq_wipe(ct_i, sizeof(ct_i));
    cq_wipe(k_i, sizeof(k_i));
    if (err == CQ_OK)
        *out = st;
    else
        memset(out, 0, sizeof(*out));
    cq_wipe(&st, sizeof(st));
    return err;
}

/* enc_offer = ek_E || rotate_I(2) || 0^6 */
static enum cq_drop check_offer(const uint8_t *offer, uint16_t own_rotate_secs,
                                uint16_t *out_rotate_secs)
{
    static const uint8_t zeros[6];
    uint16_t rotate = cq_load_be16(offer + CQ_MLKEM_EK_LEN);
    if (!cq_rotate_ok(rotate))
        return CQ_DROP_BAD_ROTATE;
    if (memcmp(offer + CQ_MLKEM_EK_LEN + 2, zeros, sizeof(zeros)) != 0)
        return CQ_DROP_RESERVED_BITS;
    *out_rotate_secs = rotate < own_rotate_secs ? rotate : own_rotate_secs;
    return CQ_DROP_NONE;
}

/* ACCEPT, once the offered key is imported; t is advanced to the end of the handshake. */
static enum cq_err write_accept(struct cq_transcript *t, uint8_t *accept,
                                const struct cq_responder *st, const struct cq_mlkem_key *ek_e,
                                const uint8_t m[CQ_MLKEM_RANDOM_LEN])
{
    uint8_t ct_e[CQ_MLKEM_CT_LEN], k_e[32];
    cq_t_answer_header(accept, CQ_MSG_ACCEPT, st->local_idx, st->remote_idx);
    enum cq_err err = cq_t_mix_hash(t, CQ_SPANS({accept, CQ_ANSWER_HDR_LEN}));
    if (err == CQ_OK)
        err = cq_mlkem_encaps(ct_e, k_e, ek_e, m);
    if (err == CQ_OK)
        err = cq_t_seal(t, "m4 ct", accept + CQ_ACCEPT_ENC_CT, ct_e, sizeof(ct_e));
    if (err == CQ_OK)
        err = cq_t_mix_key(t, k_e, NULL, NULL);
    if (err == CQ_OK)
        err = cq_t_seal(t, "m4 fin", accept + CQ_ACCEPT_ENC_FIN, (const uint8_t *)"", 0);
    cq_wipe(ct_e, sizeof(ct_e));
    cq_wipe(k_e, sizeof(k_e));
    return err;
}

enum cq_drop cq_offer_read(const struct cq_responder *st, const uint8_t msg[CQ_OFFER_LEN],
                           const struct cq_handshake_params *p,
                           const uint8_t m[CQ_MLKEM_RANDOM_LEN], uint8_t accept[CQ_ACCEPT_LEN],
                           struct cq_session_keys *out)
{
    struct cq_transcript t = st->t;
    struct cq_mlkem_key *ek_e = NULL;
    uint8_t offer[CQ_MLKEM_EK_LEN + 8];
    memset(out, 0, sizeof(*out));

    enum cq_drop drop =
        cq_t_drop(cq_t_mix_hash(&t, CQ_SPANS({msg, CQ_ANSWER_HDR_LEN})), CQ_DROP_DECRYPT_OFFER);
    if (drop == CQ_DROP_NONE)
        drop = cq_t_drop(cq_t_open(&t, "m3 offer", offer, msg + CQ_OFFER_ENC_OFFER,
                                   sizeof(offer) + CQ_AEAD_TAG_LEN),
                         CQ_DROP_DECRYPT_OFFER);
    if (drop == CQ_DROP_NONE)
        drop = check_offer(offer, p->rotate_secs, &out->rotate_secs);
    if (drop == CQ_DROP_NONE) {
        enum cq_err err = cq_mlkem_import(&ek_e, offer);
        drop = err == CQ_ERR_INVALID ? CQ_DROP_BAD_KEM_KEY : cq_t_drop(err, CQ_DROP_BAD_KEM_KEY);
    }
    if (drop == CQ_DROP_NONE)
        drop = cq_t_drop(write_accept(&t, accept, st, ek_e, m), CQ_DROP_HANDSHAKE_INTERNAL);
    if (drop == CQ_DROP_NONE)
        drop = cq_t_drop(cq_t_session(&t, out), CQ_DROP_HANDSHAKE_INTERNAL);
    if (drop == CQ_DROP_NONE) {
        out->suite = st->suite;
        out->local_idx = st->local_idx;
        out->remote_idx = st->remote_idx;
    } else {
        cq_wipe(out, sizeof(*out));
        memset(accept, 0, CQ_ACCEPT_LEN);
    }
    cq_mlkem_free(ek_e);
    cq_wipe(&t, sizeof(t));
    cq_wipe(offer, sizeof(offer));
    return drop;
}

void cq_responder_wipe(struct cq_responder *state)
{
    cq_wipe(state, sizeof(*state));
}
