#include "conf/control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ID_TEXT "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="

static void test_requests(void **state)
{
    struct cq_control_request request = {.command = CQ_CONTROL_SHOW}, back;
    char line[CQ_CONTROL_REQUEST_MAX], reason[CQ_CONTROL_ERROR_MAX + 1];
    static const char show[] = "{\"version\":1,\"command\":\"show\"}\n";
    static const char rotate[] =
        "{\"version\":1,\"command\":\"rotate\",\"peer\":\"" ID_TEXT "\"}\n";
    size_t len;

    (void)state;
    assert_int_equal(cq_control_request_encode(&request, line, sizeof(line), &len), CQ_OK);
    assert_int_equal(len, strlen(show));
    assert_memory_equal(line, show, len);
    assert_int_equal(cq_control_request_decode(&back, line, len, reason), CQ_OK);
    assert_int_equal(back.command, CQ_CONTROL_SHOW);
    assert_false(back.has_peer);
    assert_int_equal(cq_control_request_encode(&request, line, len - 1, &len), CQ_ERR_RANGE);
    assert_int_equal(len, 0);

    request.command = CQ_CONTROL_ROTATE;
    request.has_peer = true;
    memset(request.peer, 1, sizeof(request.peer));
    assert_int_equal(cq_control_request_encode(&request, line, sizeof(line), &len), CQ_OK);
    assert_int_equal(len, strlen(rotate));
    assert_memory_equal(line, rotate, len);
    assert_int_equal(cq_control_request_decode(&back, line, len - 1, reason), CQ_OK);
    assert_int_equal(back.command, CQ_CONTROL_ROTATE);
    assert_true(back.has_peer);
    assert_memory_equal(back.peer, request.peer, sizeof(back.peer));
}

static void test_bad_requests(void **state)
{
    static const struct {
        const char *line, *reason;
    } cases[] = {
        {"", "message is not a JSON object"},
        {"show", "message is not a JSON object"},
        {"[]", "message is not a JSON object"},
        {"{\"version\":1,\"command\":\"show\"} {}", "message is not a JSON object"},
        {"{\"version\":1,\"version\":1}", "message is not a JSON object"},
        {"{\"command\":\"show\"}", "control message has no \"version\""},
        {"{\"version\":\"1\",\"command\":\"show\"}", "control message has no \"version\""},
        {"{\"version\":2,\"command\":\"show\"}",
         "control message of version 2, but this program speaks 1"},
        {"{\"version\":1,\"command\":\"watch\"}", "\"level\" goes with watch, and watch with it"},
        {"{\"version\":1,\"command\":\"show\",\"level\":\"info\"}",
         "\"level\" goes with watch, and watch with it"},
        {"{\"version\":1,\"command\":\"watch\",\"level\":\"all\"}",
         "\"level\" is not error, warn, info or debug"},
        {"{\"version\":1}", "request has no \"command\""},
        {"{\"version\":1,\"command\":3}", "request has no \"command\""},
        {"{\"version\":1,\"command\":\"stop\"}",
         "unknown command: known are show, rotate and watch"},
        {"{\"version\":1,\"command\":\"show\",\"x\":1}", "request has an unknown member"},
        {"{\"version\":1,\"command\":\"show\",\"peer\":\"" ID_TEXT "\"}",
         "\"peer\" goes with rotate only"},
        {"{\"version\":1,\"command\":\"rotate\",\"peer\":\"x\"}",
         "\"peer\" is not a PeerID (44 characters)"},
        {"{\"version\":1,\"command\":\"rotate\",\"peer\":null}",
         "\"peer\" is not a PeerID (44 characters)"},
    };
    char reason[CQ_CONTROL_ERROR_MAX + 1], *deep = calloc(1, CQ_CONTROL_REQUEST_MAX + 1);
    struct cq_control_request request;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(
            cq_control_request_decode(&request, cases[i].line, strlen(cases[i].line), reason),
            CQ_ERR_INVALID);
        assert_string_equal(reason, cases[i].reason);
        assert_false(request.has_peer);
    }
    assert_non_null(deep);
    memset(deep, '[', CQ_CONTROL_REQUEST_MAX + 1);
    assert_int_equal(cq_control_request_decode(&request, deep, CQ_CONTROL_REQUEST_MAX, reason),
                     CQ_ERR_INVALID);
    assert_int_equal(cq_control_request_decode(&request, deep, CQ_CONTROL_REQUEST_MAX + 1, reason),
                     CQ_ERR_INVALID);
    assert_string_equal(reason, "message is longer than 4096 bytes");
    free(deep);
}

static void round_trip(const struct cq_control_response *response, struct cq_control_response *back)
{
    char reason[CQ_CONTROL_ERROR_MAX + 1];
    char *line;
    size_t len;

    assert_int_equal(cq_control_response_encode(response, &line, &len), CQ_OK);
    assert_int_equal(strlen(line), len);
    assert_ptr_equal(strchr(line, '\n'), line + len - 1);
    assert_int_equal(cq_control_response_decode(back, line, len, reason), CQ_OK);
    assert_int_equal(back->kind, response->kind);
    free(line);
}

static void test_responses(void **state)
{
    struct cq_control_response response = {.error = "no such \"peer\""}, back;

    (void)state;
    round_trip(&response, &back);
    assert_string_equal(back.error, response.error);
    cq_control_response_free(&back);

    response = (struct cq_control_response){.kind = CQ_CONTROL_KIND_STATUS};
    strcpy(response.status.interface, "wan0");
    round_trip(&response, &back);
    assert_string_equal(back.status.interface, "wan0");
    cq_control_response_free(&back);

    struct cq_control_rotated rotated[2] = {
        {.id = {1}, .name = "a", .duration_us = 1234, .session_id = {0xff, 2}},
        {.id = {2}, .error = "no answer"},
    };
    response = (struct cq_control_response){
        .kind = CQ_CONTROL_KIND_ROTATED, .rotated = rotated, .num_rotated = 2};
    round_trip(&response, &back);
    assert_int_equal(back.num_rotated, 2);
    assert_memory_equal(back.rotated, rotated, sizeof(rotated));
    cq_control_response_free(&back);
    response.num_rotated = 0;
    round_trip(&response, &back);
    assert_int_equal(back.num_rotated, 0);
    cq_control_response_free(&back);
}

static void test_bad_responses(void **state)
{
    static const char *const lines[] = {
        "{\"version\":1}",
        "{\"version\":1,\"ok\":false}",
        "{\"version\":1,\"ok\":true}",
        "{\"version\":1,\"ok\":1,\"rotated\":[]}",
        "{\"version\":1,\"ok\":true,\"rotated\":{}}",
        "{\"version\":1,\"ok\":true,\"rotated\":[{}]}",
        "{\"version\":1,\"ok\":true,\"rotated\":[],\"status\":{}}",
        "{\"version\":1,\"ok\":true,\"status\":{}}",
        "{\"version\":1,\"ok\":true,\"rotated\":[{\"id\":\"" ID_TEXT
        "\",\"name\":\"\",\"duration_us\":-1,\"session_id\":\"0000000000000000\",\"error\":\"\"}]}",
    };
    char reason[CQ_CONTROL_ERROR_MAX + 1];
    struct cq_control_response response;

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_int_equal(cq_control_response_decode(&response, lines[i], strlen(lines[i]), reason),
                         CQ_ERR_INVALID);
        assert_string_equal(reason, "response is not one of this version");
        assert_null(response.rotated);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_responses),
        cmocka_unit_test(test_bad_responses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
