/*
 * From a path to a complete configuration: the file itself, the interface's name from the file's
 * name, and the key files that it refers to. This file opens nothing: it asks a reader that the
 * caller (daemon, program, test) makes over os/. The caller has called cq_crypto_init (public keys
 * are held against their peer IDs).
 */
#ifndef CQ_CONF_LOAD_H
#define CQ_CONF_LOAD_H

#include "conf/config.h"

struct cq_conf_reader {
    /*
     * Reads a whole file of at most max bytes into *out_data, which is from cq_secret_alloc and
     * freed with cq_secret_free by whoever called. With secret, a file that others than its owner
     * can read is refused. Anything but CQ_OK: reason holds one line of English that names the path
     * and what mends it.
     */
    enum cq_err (*read)(void *ctx, const char *path, size_t max, bool secret, char **out_data,
                        size_t *out_len, char *reason, size_t reason_size);
    void *ctx;
};

/*
 * Reads, parses and completes the configuration at `path`. *out is the caller's, also after an
 * error (then empty). out->interface comes from the file name: "/etc/cryprq/wan0.conf" is "wan0".
 * On an error of the file itself *error has line and column; cq_conf_error_format(error, path)
 * makes the line to print. CQ_ERR_INVALID, CQ_ERR_NOMEM, CQ_ERR_CRYPTO, or what the reader gave.
 */
CQ_MUST_CHECK enum cq_err cq_conf_load(struct cq_conf *out, const char *path,
                                       const struct cq_conf_reader *reader,
                                       struct cq_conf_error *error);

/*
 * Second half of the above, for a configuration that was made in another way: reads PrivateKeyFile,
 * PresharedKeyFile and PublicKeyFile (relative paths start at the directory of `path`; NULL: at the
 * working directory), and checks that each public key belongs to its peer ID and that a private key
 * is there.
 */
CQ_MUST_CHECK enum cq_err cq_conf_load_references(struct cq_conf *conf, const char *path,
                                                  const struct cq_conf_reader *reader,
                                                  struct cq_conf_error *error);

/* The same without a private key being needed (cq_conf_parse_part). */
CQ_MUST_CHECK enum cq_err cq_conf_load_part(struct cq_conf *conf, const char *path,
                                            const struct cq_conf_reader *reader,
                                            struct cq_conf_error *error);

/* The interface's name for a configuration file ("wan0" of "x/wan0.conf"). CQ_ERR_INVALID when the
 * file name does not make one. */
CQ_MUST_CHECK enum cq_err cq_conf_interface_of_path(const char *path,
                                                    char out[CQ_CONF_INTERFACE_MAX + 1]);

#endif
