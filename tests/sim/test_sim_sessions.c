/*
 * Sessions (docs/protocol.md section 6): confirmation, which one is sent on, expiry to the
 * nanosecond, when a rotation begins, record limits, and early erasure.
 */
#include "duo.h"

#include "base/mem.h"
#include "path/internal.h"
#include "proto/wire.h"

/* ---- both sides send on different sessions ---- */

/* Two handshakes that cross: either side's own one completes last at it, so it sends on that one.
 * However long both are silent then, neither may give up the session that the other sends on. */
static void test_crossed_sessions_survive_silence(void **state)
{
    unsigned crossed = 0;
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        struct duo duo = duo_new(&(struct duo_config){.seed = 500 + i});
        struct lab_flow *ab = lab_flow(duo.a, duo.b, 0, 0);
        struct lab_flow *ba = lab_flow(duo.b, duo.a, 0, 0);
        (void)lab_send_packet(ab);
        (void)lab_send_packet(ba);
        lab_run_for(duo.lab, SECS(2));
        assert_true(lab_are_connected(duo.a, duo.b));
        struct cq_peer_status sa = lab_status(duo.a, duo.b), sb = lab_status(duo.b, duo.a);
        crossed += memcmp(sa.sid, sb.sid, sizeof(sa.sid)) != 0;
        for (unsigned k = 0; k < 8; k++) {
            lab_run_for(duo.lab, SECS(9 + 3 * k));
            assert_true(lab_send_packet(i % 2 == 0 ? ab : ba));
            lab_run_for(duo.lab, SECS(1));
            assert_int_equal(duo_missing(&duo), 0);
        }
        duo_free(&duo);
    }
    assert_true(crossed > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crossed_sessions_survive_silence),
    };
    return cmocka_run_group_tests_name("sim_sessions", tests, NULL, NULL);
}
