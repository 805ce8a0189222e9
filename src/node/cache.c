#include "node/cache.h"

#include "base/base64.h"
#include "base/bytes.h"
#include "base/secret.h"
#include "os/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    VERSION = 1,
    FLAG_KEY = 1,
    FLAG_REPLIED = 2,
    SUM_BYTES = 8,
    ENTRY_BYTES = 8 + 4 + CQ_PEER_ID_LEN + 4 + CQ_PUBLIC_KEY_LEN + SUM_BYTES,
};

static const uint8_t magic[8] = {'C', 'R', 'Y', 'P', 'R', 'Q', 'K', 'C'};

_Static_assert(sizeof(struct cq_public_key) == CQ_PUBLIC_KEY_LEN, "no padding in a public key");

/* Against damage, not against anybody: the key itself is held against the ID. */
static uint64_t checksum(const uint8_t *p, size_t len)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < len; i++)
        sum = (sum ^ p[i]) * UINT64_C(0x100000001b3);
    return sum;
}

static enum cq_err keys_dir(char out[CQ_FILE_PATH_MAX])
{
    int n = snprintf(out, CQ_FILE_PATH_MAX, "%s/keys", cq_file_state_dir());

    return n > 0 && n < CQ_FILE_PATH_MAX ? CQ_OK : CQ_ERR_RANGE;
}

static enum cq_err entry_path(char out[CQ_FILE_PATH_MAX], const uint8_t id[CQ_PEER_ID_LEN])
{
    char name[CQ_KEY32_TEXT_LEN + 1];

    cq_base64_encode(id, CQ_PEER_ID_LEN, name);
    name[CQ_KEY32_TEXT_LEN - 1] = '\0'; /* the padding */
    for (char *p = name; *p != '\0'; p++)
        *p = (char)(*p == '+' ? '-' : *p == '/' ? '_' : *p);
    int n = snprintf(out, CQ_FILE_PATH_MAX, "%s/keys/%s.key", cq_file_state_dir(), name);
    return n > 0 && n < CQ_FILE_PATH_MAX ? CQ_OK : CQ_ERR_RANGE;
}

enum cq_err cq_cache_prepare(void)
{
    char dir[CQ_FILE_PATH_MAX];
    enum cq_err err = keys_dir(dir);

    if (err == CQ_OK)
        err = cq_file_make_dir(cq_file_state_dir(), 0700);
    if (err == CQ_OK)
        err = cq_file_make_dir(dir, 0700);
    return err;
}

static enum cq_err decode(const uint8_t *data, size_t len, const uint8_t id[CQ_PEER_ID_LEN],
                          struct cq_cache_entry *out)
{
    struct cq_reader r = cq_reader_make(data, len);
    uint8_t found_magic[sizeof(magic)], found_id[CQ_PEER_ID_LEN];

    if (len != ENTRY_BYTES ||
        checksum(data, len - SUM_BYTES) != cq_load_be64(data + len - SUM_BYTES))
        return CQ_ERR_INVALID;
    cq_read_bytes(&r, found_magic, sizeof(found_magic));
    uint32_t version = cq_read_u32(&r);
    cq_read_bytes(&r, found_id, sizeof(found_id));
    uint32_t flags = cq_read_u32(&r);
    if (memcmp(found_magic, magic, sizeof(magic)) != 0 || version != VERSION ||
        memcmp(found_id, id, CQ_PEER_ID_LEN) != 0)
        return CQ_ERR_INVALID;
    cq_read_bytes(&r, &out->key, CQ_PUBLIC_KEY_LEN);
    out->has_key = (flags & FLAG_KEY) != 0;
    out->replied = (flags & FLAG_REPLIED) != 0;
    return CQ_OK;
}

/* Out of the way, but kept for whoever wants to know what happened. */
static void set_aside(const char *path)
{
    char aside[CQ_FILE_PATH_MAX + 16];

    snprintf(aside, sizeof(aside), "%s.damaged", path);
    (void)!rename(path, aside);
}

enum cq_err cq_cache_load(const uint8_t id[CQ_PEER_ID_LEN], struct cq_cache_entry *out)
{
    char path[CQ_FILE_PATH_MAX];
    char *data;
    size_t len;

    *out = (struct cq_cache_entry){0};
    enum cq_err err = entry_path(path, id);
    if (err != CQ_OK)
        return err;
    err = cq_file_read(path, ENTRY_BYTES, false, &data, &len, NULL);
    if (err == CQ_OK)
        err = decode((const uint8_t *)data, len, id, out);
    else if (err == CQ_ERR_RANGE)
        err = CQ_ERR_INVALID;
    cq_secret_free(data);
    if (err == CQ_ERR_INVALID) {
        *out = (struct cq_cache_entry){0};
        set_aside(path);
    }
    return err;
}

enum cq_err cq_cache_store(const uint8_t id[CQ_PEER_ID_LEN], const struct cq_cache_entry *entry)
{
    char path[CQ_FILE_PATH_MAX];
    uint8_t data[ENTRY_BYTES];
    struct cq_writer w = cq_writer_make(data, sizeof(data));
    enum cq_err err = entry_path(path, id);

    if (err != CQ_OK)
        return err;
    cq_write_bytes(&w, magic, sizeof(magic));
    cq_write_u32(&w, VERSION);
    cq_write_bytes(&w, id, CQ_PEER_ID_LEN);
    cq_write_u32(&w, (entry->has_key ? FLAG_KEY : 0U) | (entry->replied ? FLAG_REPLIED : 0U));
    cq_write_bytes(&w, &entry->key, CQ_PUBLIC_KEY_LEN);
    cq_write_u64(&w, checksum(data, w.written));
    return cq_file_replace(path, data, sizeof(data), 0600);
}
