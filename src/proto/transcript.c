#include "proto/handshake_internal.h"

#include "base/bytes.h"
#include "base/mem.h"

#include <string.h>

enum cq_err cq_t_start(struct cq_transcript *t, const uint8_t id_r[CQ_PEER_ID_LEN])
{
    static const char proto[64] = "CrypRQ/1 X25519 ML-KEM-768 SHA-256 ChaCha20-Poly1305";
    const char *marker = cq_aead_marker();
    struct cq_span all[3] = {
        {proto, sizeof(proto)}, {id_r, CQ_PEER_ID_LEN}, {marker, strlen(marker)}};
    /* Empty everywhere but in a program for benchmarks, which is to understand no other. */
    enum cq_err err = cq_hash(t->h, all, marker[0] != '\0' ? 3 : 2);
    memcpy(t->ck, t->h, sizeof(t->ck));
    return err;
}

enum cq_err cq_t_mix_hash(struct cq_transcript *t, const struct cq_span *spans, size_t num_spans)
{
    struct cq_span all[8] = {{t->h, sizeof(t->h)}};
    if (num_spans > 7)
        return CQ_ERR_RANGE;
    memcpy(all + 1, spans, num_spans * sizeof(*spans));
    return cq_hash(t->h, all, num_spans + 1);
}

enum cq_err cq_t_mix_key(struct cq_transcript *t, const uint8_t a[32], const uint8_t *b,
                         const uint8_t *c)
{
    return cq_hmac(t->ck, t->ck, sizeof(t->ck),
                   CQ_SPANS({a, 32}, {b, b != NULL ? 32 : 0}, {c, c != NULL ? 32 : 0}));
}

enum cq_err cq_t_key(const struct cq_transcript *t, const char *label, uint8_t out[32])
{
    static const uint8_t one = 0x01;
    return cq_hmac(out, t->ck, sizeof(t->ck),
                   CQ_SPANS({"key", 3}, {label, strlen(label)}, {t->h, sizeof(t->h)}, {&one, 1}));
}

enum cq_err cq_t_seal(struct cq_transcript *t, const char *label, uint8_t *out, const uint8_t *p,
                      size_t len)
{
    uint8_t key[32];
    enum cq_err err = cq_t_key(t, label, key);
    if (err == CQ_OK)
        err = cq_aead_seal_zero(out, key, t->h, sizeof(t->h), p, len);
    if (err == CQ_OK)
        err = cq_t_mix_hash(t, CQ_SPANS({out, len + CQ_AEAD_TAG_LEN}));
    cq_wipe(key, sizeof(key));
    return err;
}

enum cq_err cq_t_open(struct cq_transcript *t, const char *label, uint8_t *out, const uint8_t *c,
                      size_t ct_len)
{
    uint8_t key[32];
    enum cq_err err = cq_t_key(t, label, key);
    if (err == CQ_OK)
        err = cq_aead_open_zero(out, key, t->h, sizeof(t->h), c, ct_len);
    if (err == CQ_OK)
        err = cq_t_mix_hash(t, CQ_SPANS({c, ct_len}));
    cq_wipe(key, sizeof(key));
    return err;
}

/* K(label)[:len] */
static enum cq_err short_key(const struct cq_transcript *t, const char *label, uint8_t *out,
                             size_t len)
{
    uint8_t full[32];
    enum cq_err err = cq_t_key(t, label, full);
    memcpy(out, full, len);
    cq_wipe(full, sizeof(full));
    return err;
}

enum cq_err cq_t_session(const struct cq_transcript *t, struct cq_session_keys *out)
{
    static const char sid_label[] = "CrypRQ sid";
    uint8_t sid[CQ_HASH_LEN];
    enum cq_err err = cq_t_key(t, "i2r key", out->i2r_key);
    if (err == CQ_OK)
        err = short_key(t, "i2r iv", out->i2r_iv, sizeof(out->i2r_iv));
    if (err == CQ_OK)
        err = cq_t_key(t, "r2i key", out->r2i_key);
    if (err == CQ_OK)
        err = short_key(t, "r2i iv", out->r2i_iv, sizeof(out->r2i_iv));
    if (err == CQ_OK)
        err = cq_t_key(t, "exporter", out->exporter);
    if (err == CQ_OK)
        err = cq_hash(sid, CQ_SPANS({sid_label, sizeof(sid_label) - 1}, {t->h, sizeof(t->h)}));
    if (err == CQ_OK)
        memcpy(out->sid, sid, sizeof(out->sid));
    return err;
}

enum cq_err cq_t_init_begin(struct cq_transcript *t, const uint8_t *msg,
                            const uint8_t id_r[CQ_PEER_ID_LEN], const uint8_t k_s[32],
                            const uint8_t dh[32])
{
    enum cq_err err = cq_t_start(t, id_r);
    if (err == CQ_OK)
        err = cq_t_mix_hash(t, CQ_SPANS({msg, CQ_INIT_ENC_ID})); /* hdr || e_I || ct_R */
    if (err == CQ_OK)
        err = cq_t_mix_key(t, k_s, dh, NULL);
    return err;
}

enum cq_err cq_t_mix_identities(struct cq_transcript *t, const uint8_t id_i[32],
                                const struct cq_public_key *i, const struct cq_public_key *r)
{
    return cq_t_mix_hash(t, CQ_SPANS({id_i, CQ_PEER_ID_LEN}, {i->s, sizeof(i->s)},
                                     {i->ek, sizeof(i->ek)}, {r->s, sizeof(r->s)},
                                     {r->ek, sizeof(r->ek)}));
}

void cq_t_answer_header(uint8_t *msg, enum cq_msg_type type, uint32_t sender, uint32_t receiver)
{
    msg[0] = (uint8_t)type;
    msg[1] = CQ_PROTOCOL_VERSION;
    msg[2] = 0;
    msg[3] = 0;
    cq_store_be32(msg + CQ_ANSWER_SENDER, sender);
    cq_store_be32(msg + CQ_ANSWER_RECEIVER, receiver);
}

enum cq_drop cq_t_drop(enum cq_err err, enum cq_drop on_auth)
{
    if (err == CQ_OK)
        return CQ_DROP_NONE;
    return err == CQ_ERR_AUTH ? on_auth : CQ_DROP_HANDSHAKE_INTERNAL;
}
