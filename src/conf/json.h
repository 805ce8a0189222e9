/*
 * Writes JSON as it goes, without a tree in between: for the one document that is large, the status
 * of a node with thousands of peers. Small messages and everything that is read use jansson. One
 * owner per object.
 */
#ifndef CQ_CONF_JSON_H
#define CQ_CONF_JSON_H

#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

struct cq_json {
    struct cq_text text; /* taken over by the caller at the end; failed: out of memory */
    bool pretty;         /* a line for each member, indented by two blanks a level */
    bool begun;          /* a member stands before in the same object or list */
    unsigned depth;
};

/* In all of these, name is that of the member (it is not escaped), NULL within a list and for the
 * document itself. */
void cq_json_open(struct cq_json *json, const char *name, char bracket); /* '{' or '[' */
void cq_json_close(struct cq_json *json, char bracket);                  /* '}' or ']' */
void cq_json_null(struct cq_json *json, const char *name);
void cq_json_bool(struct cq_json *json, const char *name, bool value);
/* Numbers above INT64_MAX, which readers take for something else, are written as that. */
void cq_json_u64(struct cq_json *json, const char *name, uint64_t value);
void cq_json_i64(struct cq_json *json, const char *name, int64_t value);
/* Of ASCII; other bytes are written as the characters U+0080 to U+00FF, so that every value makes a
 * valid document. */
void cq_json_text(struct cq_json *json, const char *name, const char *value);

#endif
