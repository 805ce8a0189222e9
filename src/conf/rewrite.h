/*
 * A configuration file with the peers and keys of a running node: what `save` writes and `showconf`
 * shows. The file's text is edited, not made anew: a line whose value is still true stays as it is,
 * with its comments and in its place. Peers that are gone go with their section and the comment
 * lines right above it; new ones are appended. Of [Interface] only the private key is changed.
 */
#ifndef CQ_CONF_REWRITE_H
#define CQ_CONF_REWRITE_H

#include "conf/config.h"

/*
 * text is the file's content and file what it says (cq_conf_parse). *out is from cq_secret_alloc
 * and freed by the caller. CQ_ERR_STATE: a secret of the node is in no file, *error says which;
 * CQ_ERR_NOMEM.
 */
CQ_MUST_CHECK enum cq_err cq_rewrite_file(char **out, size_t *out_len, const char *text, size_t len,
                                          const struct cq_conf *file, const struct cq_conf *running,
                                          struct cq_conf_error *error);

/* The same without a file, and without any secret: where one is not in a file of its own, a comment
 * stands in its place. CQ_ERR_NOMEM. */
CQ_MUST_CHECK enum cq_err cq_rewrite_plain(char **out, size_t *out_len,
                                           const struct cq_conf *running);

#endif
