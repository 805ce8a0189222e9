#include "conf/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_spans(void **state)
{
    static const struct {
        uint64_t secs;
        const char *text;
    } cases[] = {
        {0, "0 s"},
        {89, "89 s"},
        {90, "1 min"},
        {3599, "59 min"},
        {3600, "1 h 0 min"},
        {11520, "3 h 12 min"},
        {86400, "1 d 0 h"},
        {86400 * 400 + 7200, "400 d 2 h"},
        {UINT64_MAX, "213503982334601 d 7 h"},
    };
    char text[CQ_SPAN_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(cq_words_span(cases[i].secs, text), cases[i].text);
}

/* No answer to an attempt, which is going on since 40 s. */
#define FAILING                                                                                    \
    .handshaking = true, .attempt = {.happened = true, .num = {[CQ_STEP_KEY_REQUEST_SENT] = 3}},   \
    .attempt_secs = 40

static void test_states(void **state)
{
    static const struct {
        struct cq_node_peer_status peer;
        enum cq_link_state state;
        const char *begins, *holds;
    } cases[] = {
        {{.has_session = true, .key_age_secs = 120, .rotate_in_secs = 180},
         CQ_LINK_CONNECTED,
         "Connected; keys 2 min old, next rotation in 3 min.",
         ""},
        {{.has_session = true, .key_age_secs = 301},
         CQ_LINK_CONNECTED,
         "Connected; keys 5 min old, replaced with the next packet.",
         ""},
        {{.has_session = true, .unanswered_secs = 14}, CQ_LINK_CONNECTED, "Connected", ""},
        {{.has_session = true, .unanswered_secs = 40, .name = "far"},
         CQ_LINK_TROUBLE,
         "No answer for 40 s. Run",
         "Run `cryprq diagnose wan0 far`."},
        {{FAILING, .name = "far.end-1_x"},
         CQ_LINK_TROUBLE,
         "No answer for 40 s. Run",
         "Run `cryprq diagnose wan0 far.end-1_x`."},
        /* A name that a shell would read is not put on a command line. */
        {{FAILING, .name = "x; reboot"},
         CQ_LINK_TROUBLE,
         "No answer",
         "Run `cryprq diagnose wan0 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=`."},
        {{FAILING, .name = "-v"}, CQ_LINK_TROUBLE, "No answer", "wan0 AAAA"},
        {{FAILING, .name = "`id`"}, CQ_LINK_TROUBLE, "No answer", "wan0 AAAA"},
        /* What failed before the last handshake is over. */
        {{.attempt = {.happened = true},
          .attempt_secs = 400,
          .latest_handshake = 1,
          .latest_handshake_secs = 300,
          .endpoint = "192.0.2.1:5"},
         CQ_LINK_IDLE,
         "Idle; the last handshake was 5 min ago",
         ""},
        {{.attempt = {.happened = true}, .attempt_secs = 60, .endpoint = "192.0.2.1:5"},
         CQ_LINK_TROUBLE,
         "No answer, 60 s ago. ",
         "Run `"},
        {{.handshaking = true,
          .attempt = {.happened = true, .num = {[CQ_STEP_OFFER_SENT] = 2}},
          .attempt_secs = 20},
         CQ_LINK_TROUBLE,
         "No answer for 20 s: the other side began the handshake but does not finish it. Run `",
         ""},
        {{.handshaking = true, .attempt = {.happened = true}, .attempt_secs = 2},
         CQ_LINK_CONNECTING,
         "Connecting; the handshake began 2 s ago.",
         ""},
        {{.refused = CQ_DROP_DECRYPT_FRESH, .num_refused = 3, .refused_secs = 7},
         CQ_LINK_TROUBLE,
         "Not connected; last refused 7 s ago: the peer calls",
         "pre-shared keys differ"},
        {{.endpoint = ""}, CQ_LINK_IDLE, "Waiting for the peer to call", ""},
        {{.configured_endpoint = (char *)(uintptr_t) "far.test:1"},
         CQ_LINK_IDLE,
         "Not needed yet",
         ""},
    };
    char words[CQ_WORDS_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum cq_link_state found = cq_peer_words(words, &cases[i].peer, "wan0");
        if (found != cases[i].state ||
            strncmp(words, cases[i].begins, strlen(cases[i].begins)) != 0 ||
            strstr(words, cases[i].holds) == NULL)
            fail_msg("case %zu: %s: %s", i, cq_link_state_name(found), words);
        assert_int_equal(words[strlen(words) - 1], '.');
    }
}

/* However long what is put together: it ends within the bound and is not cut off. */
static void test_longest(void **state)
{
    struct cq_node_peer_status peer = {FAILING};
    char words[CQ_WORDS_MAX];

    (void)state;
    memset(peer.name, 'n', CQ_CONF_NAME_MAX);
    for (int step = 0; step < CQ_STEP_COUNT; step++) {
        memset(peer.attempt.num, 0, sizeof(peer.attempt.num));
        peer.attempt.num[step] = 9;
        if (cq_peer_words(words, &peer, "0123456789abcde") == CQ_LINK_TROUBLE)
            assert_string_equal(words + strlen(words) - 3, "n`.");
    }
    for (int drop = 1; drop < CQ_DROP_COUNT; drop++) {
        peer.refused = (enum cq_drop)drop;
        assert_int_equal(cq_peer_words(words, &peer, "0123456789abcde"), CQ_LINK_TROUBLE);
        assert_string_equal(words + strlen(words) - 3, "n`.");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_longest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
