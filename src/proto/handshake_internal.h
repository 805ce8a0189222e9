/*
 * The symmetric part of the handshake, one function per token of docs/protocol.md section 2. Used
 * by the handshake's own files and their tests only.
 */
#ifndef CQ_PROTO_HANDSHAKE_INTERNAL_H
#define CQ_PROTO_HANDSHAKE_INTERNAL_H

#include "crypto/hash.h"
#include "proto/handshake.h"

/* Start(ID_R) */
CQ_MUST_CHECK enum cq_err cq_t_start(struct cq_transcript *t, const uint8_t id_r[CQ_PEER_ID_LEN]);
/* MixHash(spans) */
CQ_MUST_CHECK enum cq_err cq_t_mix_hash(struct cq_transcript *t, const struct cq_span *spans,
                                        size_t num_spans);
/* MixKey(a || b || c), each 32 bytes; b and c may be NULL */
CQ_MUST_CHECK enum cq_err cq_t_mix_key(struct cq_transcript *t, const uint8_t a[32],
                                       const uint8_t *b, const uint8_t *c);
/* K(label) */
CQ_MUST_CHECK enum cq_err cq_t_key(const struct cq_transcript *t, const char *label,
                                   uint8_t out[32]);
/* Seal(label, p): out has len + 16 bytes */
CQ_MUST_CHECK enum cq_err cq_t_seal(struct cq_transcript *t, const char *label, uint8_t *out,
                                    const uint8_t *p, size_t len);
/* Open(label, c): out has ct_len - 16 bytes. CQ_ERR_AUTH leaves t as it was. */
CQ_MUST_CHECK enum cq_err cq_t_open(struct cq_transcript *t, const char *label, uint8_t *out,
                                    const uint8_t *c, size_t ct_len);
/* The session of a finished transcript; indices, suite and rotate_secs are the caller's. */
CQ_MUST_CHECK enum cq_err cq_t_session(const struct cq_transcript *t, struct cq_session_keys *out);

/* First three lines of INIT, common to both roles once K_s and DH(e_I, S_R) are known. */
CQ_MUST_CHECK enum cq_err cq_t_init_begin(struct cq_transcript *t, const uint8_t *msg,
                                          const uint8_t id_r[CQ_PEER_ID_LEN], const uint8_t k_s[32],
                                          const uint8_t dh[32]);
/* MixHash(ID_I || S_I || ek_I || S_R || ek_R) */
CQ_MUST_CHECK enum cq_err cq_t_mix_identities(struct cq_transcript *t, const uint8_t id_i[32],
                                              const struct cq_public_key *i,
                                              const struct cq_public_key *r);

/* hdr(12) of REPLY, OFFER and ACCEPT */
void cq_t_answer_header(uint8_t *msg, enum cq_msg_type type, uint32_t sender, uint32_t receiver);

/* The drop reason for an error of the functions above: `on_auth` for CQ_ERR_AUTH. */
enum cq_drop cq_t_drop(enum cq_err err, enum cq_drop on_auth);

/* Whether a peer's rotation period is acceptable, and the one that counts. */
static inline int cq_rotate_ok(uint16_t secs)
{
    return secs >= CQ_ROTATE_SECS_MIN && secs <= CQ_ROTATE_SECS_MAX;
}

#endif
