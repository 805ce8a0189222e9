/*
 * What comes over the control socket for changes: an input that begins with 'P' is a configuration
 * as bytes (conf/pack.h), anything else the operations of SET (conf/admin.h) on a configuration
 * with two peers. What passes the check of the whole must survive being written to the file.
 */
#include "conf/admin.h"
#include "conf/diff.h"
#include "conf/pack.h"
#include "conf/rewrite.h"

#include "base/secret.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char text[] = "# top\n[Interface]\nPrivateKeyFile = k\nAddress = 10.8.0.1/24\n\n"
                           "# about a\n[Peer]\nName = a\n"
                           "PeerID = 4AIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n"
                           "AllowedIPs = 10.0.1.0/24, fd00::/64\nEndpoint = h:5\n# b\n[Peer]\n"
                           "PeerID = 5AIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n";

static void require(int condition)
{
    if (!condition)
        abort();
}

static void require_same(const struct cq_conf *a, const struct cq_conf *b)
{
    struct cq_diff diff;

    require(cq_diff_make(&diff, a, b) == CQ_OK);
    require(cq_diff_is_empty(&diff));
    cq_diff_free(&diff);
}

static void try_file(const struct cq_conf *file, const struct cq_conf *running)
{
    struct cq_conf_error error;
    struct cq_conf again;
    char *out;
    size_t len;

    enum cq_err err = cq_rewrite_file(&out, &len, text, strlen(text), file, running, &error);
    require(err == CQ_OK || err == CQ_ERR_STATE);
    if (err != CQ_OK)
        return;
    require(cq_conf_parse(&again, out, len, &error) == CQ_OK);
    require_same(&again, running);
    cq_conf_free(&again);
    cq_secret_free(out);
}

static void try_set(const uint8_t *data, size_t len)
{
    struct cq_reader r = cq_reader_make(data, len);
    struct cq_conf file, running;
    struct cq_conf_error error;

    require(cq_conf_parse(&file, text, strlen(text), &error) == CQ_OK);
    require(cq_conf_parse(&running, text, strlen(text), &error) == CQ_OK);
    if (cq_admin_apply_set(&running, &r, &error) == CQ_OK &&
        cq_conf_check(&running, &error) == CQ_OK)
        try_file(&file, &running);
    cq_conf_free(&running);
    cq_conf_free(&file);
}

static void try_pack(const uint8_t *data, size_t len)
{
    struct cq_reader r = cq_reader_make(data, len);
    struct cq_conf conf, again;
    struct cq_conf_error error;

    if (cq_pack_read(&r, &conf) != CQ_OK)
        return;
    size_t size = cq_pack_bytes(&conf);
    uint8_t *bytes = malloc(size);
    require(bytes != NULL);
    struct cq_writer w = cq_writer_make(bytes, size);
    cq_pack_write(&w, &conf, true);
    require(!w.failed);
    r = cq_reader_make(bytes, w.written);
    require(cq_pack_read(&r, &again) == CQ_OK);
    if (cq_conf_check(&conf, &error) == CQ_OK)
        require_same(&conf, &again);
    cq_conf_free(&conf);
    cq_conf_free(&again);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static int ready;

    if (!ready)
        require(cq_secret_init((size_t)64 * 1024 * 1024, false) == CQ_OK);
    ready = 1;
    if (len > 0 && data[0] == 'P')
        try_pack(data + 1, len - 1);
    else
        try_set(data, len);
    return 0;
}
