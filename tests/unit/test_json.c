#include "conf/json.h"
#include "conf/json_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void write_all(struct cq_json *json)
{
    cq_json_open(json, NULL, '{');
    cq_json_u64(json, "most", UINT64_MAX);
    cq_json_i64(json, "least", INT64_MIN);
    cq_json_bool(json, "yes", true);
    cq_json_null(json, "none");
    cq_json_text(json, "text", "a\"b\\c\nd\x01\x7f\xe4");
    cq_json_open(json, "empty", '[');
    cq_json_close(json, ']');
    cq_json_open(json, "list", '[');
    cq_json_text(json, NULL, "");
    cq_json_open(json, NULL, '{');
    cq_json_close(json, '}');
    cq_json_open(json, NULL, '{');
    cq_json_bool(json, "no", false);
    cq_json_close(json, '}');
    cq_json_close(json, ']');
    cq_json_close(json, '}');
    cq_text_add(&json->text, "", 1);
    assert_false(json->text.failed);
}

static void test_write(void **state)
{
    struct cq_json json = {0};

    (void)state;
    write_all(&json);
    assert_string_equal(json.text.data,
                        "{\"most\":9223372036854775807,\"least\":-9223372036854775808,"
                        "\"yes\":true,\"none\":null,"
                        "\"text\":\"a\\\"b\\\\c\\u000ad\\u0001\\u007f\\u00e4\","
                        "\"empty\":[],\"list\":[\"\",{},{\"no\":false}]}");
    cq_text_free(&json.text);
}

/* The pretty form is that of jansson. */
static void test_pretty(void **state)
{
    struct cq_json json = {.pretty = true};

    (void)state;
    write_all(&json);
    json_t *value = json_loads(json.text.data, 0, NULL);
    assert_non_null(value);
    char *text = json_dumps(value, JSON_INDENT(2));
    assert_non_null(text);
    const char *a = json.text.data, *b = text;
    for (; *a != '\0' && *b != '\0'; a++, b++) {
        if (*a == '\\' && strncmp(a, "\\u000a", 6) == 0) /* jansson has \n */
            a += 5, b += 1;
        else if (*a == '\\' && strncmp(a, "\\u007f", 6) == 0) /* and some bytes as they are */
            a += 5;
        else if (*a == '\\' && strncmp(a, "\\u00e4", 6) == 0)
            a += 5, b += 1;
        else
            assert_int_equal(*a, *b);
    }
    assert_int_equal(*a, *b);
    free(text);
    json_decref(value);
    cq_text_free(&json.text);
}

static const char *const path[] = {"status", "peers", NULL};

/* How many elements were loaded apart; -1: all was loaded at once; -2: refused. */
static int load_apart(const char *text, size_t len)
{
    struct cq_json_list list;
    json_error_t error;
    json_t *rest = cq_json_load_apart(&list, text, len, path, &error), *element;
    int num = 0;

    if (rest == NULL)
        return -2;
    if (list.at == NULL) {
        json_decref(rest);
        return -1;
    }
    assert_int_equal(json_array_size(json_object_get(json_object_get(rest, "status"), "peers")), 0);
    json_decref(rest);
    for (; cq_json_list_next(&list, &element); num++)
        json_decref(element);
    return list.at >= list.end ? num : -2;
}

static void test_apart(void **state)
{
    static const struct {
        const char *text;
        int expected;
    } cases[] = {
        {"{\"status\":{\"peers\":[{\"a\":1},{}]}}", 2},
        {" {\n \"x\" : [ \"]\\\"}\" , {\"peers\":[{}]} ] , \"status\" : { \"peers\" : [ {} , {} ] "
         "} } ",
         2},
        {"{\"status\":{\"peers\":[{\"s\":\"}],{\",\"l\":[[{}],[]]}]}}", 1},
        {"{\"status\":{\"peers\":[]}}", -1},
        {"{\"status\":{\"peers\":[ ]}}", -1},
        {"{\"status\":{\"peers\":[3,{}]}}", -1},
        {"{\"status\":{\"peers\":{}}}", -1},
        {"{\"status\":[{\"peers\":[{}]}]}", -1},
        {"{\"peers\":[{}]}", -1},
        {"{}", -1},
        {"{\"status\":{\"p\\u0065ers\":[{}]}}", -1},
        {"{\"status\":{\"peers\":[{},]}}", -2},
        {"{\"status\":{\"peers\":[{}{}]}}", -2},
        {"{\"status\":{\"peers\":[{},3]}}", -1},
        {"{\"status\":{\"peers\":[{} x]}}", -2},
        {"{\"status\":{\"peers\":[{]}]}}", -2},
        {"{\"status\":{\"peers\":[{\"a\":1,\"a\":2}]}}", -2},
        {"{\"status\":{\"peers\":[{}],\"peers\":[{}]}}", -2},
        {"{\"status\":{\"peers\":[{}],\"p\\u0065ers\":[{}]}}", -2},
        {"{\"status\":{\"peers\":[{}]}", -2},
        {"{\"status\":{\"peers\":[{}", -2},
        {"{\"status\":{\"peers\":[{\"a\\", -2},
        {"", -2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int found = load_apart(cases[i].text, strlen(cases[i].text));
        if (found != cases[i].expected)
            fail_msg("%s: %d", cases[i].text, found);
    }
}

/* One byte of a good text changed, in every place: what is taken is the same as of the whole. */
static void test_apart_agrees(void **state)
{
    static const char bytes[] = "{}[],:\"\\ x1";
    char text[] =
        "{\"v\":[{\"peers\":1}],\"status\":{\"n\":\"[\\\"{\",\"peers\":[{\"a\":[1,\"}\"]},"
        "{\"b\":{}}] ,\"m\":2},\"w\":0}";
    size_t len = strlen(text), num_taken = 0;

    (void)state;
    for (size_t i = 0; i < len; i++) {
        char kept = text[i];
        for (const char *byte = bytes; *byte != '\0'; byte++) {
            text[i] = *byte;
            json_t *whole = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
            if ((whole != NULL) != (load_apart(text, len) != -2))
                fail_msg("%s", text);
            num_taken += whole != NULL;
            json_decref(whole);
        }
        text[i] = kept;
    }
    assert_in_range(num_taken, len, 10 * len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_pretty),
        cmocka_unit_test(test_apart),
        cmocka_unit_test(test_apart_agrees),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
