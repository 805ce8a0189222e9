#include "vectors.h"

#include "tests/hex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_TEXT = 8 * 1024 * 1024 };

static json_t *root;
static char *text;

/* Decoded bytes, one list for all of a test. */
static struct block {
    struct block *next;
    uint8_t bytes[];
} * blocks;

static void find_path(const char *name, char *out, size_t size)
{
    const char *dir = getenv("CRYPRQ_VECTORS");

    if (dir == NULL || dir[0] == '\0') {
        print_message("# skipped: CRYPRQ_VECTORS does not name the published vectors\n");
        skip();
    }
    snprintf(out, size, "%s/%s", dir, name);
}

char *vectors_load_text(const char *name)
{
    char path[4096];

    find_path(name, path, sizeof(path));
    if (access(path, R_OK) != 0) {
        print_message("# skipped: no %s\n", path);
        skip();
    }
    /* With -f, gzip passes on as it is what is not compressed. */
    assert_int_equal(setenv("VECTORS_FILE", path, 1), 0);
    FILE *f = popen("gzip -dcf -- \"$VECTORS_FILE\"", "r");
    assert_non_null(f);
    text = malloc(MAX_TEXT);
    assert_non_null(text);
    size_t n = fread(text, 1, MAX_TEXT - 1, f);
    assert_int_equal(pclose(f), 0);
    assert_true(n > 0 && n < MAX_TEXT - 1);
    text[n] = '\0';
    return text;
}

json_t *vectors_load(const char *name)
{
    json_error_t error;

    root = json_loads(vectors_load_text(name), 0, &error);
    if (root == NULL)
        fail_msg("%s: line %d: %s", name, error.line, error.text);
    return root;
}

json_t *vectors_get(json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);

    if (value == NULL)
        fail_msg("no member \"%s\"", name);
    return value;
}

const char *vectors_string(json_t *object, const char *name)
{
    const char *value = json_string_value(vectors_get(object, name));

    if (value == NULL)
        fail_msg("\"%s\" is no string", name);
    return value;
}

struct bytes vectors_hex(const char *hex, size_t num_digits)
{
    struct block *b = malloc(sizeof(*b) + num_digits / 2 + 1);
    char *digits = strndup(hex, num_digits);

    assert_non_null(b);
    assert_non_null(digits);
    b->next = blocks;
    blocks = b;
    size_t len = hex_decode(digits, b->bytes, num_digits / 2);
    free(digits);
    return (struct bytes){b->bytes, len};
}

struct bytes vectors_bytes(json_t *object, const char *name)
{
    const char *hex = vectors_string(object, name);

    return vectors_hex(hex, strlen(hex));
}

bool vectors_is(json_t *object, const char *name, const char *value)
{
    return strcmp(vectors_string(object, name), value) == 0;
}

int vectors_release(void **state)
{
    (void)state;
    json_decref(root);
    root = NULL;
    free(text);
    text = NULL;
    while (blocks != NULL) {
        struct block *next = blocks->next;
        free(blocks);
        blocks = next;
    }
    return 0;
}
