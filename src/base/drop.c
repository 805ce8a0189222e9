#include "base/drop.h"

struct drop_entry {
    const char *name;
    const char *text;
};

static const struct drop_entry drop_table[CQ_DROP_COUNT] = {
    [CQ_DROP_NONE] = {"none", "not dropped"},
#define X(symbol, name, text) [CQ_DROP_##symbol] = {name, text},
    CQ_DROP_LIST(X)
#undef X
};

static const struct drop_entry *find_entry(enum cq_drop drop)
{
    unsigned i = (unsigned)drop;
    return &drop_table[i < CQ_DROP_COUNT ? i : CQ_DROP_NONE];
}

const char *cq_drop_name(enum cq_drop drop)
{
    return find_entry(drop)->name;
}

const char *cq_drop_text(enum cq_drop drop)
{
    return find_entry(drop)->text;
}
