#include "proto/mac.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "crypto/aead.h"
#include "crypto/hash.h"

#include <string.h>

static enum cq_err hash_label(uint8_t out[32], const char *label, const uint8_t id[CQ_PEER_ID_LEN])
{
    return cq_hash(out, CQ_SPANS({label, strlen(label)}, {id, CQ_PEER_ID_LEN}));
}

enum cq_err cq_mac_keys_init(struct cq_mac_keys *out, const uint8_t id[CQ_PEER_ID_LEN])
{
    enum cq_err err = hash_label(out->mac1, "CrypRQ mac1", id);
    if (err != CQ_OK)
        return err;
    return hash_label(out->cookie, "CrypRQ cookie", id);
}

/* HMAC(key, msg)[:out_len] */
static enum cq_err short_mac(uint8_t *out, size_t out_len, const uint8_t *key, size_t key_len,
                             const void *msg, size_t msg_len)
{
    uint8_t full[CQ_HASH_LEN];
    enum cq_err err = cq_hmac(full, key, key_len, CQ_SPANS({msg, msg_len}));
    if (err == CQ_OK)
        memcpy(out, full, out_len);
    else
        memset(out, 0, out_len);
    cq_wipe(full, sizeof(full));
    return err;
}

static bool short_mac_verify(const uint8_t *mac, size_t mac_len, const uint8_t *key, size_t key_len,
                             const uint8_t *msg, size_t msg_len)
{
    uint8_t expected[CQ_HASH_LEN];
    bool ok = short_mac(expected, mac_len, key, key_len, msg, msg_len) == CQ_OK &&
              cq_equal_ct(expected, mac, mac_len);
    cq_wipe(expected, sizeof(expected));
    return ok;
}

enum cq_err cq_mac_write(uint8_t *msg, size_t len, const struct cq_mac_keys *keys,
                         const uint8_t cookie[CQ_COOKIE_LEN])
{
    uint8_t *mac1 = msg + len - 2 * CQ_MAC_LEN;
    uint8_t *mac2 = msg + len - CQ_MAC_LEN;
    memset(mac2, 0, CQ_MAC_LEN);
    enum cq_err err =
        short_mac(mac1, CQ_MAC_LEN, keys->mac1, sizeof(keys->mac1), msg, len - 2 * CQ_MAC_LEN);
    if (err != CQ_OK || cookie == NULL)
        return err;
    return short_mac(mac2, CQ_MAC_LEN, cookie, CQ_COOKIE_LEN, msg, len - CQ_MAC_LEN);
}

bool cq_mac1_verify(const uint8_t *msg, size_t len, const struct cq_mac_keys *keys)
{
    return short_mac_verify(msg + len - 2 * CQ_MAC_LEN, CQ_MAC_LEN, keys->mac1, sizeof(keys->mac1),
                            msg, len - 2 * CQ_MAC_LEN);
}

bool cq_mac2_verify(const uint8_t *msg, size_t len, const uint8_t cookie[CQ_COOKIE_LEN])
{
    return short_mac_verify(msg + len - CQ_MAC_LEN, CQ_MAC_LEN, cookie, CQ_COOKIE_LEN, msg,
                            len - CQ_MAC_LEN);
}

enum cq_err cq_cookie_fresh(uint8_t out[CQ_FRESH_LEN], const uint8_t cookie[CQ_COOKIE_LEN])
{
    return short_mac(out, CQ_FRESH_LEN, cookie, CQ_COOKIE_LEN, "fresh", 5);
}

enum cq_err cq_cookie_make(uint8_t out[CQ_COOKIE_LEN], const uint8_t secret[32],
                           const struct cq_addr *source)
{
    uint8_t bytes[1 + 16 + 2 + 4];
    bytes[0] = source->ip.family;
    memcpy(bytes + 1, source->ip.bytes, 16);
    cq_store_be16(bytes + 17, source->port);
    cq_store_be32(bytes + 19, source->scope_id);
    return short_mac(out, CQ_COOKIE_LEN, secret, 32, bytes, sizeof(bytes));
}

enum cq_err cq_cookie_seal(uint8_t out[CQ_COOKIE_MSG_LEN], const struct cq_mac_keys *keys,
                           const uint8_t *msg, size_t len, const uint8_t nonce[CQ_COOKIE_NONCE_LEN],
                           const uint8_t cookie[CQ_COOKIE_LEN])
{
    uint8_t key[CQ_HASH_LEN];
    memset(out, 0, CQ_COOKIE_MSG_LEN);
    out[0] = CQ_MSG_COOKIE;
    out[1] = CQ_PROTOCOL_VERSION;
    memcpy(out + CQ_COOKIE_IDX, msg + 4, 4); /* idx_I and request id stand at the same place */
    memcpy(out + CQ_COOKIE_NONCE, nonce, CQ_COOKIE_NONCE_LEN);
    enum cq_err err =
        cq_hmac(key, keys->cookie, sizeof(keys->cookie), CQ_SPANS({nonce, CQ_COOKIE_NONCE_LEN}));
    if (err == CQ_OK)
        err = cq_aead_seal_zero(out + CQ_COOKIE_ENC, key, msg + len - 2 * CQ_MAC_LEN, CQ_MAC_LEN,
                                cookie, CQ_COOKIE_LEN);
    cq_wipe(key, sizeof(key));
    return err;
}

enum cq_err cq_cookie_open(uint8_t out_cookie[CQ_COOKIE_LEN], const struct cq_mac_keys *keys,
                           const uint8_t msg[CQ_COOKIE_MSG_LEN], const uint8_t mac1[CQ_MAC_LEN])
{
    uint8_t key[CQ_HASH_LEN];
    memset(out_cookie, 0, CQ_COOKIE_LEN);
    enum cq_err err = cq_hmac(key, keys->cookie, sizeof(keys->cookie),
                              CQ_SPANS({msg + CQ_COOKIE_NONCE, CQ_COOKIE_NONCE_LEN}));
    if (err == CQ_OK)
        err = cq_aead_open_zero(out_cookie, key, mac1, CQ_MAC_LEN, msg + CQ_COOKIE_ENC,
                                CQ_COOKIE_LEN + CQ_AEAD_TAG_LEN);
    cq_wipe(key, sizeof(key));
    return err;
}

enum cq_err cq_key_request_write(uint8_t out[CQ_KEY_REQUEST_LEN], const struct cq_mac_keys *keys,
                                 uint32_t request_id, const uint8_t cookie[CQ_COOKIE_LEN])
{
    memset(out, 0, CQ_KEY_REQUEST_LEN);
    out[0] = CQ_MSG_KEY_REQUEST;
    out[1] = CQ_PROTOCOL_VERSION;
    cq_store_be32(out + CQ_KEY_ID, request_id);
    return cq_mac_write(out, CQ_KEY_REQUEST_LEN, keys, cookie);
}

void cq_key_response_write(uint8_t out[CQ_KEY_RESPONSE_LEN], uint32_t request_id,
                           const struct cq_public_key *key)
{
    memset(out, 0, CQ_KEY_RESPONSE_LEN);
    out[0] = CQ_MSG_KEY_RESPONSE;
    out[1] = CQ_PROTOCOL_VERSION;
    cq_store_be32(out + CQ_KEY_ID, request_id);
    memcpy(out + CQ_KEY_RESPONSE_KEY, key->s, sizeof(key->s));
    memcpy(out + CQ_KEY_RESPONSE_KEY + sizeof(key->s), key->ek, sizeof(key->ek));
}

enum cq_err cq_key_push_write(uint8_t out[CQ_KEY_PUSH_LEN], const struct cq_mac_keys *keys,
                              const struct cq_public_key *key)
{
    memset(out, 0, CQ_KEY_PUSH_LEN);
    out[0] = CQ_MSG_KEY_PUSH;
    out[1] = CQ_PROTOCOL_VERSION;
    memcpy(out + CQ_KEY_PUSH_KEY, key->s, sizeof(key->s));
    memcpy(out + CQ_KEY_PUSH_KEY + sizeof(key->s), key->ek, sizeof(key->ek));
    return short_mac(out + CQ_KEY_PUSH_MAC1, CQ_PUSH_MAC_LEN, keys->mac1, sizeof(keys->mac1), out,
                     CQ_KEY_PUSH_MAC1);
}

bool cq_key_push_verify(const uint8_t msg[CQ_KEY_PUSH_LEN], const struct cq_mac_keys *keys)
{
    return short_mac_verify(msg + CQ_KEY_PUSH_MAC1, CQ_PUSH_MAC_LEN, keys->mac1, sizeof(keys->mac1),
                            msg, CQ_KEY_PUSH_MAC1);
}
