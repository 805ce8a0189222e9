/* The handshake, message by message, and the engine around it: two virtual nodes. */
#include "measure.h"

#include "crypto/crypto.h"
#include "pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct pair pair;
static bool is_made;

/* The steps of a handshake in their order; a row does one of them after those before it. */
static void (*const steps[])(struct pair *p) = {
    pair_init_message, pair_read_init,  pair_write_reply, pair_read_reply,
    pair_write_offer,  pair_read_offer, pair_read_accept,
};
enum { NUM_STEPS = sizeof(steps) / sizeof(steps[0]) };

static void wipe(void)
{
    if (is_made)
        pair_wipe(&pair);
    is_made = false;
}

/* size: the step. */
static void prepare(const struct measure_row *row)
{
    wipe();
    pair_init(&pair, 1);
    is_made = true;
    for (unsigned i = 0; i < row->size; i++)
        steps[i](&pair);
}

static void run_step(const struct measure_row *row)
{
    steps[row->size](&pair);
}

static void run_all(const struct measure_row *row)
{
    (void)row;
    for (unsigned i = 0; i < NUM_STEPS; i++)
        steps[i](&pair);
}

/* What an INIT costs a node that is flooded with them: a wrong mac1 is found out first. */
static void prepare_flood(const struct measure_row *row)
{
    (void)row;
    prepare(&(struct measure_row){.size = 1});
    pair.init[CQ_INIT_LEN - 2 * CQ_MAC_LEN] ^= 1;
}

static void run_flood(const struct measure_row *row)
{
    (void)row;
    assert_false(cq_mac1_verify(pair.init, CQ_INIT_LEN, &pair.macs_r));
}

static void run_cookie(const struct measure_row *row)
{
    static const struct cq_addr source = {.ip = {CQ_FAMILY_IPV4, {192, 0, 2, 1}}, .port = 51820};
    static const uint8_t secret[32] = {1}, nonce[CQ_COOKIE_NONCE_LEN] = {2};
    uint8_t cookie[CQ_COOKIE_LEN], msg[CQ_COOKIE_MSG_LEN];

    (void)row;
    assert_int_equal(cq_cookie_make(cookie, secret, &source), CQ_OK);
    assert_int_equal(cq_cookie_seal(msg, &pair.macs_r, pair.init, CQ_INIT_LEN, nonce, cookie),
                     CQ_OK);
}

static const struct measure_row rows[] = {
    {"handshake/init-write", "message", 1, prepare, run_step, 0, 0, 0, 0},
    {"handshake/init-read", "message", 1, prepare, run_step, 0, 1, 0, 0},
    {"handshake/reply-write", "message", 1, prepare, run_step, 0, 2, 0, 0},
    {"handshake/reply-read", "message", 1, prepare, run_step, 0, 3, 0, 0},
    {"handshake/offer-write", "message", 1, prepare, run_step, 0, 4, 0, 0},
    {"handshake/offer-read", "message", 1, prepare, run_step, 0, 5, 0, 0},
    {"handshake/accept-read", "message", 1, prepare, run_step, 0, 6, 0, 0},
    {"handshake/both-sides", "handshake", 1, prepare, run_all, 0, 0, 0, 0},
    {"flood/mac1-wrong", "message", 1, prepare_flood, run_flood, 0, 0, 0, 0},
    {"flood/cookie", "message", 1, prepare_flood, run_cookie, 0, 0, 0, 0},
};

int main(int argc, char **argv)
{
    if (cq_crypto_init(false) != CQ_OK) {
        fprintf(stderr, "handshake_rows: no libcrypto\n");
        return 1;
    }
    int status = measure_main(argc, argv, rows, sizeof(rows) / sizeof(rows[0]));
    wipe();
    return status;
}
