/*
 * The status as JSON: what conf/status*.c and conf/control.c have in common.
 *
 * Members that are plain numbers, truths and texts stand in tables, which serve both directions.
 * Whatever has a form of its own (IDs, lists, the session) has a function in status_write.c, one in
 * status_read.c and, for peers, one in status_scan.c.
 */
#ifndef CQ_CONF_STATUS_JSON_H
#define CQ_CONF_STATUS_JSON_H

#include "conf/json.h"
#include "conf/json_list.h"
#include "conf/status.h"

#include <jansson.h>

enum cq_status_kind {
    CQ_STATUS_BOOL,
    CQ_STATUS_U16,
    CQ_STATUS_U32,
    CQ_STATUS_U64,
    CQ_STATUS_I64,
    CQ_STATUS_TEXT,
};

struct cq_status_field {
    const char *name; /* NULL ends a table */
    enum cq_status_kind kind;
    size_t offset;
    size_t size; /* of a text, with NUL */
};

extern const struct cq_status_field cq_status_node_fields[];
extern const struct cq_status_field cq_status_peer_fields[];
extern const struct cq_status_field cq_status_late_node_fields[];
extern const struct cq_status_field cq_status_late_peer_fields[];
extern const struct cq_status_field cq_status_session_fields[];

enum { CQ_STATUS_NUM_SUITES = 2 };
extern const uint8_t cq_status_suites[CQ_STATUS_NUM_SUITES];

/* Names of a later version stand for nothing: 0. */
uint8_t cq_status_suite_of_name(const char *name);
enum cq_drop cq_status_drop_of_name(const char *name);
uint8_t cq_status_fault_of_name(const char *name); /* enum cq_send_fault */

enum { CQ_SESSION_ID_TEXT_LEN = 2 * CQ_SESSION_ID_LEN };

/* Writes it as a member of that name, or (NULL) as the document: for people and programs, so with
 * the words of cq_peer_words, which follow from the rest and which readers here pass over. */
void cq_status_json_write(struct cq_json *json, const char *name,
                          const struct cq_node_status *status);

/* As cq_node_status_from_json; peers that were loaded apart (at not NULL) are taken from there. */
CQ_MUST_CHECK enum cq_err cq_status_json_read(struct cq_node_status *out, const json_t *object,
                                              struct cq_json_list *peers);

/* 32 bytes as 44 characters; false when the member is missing or no such text. */
bool cq_status_json_read_id(const json_t *object, const char *name, uint8_t out[CQ_PEER_ID_LEN]);

/* 8 bytes in hexadecimal, and back; false: the text is not 16 such digits. */
const char *cq_status_session_text(const uint8_t id[CQ_SESSION_ID_LEN],
                                   char out[CQ_SESSION_ID_TEXT_LEN + 1]);
bool cq_status_session_parse(const char *text, uint8_t out[CQ_SESSION_ID_LEN]);
bool cq_status_json_read_session_id(const json_t *object, const char *name,
                                    uint8_t out[CQ_SESSION_ID_LEN]);

/* Reads the next peer of a list, if it is written exactly as cq_status_json_write does, into a
 * zeroed peer. False: it is not (or out of memory), and nothing has changed. */
bool cq_status_scan_peer(struct cq_node_peer_status *out, struct cq_json_list *list);

/* Ends the text as a string and hands it over. CQ_ERR_NOMEM, then freed. */
CQ_MUST_CHECK enum cq_err cq_status_json_finish(struct cq_json *json, char **out, size_t *out_len);

#endif
