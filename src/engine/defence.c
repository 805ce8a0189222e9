/*
 * Against floods: the load rule, cookies, and the rate of sources that proved themselves
 * (docs/protocol.md section 3).
 */
#include "engine/internal.h"

#include <string.h>

static const cq_time slice = CQ_NS_PER_S / CQ_LOAD_SLICES;

void cq_load_note(struct cq_engine *e, cq_time now)
{
    int64_t number = now / slice;
    if (number - e->load_slice >= CQ_LOAD_SLICES)
        memset(e->load, 0, sizeof(e->load));
    else
        for (int64_t n = e->load_slice + 1; n <= number; n++)
            e->load[n % CQ_LOAD_SLICES] = 0;
    e->load_slice = number;
    e->load[number % CQ_LOAD_SLICES]++;

    uint64_t sum = 0;
    for (unsigned i = 0; i < CQ_LOAD_SLICES; i++)
        sum += e->load[i];
    if (sum > e->config.load_per_second)
        e->loaded_until = now + CQ_LOAD_LASTS;
}

bool cq_load_is_high(const struct cq_engine *e, cq_time now)
{
    return now < e->loaded_until;
}

void cq_engine_note_overload(struct cq_engine *e, cq_time now)
{
    e->loaded_until = now + CQ_LOAD_LASTS;
}

/* Makes the newest secret young enough to issue cookies with; the one before it stays valid for
 * checking. */
static bool refresh_secret(struct cq_engine *e, cq_time now)
{
    if (e->cookie_made[0] != CQ_TIME_NEVER && now < e->cookie_made[0] + CQ_COOKIE_SECRET_LIFE)
        return true;
    uint8_t secret[32];
    if (!cq_engine_random(e, secret, sizeof(secret)))
        return false;
    memcpy(e->cookie_secret[1], e->cookie_secret[0], sizeof(secret));
    e->cookie_made[1] = e->cookie_made[0];
    memcpy(e->cookie_secret[0], secret, sizeof(secret));
    e->cookie_made[0] = now;
    cq_wipe(secret, sizeof(secret));
    return true;
}

bool cq_cookie_check(struct cq_engine *e, const struct cq_addr *source, const uint8_t *msg,
                     size_t len, uint8_t out_cookie[CQ_COOKIE_LEN], cq_time now)
{
    static const uint8_t none[CQ_MAC_LEN];
    memset(out_cookie, 0, CQ_COOKIE_LEN);
    if (cq_equal_ct(msg + len - CQ_MAC_LEN, none, CQ_MAC_LEN))
        return false;
    for (unsigned i = 0; i < 2; i++) {
        /* A secret issues cookies for one life and is accepted for one more. */
        if (e->cookie_made[i] == CQ_TIME_NEVER ||
            now >= e->cookie_made[i] + 2 * CQ_COOKIE_SECRET_LIFE)
            continue;
        if (cq_cookie_make(out_cookie, e->cookie_secret[i], source) == CQ_OK &&
            cq_mac2_verify(msg, len, out_cookie))
            return true;
    }
    cq_wipe(out_cookie, CQ_COOKIE_LEN);
    return false;
}

void cq_cookie_answer(struct cq_engine *e, const struct cq_route *route, const uint8_t *msg,
                      size_t len, cq_time now)
{
    uint8_t cookie[CQ_COOKIE_LEN], nonce[CQ_COOKIE_NONCE_LEN], answer[CQ_COOKIE_MSG_LEN];
    if (refresh_secret(e, now) && cq_engine_random(e, nonce, sizeof(nonce)) &&
        cq_cookie_make(cookie, e->cookie_secret[0], &route->remote) == CQ_OK &&
        cq_cookie_seal(answer, &e->macs, msg, len, nonce, cookie) == CQ_OK) {
        cq_action_send(e, NULL, route, answer, sizeof(answer));
        e->cookies_sent++;
    }
    cq_wipe(cookie, sizeof(cookie));
}

static uint32_t hash_source(const struct cq_engine *e, const uint8_t key[17])
{
    uint32_t h = e->source_seed;
    for (unsigned i = 0; i < 17; i++)
        h = (h ^ key[i]) * UINT32_C(0x01000193);
    return (h ^ (h >> 15)) % CQ_NUM_SOURCES;
}

bool cq_source_take(struct cq_engine *e, const struct cq_addr *source, cq_time now)
{
    const uint32_t full = e->config.source_burst * 1000;
    uint8_t key[17] = {source->ip.family};
    memcpy(key + 1, source->ip.bytes, source->ip.family == CQ_FAMILY_IPV6 ? 8 : 4);

    /* One bucket per hash value: a source that takes another's over starts with what the other had
     * left or gained, so that hopping between sources wins nothing. */
    struct cq_source *s = &e->sources[hash_source(e, key)];
    if (s->key[0] == 0)
        s->tokens_milli = full;
    memcpy(s->key, key, sizeof(key));
    uint64_t gained = (uint64_t)(now - s->at) / 1000000 * e->config.source_per_second;
    s->at += (cq_time)((uint64_t)(now - s->at) / 1000000 * 1000000);
    s->tokens_milli = s->tokens_milli + gained >= full ? full : s->tokens_milli + (uint32_t)gained;
    if (s->tokens_milli < 1000)
        return false;
    s->tokens_milli -= 1000;
    return true;
}
