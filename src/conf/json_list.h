/*
 * Reads a JSON document that consists of one long list of objects for the most part: the list's
 * elements one after the other, the rest without them. A tree of it all would take many times the
 * memory, and most of the time goes into making and freeing it. What is taken and what is refused
 * is the same as for the whole: every part goes through jansson, which this only tells where they
 * begin and end.
 */
#ifndef CQ_CONF_JSON_LIST_H
#define CQ_CONF_JSON_LIST_H

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>

struct cq_json_list {
    const char *at, *end; /* what is left of the list, in the text; at NULL: there is none */
};

/* Loads a document without the elements of the list that is found along the path (names of members,
 * NULL after the last one): it is empty there, and *out has them. Where there is no such list of
 * objects, all of the document is loaded. NULL: not JSON, with a member twice, or out of memory. */
json_t *cq_json_load_apart(struct cq_json_list *out, const char *text, size_t len,
                           const char *const *path, json_error_t *error);

/* The next element, which the caller lets go of. False: there is none (then at is end), or it is
 * not JSON (then at stays where it was). */
bool cq_json_list_next(struct cq_json_list *list, json_t **out);

#endif
