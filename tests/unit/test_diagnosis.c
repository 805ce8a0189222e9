#include "base/diagnosis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_names(void **state)
{
    (void)state;
    for (int i = 0; i < CQ_DIAGNOSIS_COUNT; i++) {
        enum cq_diagnosis d = (enum cq_diagnosis)i;
        assert_true(strlen(cq_diagnosis_text(d)) > 0);
        assert_int_equal(strlen(cq_diagnosis_mend(d)) == 0, d == CQ_DIAGNOSIS_ALL_WELL);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(cq_diagnosis_name(d), cq_diagnosis_name((enum cq_diagnosis)j));
    }
    for (int i = 0; i < CQ_STEP_COUNT; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(cq_step_name((enum cq_step)i), cq_step_name((enum cq_step)j));
    assert_string_equal(cq_diagnosis_name(CQ_DIAGNOSIS_COUNT), "unknown");
    assert_string_equal(cq_step_name(CQ_STEP_COUNT), "unknown");
    assert_string_equal(cq_send_fault_name(CQ_SEND_FAULT_TOO_BIG), "too_big");
    assert_string_equal(cq_send_fault_name(CQ_SEND_FAULT_COUNT), "unknown");
}

static void test_notes(void **state)
{
    struct cq_attempt_facts facts = {0};

    (void)state;
    cq_facts_note(&facts, CQ_STEP_INIT_SENT, CQ_NS_PER_S);
    assert_int_equal(facts.num[CQ_STEP_INIT_SENT], 0); /* no attempt yet */
    cq_facts_begin(&facts, 5 * CQ_NS_PER_S);
    cq_facts_note(&facts, CQ_STEP_INIT_SENT, 4 * CQ_NS_PER_S);
    assert_int_equal(facts.last_ms[CQ_STEP_INIT_SENT], 0);
    for (int i = 0; i < 70000; i++)
        cq_facts_note(&facts, CQ_STEP_INIT_SENT, 6 * CQ_NS_PER_S);
    assert_int_equal(facts.num[CQ_STEP_INIT_SENT], UINT16_MAX);
    assert_int_equal(facts.last_ms[CQ_STEP_INIT_SENT], 1000);
    cq_facts_note(&facts, CQ_STEP_INIT_SENT, INT64_C(90) * 24 * 3600 * CQ_NS_PER_S);
    assert_int_equal(facts.last_ms[CQ_STEP_INIT_SENT], UINT32_MAX);
    cq_facts_begin(&facts, 7 * CQ_NS_PER_S);
    assert_int_equal(facts.num[CQ_STEP_INIT_SENT], 0);
}

/* Steps by number, and the conclusion. */
static void test_attempts(void **state)
{
    static const struct {
        struct {
            enum cq_step step;
            uint16_t num;
        } steps[8];
        enum cq_send_fault fault;
        enum cq_diagnosis expected;
    } cases[] = {
        {{{CQ_STEP_INIT_SENT, 3}}, 0, CQ_DIAGNOSIS_NO_ANSWER},
        {{{CQ_STEP_KEY_REQUEST_SENT, 3}}, 0, CQ_DIAGNOSIS_NO_ANSWER},
        {{{CQ_STEP_INIT_SENT, 3}}, CQ_SEND_FAULT_FORBIDDEN, CQ_DIAGNOSIS_LOCAL_FIREWALL},
        {{{CQ_STEP_INIT_SENT, 3}}, CQ_SEND_FAULT_NO_ROUTE, CQ_DIAGNOSIS_NO_ROUTE_TO_PEER},
        {{{CQ_STEP_INIT_SENT, 3}}, CQ_SEND_FAULT_TOO_BIG, CQ_DIAGNOSIS_MTU_TOO_SMALL},
        {{{CQ_STEP_INIT_SENT, 3}}, CQ_SEND_FAULT_OTHER, CQ_DIAGNOSIS_SEND_FAILED},
        {{{CQ_STEP_KEY_REQUEST_SENT, 3}, {CQ_STEP_COOKIE_RECEIVED, 1}},
         CQ_SEND_FAULT_FORBIDDEN,
         CQ_DIAGNOSIS_SILENT_AFTER_COOKIE},
        {{{CQ_STEP_INIT_SENT, 9}, {CQ_STEP_COOKIE_RECEIVED, 3}},
         0,
         CQ_DIAGNOSIS_SILENT_AFTER_COOKIE},
        {{{CQ_STEP_KEY_REQUEST_SENT, 9}, {CQ_STEP_COOKIE_RECEIVED, 4}},
         0,
         CQ_DIAGNOSIS_COOKIE_NOT_ACCEPTED},
        {{{CQ_STEP_KEY_RESPONSE_RECEIVED, 2}, {CQ_STEP_KEY_MISMATCH, 2}},
         0,
         CQ_DIAGNOSIS_KEY_HASH_MISMATCH},
        {{{CQ_STEP_COOKIE_RECEIVED, 1}, {CQ_STEP_KEY_RESPONSE_RECEIVED, 1}, {CQ_STEP_INIT_SENT, 2}},
         0,
         CQ_DIAGNOSIS_NO_REPLY},
        {{{CQ_STEP_KEY_RESPONSE_RECEIVED, 2}, {CQ_STEP_KEY_MISMATCH, 1}, {CQ_STEP_INIT_SENT, 2}},
         0,
         CQ_DIAGNOSIS_NO_REPLY},
        {{{CQ_STEP_INIT_SENT, 2}, {CQ_STEP_REPLY_REFUSED, 1}}, 0, CQ_DIAGNOSIS_BAD_REPLY},
        {{{CQ_STEP_REPLY_REFUSED, 1}, {CQ_STEP_REPLY_RECEIVED, 1}, {CQ_STEP_OFFER_SENT, 4}},
         0,
         CQ_DIAGNOSIS_NO_ACCEPT},
        {{{CQ_STEP_OFFER_SENT, 4}, {CQ_STEP_ACCEPT_RECEIVED, 1}}, 0, CQ_DIAGNOSIS_ALL_WELL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cq_attempt_facts facts = {.happened = true, .send_fault = (uint8_t)cases[i].fault};
        for (int k = 0; k < 8 && cases[i].steps[k].num > 0; k++)
            facts.num[cases[i].steps[k].step] = cases[i].steps[k].num;
        assert_string_equal(cq_diagnosis_name(cq_diagnosis_of_attempt(&facts)),
                            cq_diagnosis_name(cases[i].expected));
        assert_int_equal(cq_diagnosis_is_of_attempt(cases[i].expected),
                         cases[i].expected != CQ_DIAGNOSIS_ALL_WELL);
    }
    int num = 0;
    for (int i = 0; i < CQ_DIAGNOSIS_COUNT; i++)
        num += cq_diagnosis_is_of_attempt((enum cq_diagnosis)i);
    assert_int_equal(num, 11); /* different ones above, ALL_WELL aside */
}

static void test_refusals(void **state)
{
    (void)state;
    assert_int_equal(cq_diagnosis_of_refusal(CQ_DROP_NONE), CQ_DIAGNOSIS_ALL_WELL);
    assert_int_equal(cq_diagnosis_of_refusal(CQ_DROP_DECRYPT_FRESH), CQ_DIAGNOSIS_PSK_MISMATCH);
    assert_int_equal(cq_diagnosis_of_refusal(CQ_DROP_PEER_KEY_UNKNOWN),
                     CQ_DIAGNOSIS_PEER_KEY_UNKNOWN);
    assert_int_equal(cq_diagnosis_of_refusal(CQ_DROP_NO_COMMON_SUITE),
                     CQ_DIAGNOSIS_NO_COMMON_SUITE);
    assert_int_equal(cq_diagnosis_of_refusal(CQ_DROP_PENDING_FULL), CQ_DIAGNOSIS_REFUSED);
    for (int i = 0; i < CQ_DIAGNOSIS_COUNT; i++) {
        bool found = false;
        for (int drop = CQ_DROP_NONE + 1; drop < CQ_DROP_COUNT; drop++)
            found = found || cq_diagnosis_of_refusal((enum cq_drop)drop) == (enum cq_diagnosis)i;
        assert_int_equal(cq_diagnosis_is_of_refusal((enum cq_diagnosis)i), found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_notes),
        cmocka_unit_test(test_attempts),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
