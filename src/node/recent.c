#include "node/recent.h"

#include "base/base64.h"
#include "base/bytes.h"
#include "base/secret.h"
#include "os/file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE_MAX_BYTES = CQ_KEY32_TEXT_LEN + 1 + CQ_ADDR_TEXT_MAX + 1 + 20 + 1,
    FIRST = 1, /* in the field `peer` of a message */
    LAST = 2,
};

_Static_assert(CQ_RECENT_PER_MESSAGE >= 1, "an entry fits a message");

/* ---- the list ---- */

enum cq_err cq_recent_add(struct cq_recent_list *list, const struct cq_recent_entry *entry)
{
    if (list->num >= CQ_RECENT_MAX)
        return CQ_ERR_RANGE;
    if (list->num == list->size) {
        size_t size = list->size == 0 ? 64 : list->size * 2;
        struct cq_recent_entry *entries = realloc(list->entries, size * sizeof(*entries));
        if (entries == NULL)
            return CQ_ERR_NOMEM;
        list->entries = entries;
        list->size = size;
    }
    list->entries[list->num++] = *entry;
    return CQ_OK;
}

void cq_recent_free(struct cq_recent_list *list)
{
    free(list->entries);
    *list = (struct cq_recent_list){0};
}

static int compare(const void *a, const void *b)
{
    const struct cq_recent_entry *x = a, *y = b;

    if (x->seen != y->seen)
        return x->seen > y->seen ? -1 : 1;
    return memcmp(x->id, y->id, sizeof(x->id));
}

void cq_recent_sort(struct cq_recent_list *list)
{
    if (list->num > 1)
        qsort(list->entries, list->num, sizeof(list->entries[0]), compare);
}

/* ---- the file ---- */

static enum cq_err file_path(char out[CQ_FILE_PATH_MAX], const char *interface)
{
    int n = snprintf(out, CQ_FILE_PATH_MAX, "%s/%s.recent", cq_file_state_dir(), interface);

    return n > 0 && n < CQ_FILE_PATH_MAX ? CQ_OK : CQ_ERR_RANGE;
}

/* One line, which is NUL-terminated here. */
static bool read_line(char *line, struct cq_recent_entry *out)
{
    char *addr = strchr(line, ' ');
    char *seen = addr != NULL ? strchr(addr + 1, ' ') : NULL;
    char *end;

    if (seen == NULL || addr - line != CQ_KEY32_TEXT_LEN)
        return false;
    *addr++ = '\0';
    *seen++ = '\0';
    errno = 0;
    out->seen = strtoll(seen, &end, 10);
    return errno == 0 && end != seen && *end == '\0' && out->seen >= 0 &&
           cq_base64_decode(line, CQ_KEY32_TEXT_LEN, out->id, sizeof(out->id)) == CQ_OK &&
           cq_addr_parse(addr, &out->addr) == CQ_OK && cq_addr_is_usable(&out->addr);
}

enum cq_err cq_recent_load(const char *interface, struct cq_recent_list *out)
{
    char path[CQ_FILE_PATH_MAX];
    char *data, *next;
    size_t len;

    *out = (struct cq_recent_list){0};
    enum cq_err err = file_path(path, interface);
    if (err == CQ_OK)
        err = cq_file_read(path, (size_t)CQ_RECENT_MAX * LINE_MAX_BYTES, false, &data, &len, NULL);
    if (err != CQ_OK)
        return err;
    for (char *line = data; err == CQ_OK && *line != '\0'; line = next) {
        struct cq_recent_entry entry = {0};
        next = line + strcspn(line, "\n");
        if (*next != '\0')
            *next++ = '\0';
        if (read_line(line, &entry))
            err = cq_recent_add(out, &entry);
    }
    cq_secret_free(data);
    if (err != CQ_OK)
        cq_recent_free(out);
    return err;
}

enum cq_err cq_recent_store(const char *interface, struct cq_recent_list *list)
{
    char path[CQ_FILE_PATH_MAX];
    size_t used = 0, size = list->num * LINE_MAX_BYTES + 1;
    enum cq_err err = file_path(path, interface);

    if (err == CQ_OK)
        err = cq_file_make_dir(cq_file_state_dir(), 0700);
    if (err != CQ_OK)
        return err;
    char *text = malloc(size);
    if (text == NULL)
        return CQ_ERR_NOMEM;
    cq_recent_sort(list);
    for (size_t i = 0; i < list->num; i++) {
        const struct cq_recent_entry *e = &list->entries[i];
        char id[CQ_KEY32_TEXT_LEN + 1], addr[CQ_ADDR_TEXT_MAX];
        cq_base64_encode(e->id, sizeof(e->id), id);
        used += (size_t)snprintf(text + used, size - used, "%s %s %" PRId64 "\n", id,
                                 cq_addr_format(&e->addr, addr), e->seen);
    }
    err = cq_file_replace(path, text, used, 0600);
    free(text);
    return err;
}

enum cq_err cq_recent_remove(const char *interface)
{
    char path[CQ_FILE_PATH_MAX];
    enum cq_err err = file_path(path, interface);

    return err == CQ_OK ? cq_file_remove(path) : err;
}

/* ---- messages ---- */

static void write_entry(struct cq_writer *w, const struct cq_recent_entry *e)
{
    cq_write_bytes(w, e->id, sizeof(e->id));
    cq_write_u8(w, e->addr.ip.family);
    cq_write_bytes(w, e->addr.ip.bytes, sizeof(e->addr.ip.bytes));
    cq_write_u16(w, e->addr.port);
    cq_write_u32(w, e->addr.scope_id);
    cq_write_u64(w, (uint64_t)e->seen);
}

static bool read_entry(struct cq_reader *r, struct cq_recent_entry *e)
{
    cq_read_bytes(r, e->id, sizeof(e->id));
    e->addr.ip.family = cq_read_u8(r);
    cq_read_bytes(r, e->addr.ip.bytes, sizeof(e->addr.ip.bytes));
    e->addr.port = cq_read_u16(r);
    e->addr.scope_id = cq_read_u32(r);
    uint64_t seen = cq_read_u64(r);
    e->seen = (int64_t)seen;
    return !r->failed && seen <= INT64_MAX && cq_addr_is_usable(&e->addr);
}

enum cq_err cq_recent_send(int channel, const struct cq_recent_list *list)
{
    uint8_t data[CQ_CHANNEL_DATA_MAX];
    size_t i = 0;

    do {
        struct cq_writer w = cq_writer_make(data, sizeof(data));
        uint32_t flags = i == 0 ? FIRST : 0;
        for (int k = 0; k < CQ_RECENT_PER_MESSAGE && i < list->num; k++)
            write_entry(&w, &list->entries[i++]);
        if (i == list->num)
            flags |= LAST;
        enum cq_err err = cq_channel_send(channel, CQ_CHANNEL_RECENT, flags, NULL, data, w.written);
        if (err != CQ_OK)
            return err;
    } while (i < list->num);
    return CQ_OK;
}

enum cq_err cq_recent_take(struct cq_recent_list *list, const struct cq_channel_message *message)
{
    enum cq_err err = CQ_OK;

    if ((message->peer & FIRST) != 0)
        list->num = 0;
    list->whole = false;
    if (message->len % CQ_RECENT_ENTRY_BYTES != 0)
        err = CQ_ERR_INVALID;
    struct cq_reader r = cq_reader_make(message->data, message->len);
    for (uint32_t at = 0; err == CQ_OK && at < message->len; at += CQ_RECENT_ENTRY_BYTES) {
        struct cq_recent_entry entry = {0};
        err = read_entry(&r, &entry) ? cq_recent_add(list, &entry) : CQ_ERR_INVALID;
    }
    if (err != CQ_OK)
        list->num = 0;
    else
        list->whole = (message->peer & LAST) != 0;
    return err;
}
