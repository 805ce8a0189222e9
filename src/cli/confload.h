/*
 * Configurations for `run` and `up`: which file a name means, reading it with all it refers to, and
 * what only the private key can tell (our own ID is nobody's peer). cq_keys_init comes first.
 */
#ifndef CQ_CLI_CONFLOAD_H
#define CQ_CLI_CONFLOAD_H

#include "conf/config.h"

enum { CQ_CONFLOAD_PATH_MAX = 4096 };

/* "wan0" means /etc/cryprq/wan0.conf; what has a '/' or ends in ".conf" is a path already.
 * CQ_EXIT_OK, or CQ_EXIT_USAGE after a message of `command`. */
int cq_confload_path(const char *command, const char *text, char out[CQ_CONFLOAD_PATH_MAX]);

/* The interface that such a text means. The same results. */
int cq_confload_interface(const char *command, const char *text,
                          char out[CQ_CONF_INTERFACE_MAX + 1]);

/* Loads a file and checks the result; messages are "FILE:LINE:COL: ...". CQ_EXIT_OK (*out is the
 * caller's) or CQ_EXIT_FAILURE. */
int cq_confload_file(struct cq_conf *out, const char *path);

/* The same for a file that may lack [Interface] and a private key (cryprq syncconf), whatever its
 * name. */
int cq_confload_part(struct cq_conf *out, const char *path);

/* Where a file reference of the configuration file at `path` leads. False: it is too long. */
bool cq_confload_reference(const char *path, const char *file, char out[CQ_CONFLOAD_PATH_MAX]);

/* Reads a key file into the configuration, for one made from arguments. The same results. */
int cq_confload_private_key(struct cq_conf *conf, const char *path);

/* cq_conf_check and the own ID, for one made from arguments. The same results. */
int cq_confload_check(const struct cq_conf *conf);

#endif
