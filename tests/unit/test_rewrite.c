/* Configuration files edited (conf/rewrite.h) and requests to change a node (conf/admin.h). */
#include "conf/admin.h"
#include "conf/diff.h"
#include "conf/pack.h"
#include "conf/rewrite.h"

#include "base/mem.h"
#include "base/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KEY "PrivateKey = AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n"
#define ID_A "4AIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
#define ID_B "5AIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
#define ID_C "6AIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
#define PSK "PresharedKey = gQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="

static const char text[] = "# top\n"
                           "[interface]\n" KEY "  Address = 10.8.0.1/24 # ours\n"
                           "\n"
                           "# about a\n"
                           "# and more\n"
                           "[Peer]\n"
                           "Name = a # first\n"
                           "PeerID = " ID_A "\n" PSK "\n"
                           "AllowedIPs = 10.0.1.0/24\n"
                           "allowedips=10.0.2.0/24\n"
                           "# inside\n"
                           "Endpoint = h:5\n"
                           "\n"
                           "# about b\n"
                           "[Peer]\n"
                           "PeerID = " ID_B "\n"
                           "PersistentKeepalive = 9"; /* without a last line end */

static void parse(struct cq_conf *out, const char *from)
{
    struct cq_conf_error error;

    if (cq_conf_parse(out, from, strlen(from), &error) != CQ_OK)
        fail_msg("%u:%u: %s in\n%s", error.line, error.column, error.message, from);
}

/* Operations of SET, written by these. */
struct ops {
    uint8_t bytes[4096];
    struct cq_writer w;
};

static void begin(struct ops *o)
{
    o->w = cq_writer_make(o->bytes, sizeof(o->bytes));
}

static void add_text(struct ops *o, uint8_t op, const char *value)
{
    cq_write_u8(&o->w, op);
    cq_pack_write_text(&o->w, value);
}

static void add_prefix(struct ops *o, uint8_t op, const char *value)
{
    struct cq_prefix prefix;

    assert_int_equal(cq_prefix_parse(value, &prefix, NULL), CQ_OK);
    cq_write_u8(&o->w, op);
    cq_pack_write_prefix(&o->w, &prefix);
}

static enum cq_err apply(struct cq_conf *conf, const struct ops *o, struct cq_conf_error *error)
{
    struct cq_reader r = cq_reader_make(o->bytes, o->w.written);

    return cq_admin_apply_set(conf, &r, error);
}

/* The file after the change; it must load and say what the node runs with. */
static char *rewrite(const struct cq_conf *file, const struct cq_conf *running)
{
    struct cq_conf_error error;
    struct cq_conf again;
    struct cq_diff diff;
    char *out;
    size_t len;

    assert_int_equal(cq_rewrite_file(&out, &len, text, strlen(text), file, running, &error), CQ_OK);
    out[len] = '\0';
    parse(&again, out);
    assert_int_equal(cq_diff_make(&diff, &again, running), CQ_OK);
    assert_true(cq_diff_is_empty(&diff));
    cq_diff_free(&diff);
    cq_conf_free(&again);
    return out;
}

static void contains(const char *haystack, const char *needle, bool wanted)
{
    if ((strstr(haystack, needle) != NULL) != wanted)
        fail_msg("%s is %s in\n%s", needle, wanted ? "not" : "still", haystack);
}

static void test_nothing_changes(void **state)
{
    struct cq_conf file;

    (void)state;
    parse(&file, text);
    char *out = rewrite(&file, &file);
    assert_memory_equal(out, text, strlen(text));
    assert_string_equal(out + strlen(text), "\n");
    cq_secret_free(out);
    cq_conf_free(&file);
}

static void test_peers_change(void **state)
{
    struct cq_conf file, running;
    struct cq_conf_error error;
    struct ops o;

    (void)state;
    parse(&file, text);
    parse(&running, text);
    begin(&o);
    add_text(&o, CQ_SET_PEER, "a");
    add_prefix(&o, CQ_SET_ALLOWED_REMOVE, "10.0.1.0/24");
    add_prefix(&o, CQ_SET_ALLOWED_ADD, "fd00::/64");
    add_text(&o, CQ_SET_ENDPOINT, "");
    add_text(&o, CQ_SET_PEER, ID_B);
    add_text(&o, CQ_SET_NAME, "b");
    add_text(&o, CQ_SET_PEER, ID_C);
    add_prefix(&o, CQ_SET_ALLOWED_ADD, "10.3.0.0/16");
    assert_int_equal(apply(&running, &o, &error), CQ_OK);
    char *out = rewrite(&file, &running);
    contains(out, "# about a\n# and more\n[Peer]\nName = a # first\n", true);
    contains(out, PSK "\nAllowedIPs = 10.0.2.0/24, fd00::/64\n# inside\n\n# about b\n", true);
    contains(out, "PersistentKeepalive = 9\nName = b\n", true);
    contains(out, "\n[Peer]\nPeerID = " ID_C "\nAllowedIPs = 10.3.0.0/16\n", true);
    contains(out, "  Address = 10.8.0.1/24 # ours\n", true);
    contains(out, "Endpoint", false);
    cq_secret_free(out);
    cq_conf_free(&running);
    /* One goes, with its comments; what is about the other stays. */
    parse(&running, text);
    begin(&o);
    add_text(&o, CQ_SET_PEER, "a");
    cq_write_u8(&o.w, CQ_SET_REMOVE);
    assert_int_equal(apply(&running, &o, &error), CQ_OK);
    out = rewrite(&file, &running);
    contains(out, ID_A, false);
    contains(out, "about a", false);
    contains(out, "inside", false);
    contains(out, "# about b\n[Peer]\nPeerID = " ID_B, true);
    cq_secret_free(out);
    cq_conf_free(&running);
    cq_conf_free(&file);
}

/* Keys become references to their files; what is in no file cannot be saved. */
static void test_secrets(void **state)
{
    const uint8_t key[32] = {7};
    struct cq_conf file, running;
    struct cq_conf_error error;
    struct ops o;
    char *out;
    size_t len;

    (void)state;
    parse(&file, text);
    parse(&running, text);
    begin(&o);
    cq_write_u8(&o.w, CQ_SET_PRIVATE_KEY);
    cq_write_bytes(&o.w, key, sizeof(key));
    cq_pack_write_text(&o.w, "/k/new");
    add_text(&o, CQ_SET_PEER, "a");
    cq_write_u8(&o.w, CQ_SET_NO_PSK);
    add_text(&o, CQ_SET_PEER, ID_B);
    cq_write_u8(&o.w, CQ_SET_PSK);
    cq_write_bytes(&o.w, key, sizeof(key));
    cq_pack_write_text(&o.w, "/k/psk");
    assert_int_equal(apply(&running, &o, &error), CQ_OK);
    out = rewrite(&file, &running);
    contains(out, "PrivateKey =", false);
    contains(out, "PrivateKeyFile = /k/new\n", true);
    contains(out, "PresharedKey =", false);
    contains(out, "PresharedKeyFile = /k/psk\n", true);
    cq_secret_free(out);
    /* Plain: without any secret. */
    assert_int_equal(cq_rewrite_plain(&out, &len, &file), CQ_OK);
    out[len] = '\0';
    contains(out, "gQID", false);
    contains(out, "AQID", false);
    contains(out, "# PresharedKey = (not shown)", true);
    cq_secret_free(out);
    /* From a pipe. */
    begin(&o);
    add_text(&o, CQ_SET_PEER, ID_B);
    cq_write_u8(&o.w, CQ_SET_PSK);
    cq_write_bytes(&o.w, key, sizeof(key));
    cq_pack_write_text(&o.w, "");
    assert_int_equal(apply(&running, &o, &error), CQ_OK);
    assert_int_equal(cq_rewrite_file(&out, &len, text, strlen(text), &file, &running, &error),
                     CQ_ERR_STATE);
    contains(error.message, ID_B, true);
    assert_null(out);
    cq_conf_free(&running);
    cq_conf_free(&file);
}

static void test_refusals(void **state)
{
    struct cq_conf running;
    struct cq_conf_error error;
    struct ops o;

    (void)state;
    parse(&running, text);
    begin(&o);
    add_text(&o, CQ_SET_PEER, "nobody");
    assert_int_equal(apply(&running, &o, &error), CQ_ERR_INVALID);
    contains(error.message, "no peer is called nobody", true);
    begin(&o);
    cq_write_u8(&o.w, CQ_SET_REMOVE); /* of whom? */
    assert_int_equal(apply(&running, &o, &error), CQ_ERR_INVALID);
    begin(&o);
    add_text(&o, CQ_SET_PEER, "a");
    add_prefix(&o, CQ_SET_ALLOWED_REMOVE, "10.9.9.0/24");
    assert_int_equal(apply(&running, &o, &error), CQ_ERR_INVALID);
    contains(error.message, "has no allowed IP 10.9.9.0/24", true);
    begin(&o);
    add_text(&o, CQ_SET_PEER, "a");
    add_text(&o, CQ_SET_NAME, "two words");
    assert_int_equal(apply(&running, &o, &error), CQ_ERR_INVALID);
    begin(&o);
    add_text(&o, CQ_SET_PEER, "a");
    cq_write_u8(&o.w, CQ_SET_PUBLIC_KEY);
    cq_write_zeros(&o.w, CQ_PUBLIC_KEY_LEN);
    cq_pack_write_text(&o.w, "/k");
    assert_int_equal(apply(&running, &o, &error), CQ_ERR_INVALID);
    /* A prefix of another peer is found by the check of the whole. */
    begin(&o);
    add_text(&o, CQ_SET_PEER, ID_B);
    add_prefix(&o, CQ_SET_ALLOWED_ADD, "10.0.1.0/25");
    assert_int_equal(apply(&running, &o, &error), CQ_OK);
    assert_int_equal(cq_conf_check(&running, &error), CQ_ERR_INVALID);
    contains(error.message, "overlaps 10.0.1.0/24", true);
    cq_conf_free(&running);
}

/* Every cut of a request is refused or understood, and every header but the right ones. */
static void test_damage(void **state)
{
    const struct cq_admin_request request = {CQ_ADMIN_SET, true, 77};
    struct cq_admin_request out;
    uint8_t header[CQ_ADMIN_HEADER_LEN];
    struct cq_conf_error error;
    struct ops o;
    unsigned good = 0;

    (void)state;
    cq_admin_write_header(header, &request);
    assert_int_equal(cq_admin_read_header(header, &out), CQ_OK);
    assert_int_equal(out.command, CQ_ADMIN_SET);
    assert_true(out.dry_run);
    assert_int_equal(out.body_len, 77);
    for (size_t i = 0; i < 8 * (CQ_ADMIN_HEADER_LEN - 4); i++) {
        header[i / 8] ^= (uint8_t)(1u << i % 8);
        good += cq_admin_read_header(header, &out) == CQ_OK;
        header[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    assert_int_equal(good, 3); /* two other commands, and no dry run */
    begin(&o);
    add_text(&o, CQ_SET_PEER, ID_C);
    add_text(&o, CQ_SET_ENDPOINT, "[::1]:5");
    add_prefix(&o, CQ_SET_ALLOWED_ADD, "10.9.9.0/24");
    for (size_t len = 0; len < o.w.written; len++) {
        uint8_t *cut = malloc(len + 1);
        struct cq_conf conf;
        parse(&conf, text);
        memcpy(cut, o.bytes, len);
        struct cq_reader r = cq_reader_make(cut, len);
        (void)!cq_admin_apply_set(&conf, &r, &error);
        cq_conf_free(&conf);
        free(cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_changes), cmocka_unit_test(test_peers_change),
        cmocka_unit_test(test_secrets),         cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
