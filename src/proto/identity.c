#include "proto/identity.h"

#include "base/mem.h"
#include "crypto/hash.h"

#include <string.h>

static const uint8_t key_type = 0x01; /* X25519 + ML-KEM-768 */

/* HMAC(k, label || 0x01) */
static enum cq_err derive(uint8_t out[32], const uint8_t k[32], const char *label)
{
    return cq_hmac(out, k, CQ_SECRET_KEY_LEN, CQ_SPANS({label, strlen(label)}, {&key_type, 1}));
}

enum cq_err cq_identity_init(struct cq_identity *out, const uint8_t secret[CQ_SECRET_KEY_LEN])
{
    uint8_t seed[CQ_MLKEM_SEED_LEN];
    memset(out, 0, sizeof(*out));
    enum cq_err err = derive(out->x25519, secret, "CrypRQ x25519");
    if (err == CQ_OK)
        err = derive(seed, secret, "CrypRQ ml-kem-768 d");
    if (err == CQ_OK)
        err = derive(seed + 32, secret, "CrypRQ ml-kem-768 z");
    if (err == CQ_OK)
        err = cq_x25519_public(out->public_key.s, out->x25519);
    if (err == CQ_OK)
        err = cq_mlkem_keygen(&out->mlkem, out->public_key.ek, seed);
    if (err == CQ_OK)
        err = cq_peer_id(out->id, &out->public_key);
    cq_wipe(seed, sizeof(seed));
    if (err != CQ_OK)
        cq_identity_wipe(out);
    return err;
}

void cq_identity_wipe(struct cq_identity *identity)
{
    cq_mlkem_free(identity->mlkem);
    cq_wipe(identity, sizeof(*identity));
}

enum cq_err cq_peer_id(uint8_t out_id[CQ_PEER_ID_LEN], const struct cq_public_key *key)
{
    static const char label[] = "CrypRQ peer id v1";
    return cq_hash(out_id, CQ_SPANS({label, sizeof(label) - 1}, {&key_type, 1},
                                    {key->s, sizeof(key->s)}, {key->ek, sizeof(key->ek)}));
}

enum cq_err cq_public_key_verify(const struct cq_public_key *key, const uint8_t id[CQ_PEER_ID_LEN])
{
    uint8_t actual[CQ_PEER_ID_LEN];
    enum cq_err err = cq_peer_id(actual, key);
    if (err != CQ_OK)
        return err;
    if (!cq_equal_ct(actual, id, CQ_PEER_ID_LEN))
        return CQ_ERR_AUTH;
    return cq_mlkem_check(key->ek);
}
