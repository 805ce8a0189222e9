/*
 * A configuration as bytes, to be handed from one process of this program to another: from the
 * commands to the one that edits, from that one to the monitor and back. The sender may be anybody
 * who may use the control socket, so reading is bounded and checks what the parser of files would
 * have checked, but for what concerns several peers (cq_conf_check). Positions are left out.
 * Functions over buffers.
 */
#ifndef CQ_CONF_PACK_H
#define CQ_CONF_PACK_H

#include "base/bytes.h"
#include "conf/config.h"

/* With `secrets` private and pre-shared keys are in it, and whoever has the buffer wipes it;
 * otherwise it says only that they are there (psk_kept, private_key_kept). A metrics token is never
 * in it. */
size_t cq_pack_bytes(const struct cq_conf *conf);
/* Writes at most cq_pack_bytes bytes; check w->failed. */
void cq_pack_write(struct cq_writer *w, const struct cq_conf *conf, bool secrets);

/* *out is the caller's; initialised and empty on error. CQ_ERR_INVALID, CQ_ERR_NOMEM. */
CQ_MUST_CHECK enum cq_err cq_pack_read(struct cq_reader *r, struct cq_conf *out);

/* Parts of it, for others that write messages: a text of at most 65535 bytes (NULL and "" are the
 * same), and a prefix. A text that is read is malloc'ed, NULL where it is empty; longer than max or
 * with control characters it is CQ_ERR_INVALID. */
void cq_pack_write_text(struct cq_writer *w, const char *text);
CQ_MUST_CHECK enum cq_err cq_pack_read_text(struct cq_reader *r, size_t max, char **out);
void cq_pack_write_prefix(struct cq_writer *w, const struct cq_prefix *prefix);
CQ_MUST_CHECK enum cq_err cq_pack_read_prefix(struct cq_reader *r, struct cq_prefix *out);

#endif
