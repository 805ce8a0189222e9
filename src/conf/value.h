/*
 * The values of the configuration file's keys: one function per key, called by conf/parse.c alone.
 * Each reads a value (trimmed, not empty, one line, no control characters) into the configuration
 * or into the peer of the present section, or fails with a message that has line and column.
 */
#ifndef CQ_CONF_VALUE_H
#define CQ_CONF_VALUE_H

#include "conf/config.h"

/* A piece of the file, not NUL-terminated. */
struct cq_conf_text {
    const char *p;
    size_t len;
};

struct cq_conf_value {
    struct cq_conf *conf;
    struct cq_conf_peer *peer; /* of the present [Peer] section */
    struct cq_conf_error *error;
    const char *key; /* as this project spells it */
    const char *line_start;
    unsigned line;
};

/* The position of a byte of the present line. */
struct cq_conf_position cq_conf_value_position(const struct cq_conf_value *v, const char *at);

/* Fill the error; return CQ_ERR_INVALID and CQ_ERR_NOMEM (also: more `what` than the bound). */
CQ_MUST_CHECK enum cq_err cq_conf_value_fail(struct cq_conf_value *v,
                                             struct cq_conf_position position, const char *format,
                                             ...) __attribute__((format(printf, 3, 4)));
CQ_MUST_CHECK enum cq_err cq_conf_value_fail_nomem(struct cq_conf_value *v, const char *what);

/* Whether text equals word but for the case of ASCII letters. */
bool cq_conf_text_is(struct cq_conf_text text, const char *word);

typedef enum cq_err cq_conf_value_fn(struct cq_conf_value *v, struct cq_conf_text value);

cq_conf_value_fn cq_conf_value_private_key;
cq_conf_value_fn cq_conf_value_private_key_file;
cq_conf_value_fn cq_conf_value_listen_port;
cq_conf_value_fn cq_conf_value_address;
cq_conf_value_fn cq_conf_value_mtu;
cq_conf_value_fn cq_conf_value_table;
cq_conf_value_fn cq_conf_value_fwmark;
cq_conf_value_fn cq_conf_value_rotate_secs;
cq_conf_value_fn cq_conf_value_answer_keys;
cq_conf_value_fn cq_conf_value_push_keys;
cq_conf_value_fn cq_conf_value_remember_peers;
cq_conf_value_fn cq_conf_value_suites;
cq_conf_value_fn cq_conf_value_tun_offload;
cq_conf_value_fn cq_conf_value_udp_gso;
cq_conf_value_fn cq_conf_value_udp_gro;
cq_conf_value_fn cq_conf_value_workers;
cq_conf_value_fn cq_conf_value_pre_up;
cq_conf_value_fn cq_conf_value_post_up;
cq_conf_value_fn cq_conf_value_pre_down;
cq_conf_value_fn cq_conf_value_post_down;
cq_conf_value_fn cq_conf_value_metrics_address;
cq_conf_value_fn cq_conf_value_metrics_token;
cq_conf_value_fn cq_conf_value_metrics_token_file;
cq_conf_value_fn cq_conf_value_metrics_peers;
cq_conf_value_fn cq_conf_value_metrics_wireguard;

cq_conf_value_fn cq_conf_value_name;
cq_conf_value_fn cq_conf_value_peer_id;
cq_conf_value_fn cq_conf_value_public_key_file;
cq_conf_value_fn cq_conf_value_psk;
cq_conf_value_fn cq_conf_value_psk_file;
cq_conf_value_fn cq_conf_value_allowed_ips;
cq_conf_value_fn cq_conf_value_endpoint;
cq_conf_value_fn cq_conf_value_keepalive;

#endif
