/*
 * Reading the published test vectors: files below the directory that CRYPRQ_VECTORS names.
 */
#ifndef CQ_TESTS_VECTORS_H
#define CQ_TESTS_VECTORS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a hexadecimal string; freed all together by vectors_release. */
struct bytes {
    uint8_t *p;
    size_t len;
};

/* A JSON file; skips the calling test, with a reason, where the directory or the file is absent. */
json_t *vectors_load(const char *name);

/* The file as text, of *.gz uncompressed; skips as above. Freed by vectors_release. */
char *vectors_load_text(const char *name);

/* A member that must be there. */
json_t *vectors_get(json_t *object, const char *name);
const char *vectors_string(json_t *object, const char *name);
struct bytes vectors_bytes(json_t *object, const char *name);
struct bytes vectors_hex(const char *hex, size_t num_digits);
bool vectors_is(json_t *object, const char *name, const char *value);

/* Frees everything that was loaded: the teardown of every test. */
int vectors_release(void **state);

#define VECTORS_TEST(name_, f)                                                                     \
    {                                                                                              \
        .name = name_, .test_func = f, .teardown_func = vectors_release                            \
    }

#endif
