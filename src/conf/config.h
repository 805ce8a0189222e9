/*
 * The configuration of one node, as read from a file in the format people know from WireGuard, or
 * made from command line arguments. Parsing is a function over a buffer: no file is opened, no name
 * resolved, no clock read here (conf/load.h follows file references through a reader that it is
 * given). Not thread-safe: one owner per object.
 *
 * Private and pre-shared keys stand in locked memory (base/secret.h) and are wiped by cq_conf_free.
 * The text that was parsed belongs to the caller, who wipes it.
 */
#ifndef CQ_CONF_CONFIG_H
#define CQ_CONF_CONFIG_H

#include "base/addr.h"
#include "base/err.h"
#include "conf/tuning.h"
#include "proto/identity.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CQ_CONF_FILE_MAX = 16 * 1024 * 1024, /* bytes of a configuration file */
    CQ_CONF_LINE_MAX = 16 * 1024,        /* bytes of a line, without its end */
    CQ_CONF_NAME_MAX = 63,               /* characters of a peer's name */
    CQ_CONF_INTERFACE_MAX = 15,          /* characters of an interface name (IFNAMSIZ - 1) */
    CQ_CONF_HOST_MAX = 253,              /* characters of an endpoint's host name */
    CQ_CONF_PATH_MAX = 1023,             /* characters of a file reference */
    CQ_CONF_HOOK_MAX = 4096,             /* characters of a hook command */
    CQ_CONF_MAX_HOOKS = 64,              /* commands of one kind */
    CQ_CONF_MAX_SETTINGS = 40,           /* keys of [Interface] */
    CQ_CONF_MAX_ADDRESSES = 64,
    CQ_CONF_MAX_ALLOWED_IPS = 65536, /* of one peer */
    CQ_CONF_MAX_PEERS = 65536,
    CQ_CONF_MTU_DEFAULT = 1420, /* 1500 less IPv6 40, UDP 8, record 32 */
    CQ_CONF_MTU_MIN = 576,
    CQ_CONF_MTU_IPV6_MIN = 1280,
    CQ_CONF_MTU_MAX = 65475,         /* 65507 less the 32 bytes of a record */
    CQ_CONF_METRICS_TOKEN_MAX = 256, /* characters of a metrics token */
};

/* Transport suites, by their value on the wire (enum cq_suite of crypto/aead.h). */
enum {
    CQ_CONF_SUITE_AES_256_GCM = 0x01,
    CQ_CONF_SUITE_CHACHA20_POLY1305 = 0x02,
};

/* Where something stands in the file; line 0: it did not come from a file. Both count from 1,
 * columns in bytes. */
struct cq_conf_position {
    unsigned line, column;
};

/* What is wrong, as one line of English without the file's name and without a final stop. line 0:
 * the file as a whole, or no file. */
struct cq_conf_error {
    unsigned line, column;
    char message[512];
};

/* An address of our interface: host is the address itself, prefix the network that it stands in. */
struct cq_conf_address {
    struct cq_ip host;
    struct cq_prefix prefix;
};

struct cq_conf_strings {
    char **items;
    size_t num;
};

struct cq_conf_endpoint {
    char *host; /* name or numeric address without brackets; NULL: no endpoint configured */
    uint16_t port;
    bool is_numeric;     /* addr is valid; otherwise host wants resolving */
    struct cq_addr addr; /* port included */
};

struct cq_conf_peer {
    char name[CQ_CONF_NAME_MAX + 1]; /* "": none */
    uint8_t id[CQ_PEER_ID_LEN];
    char *public_key_file;            /* NULL: none */
    struct cq_public_key *public_key; /* NULL: not given; filled by cq_conf_load_references */
    uint8_t *psk;                     /* CQ_PSK_LEN bytes in secret memory, or NULL: none */
    bool psk_kept;                    /* has one that is not here: the running node's */
    bool psk_unsaved;                 /* the configuration file does not say where it came from */
    char *psk_file;                   /* NULL: none */
    struct cq_prefix *allowed_ips;
    size_t num_allowed_ips;
    struct cq_conf_endpoint endpoint;
    uint16_t persistent_keepalive; /* seconds; 0: off */
    /* Where things stand, for messages. */
    struct cq_conf_position position, name_position, psk_file_position, public_key_file_position;
    struct cq_conf_position *allowed_positions; /* one per allowed_ips */
};

enum cq_conf_metrics_mode {
    CQ_CONF_METRICS_SEARCH, /* the first free port of 127.0.0.1 (conf/metrics.h); none free: none */
    CQ_CONF_METRICS_OFF,
    CQ_CONF_METRICS_FIXED, /* addr, or no start */
};

/* Of the metrics server; filled by conf/metrics.h. */
struct cq_conf_metrics {
    enum cq_conf_metrics_mode mode;
    struct cq_addr addr; /* with CQ_CONF_METRICS_FIXED */
    char *token;         /* who asks must show it; NULL: none. No key of the protocol */
    char *token_file;    /* NULL: none */
    uint32_t max_peers;  /* with labels of their own */
    bool wireguard_off;  /* no metrics under the names that WireGuard's have */
    struct cq_conf_position addr_position, token_file_position;
};

enum cq_conf_table { CQ_CONF_TABLE_AUTO, CQ_CONF_TABLE_OFF, CQ_CONF_TABLE_NUMBER };

struct cq_conf {
    char interface[CQ_CONF_INTERFACE_MAX +
                   1];     /* "": not set (a file does not name it, its file name does) */
    uint8_t *private_key;  /* CQ_SECRET_KEY_LEN bytes in secret memory, or NULL: not (yet) there */
    bool private_key_kept; /* it is not here: the running node's */
    bool private_key_unsaved; /* the configuration file does not say where it came from */
    char *private_key_file;   /* NULL: none */
    bool has_listen_port;     /* without one the kernel chooses */
    bool answer_keys_off; /* requests for our public key stay unanswered even with a listen port */
    bool answer_keys_on;  /* they are answered even without one */
    bool push_keys_off;   /* our public key is not sent to peers that may lack it */
    bool remember_off;    /* where peers were last is not kept over a restart */
    uint16_t listen_port; /* 0: none configured */
    struct cq_conf_address *addresses;
    size_t num_addresses;
    uint16_t mtu; /* inner; 0: automatic, CQ_CONF_MTU_DEFAULT */
    enum cq_conf_table table;
    uint32_t table_number;   /* with CQ_CONF_TABLE_NUMBER */
    uint32_t fwmark;         /* 0: off */
    uint16_t rotate_secs;    /* CQ_ROTATE_SECS_DEFAULT unless set */
    uint8_t suites;          /* bits offered and allowed; never 0 after parsing */
    uint8_t preferred_suite; /* one of them; 0: not said (the file has no Suites line) */
    struct cq_conf_strings pre_up, post_up, pre_down,
        post_down; /* commands, "%i" not yet replaced */
    struct cq_conf_metrics metrics;
    struct cq_conf_tuning tuning;
    /* "Key = value" of [Interface] as the file has it, for keys that a running node cannot change.
     */
    struct cq_conf_strings settings;
    struct cq_conf_position setting_positions[CQ_CONF_MAX_SETTINGS];
    struct cq_conf_peer *peers;
    size_t num_peers;
    struct cq_conf_position private_key_file_position;
};

/* Sets every default. The object then owns nothing. */
void cq_conf_init(struct cq_conf *out);

/* Wipes the secrets and frees what the object holds, and leaves it as after cq_conf_init. A zeroed
 * object is allowed. */
void cq_conf_free(struct cq_conf *conf);

/*
 * Parses a configuration file's content into *out, which need not be initialised and which the
 * caller frees. The interface name is left empty. Everything that can be told from the text alone
 * is checked (cq_conf_check included). CQ_ERR_INVALID (*error says what and where), CQ_ERR_NOMEM
 * (the same); *out is then initialised and empty.
 */
CQ_MUST_CHECK enum cq_err cq_conf_parse(struct cq_conf *out, const char *buffer, size_t len,
                                        struct cq_conf_error *error);

/* The same, for a file whose [Interface] section or private key may be missing. */
CQ_MUST_CHECK enum cq_err cq_conf_parse_part(struct cq_conf *out, const char *buffer, size_t len,
                                             struct cq_conf_error *error);

/* Fills *error; the message is formatted like printf's and truncated. */
void cq_conf_error_set(struct cq_conf_error *error, struct cq_conf_position position,
                       const char *format, ...) __attribute__((format(printf, 3, 4)));

/* "FILE:LINE:COL: message", or "FILE: message" when line is 0. Truncates to size. Returns out. */
char *cq_conf_error_format(const struct cq_conf_error *error, const char *file, char *out,
                           size_t size);

/* Whether text may be an interface's name: 1 to 15 of letters, digits, '_', '=', '+', '.', '-'; not
 * "." or "..". */
bool cq_conf_interface_is_valid(const char *text);

/* The name of a peer for messages: its name, or the 44 characters of its ID. Returns out. */
enum { CQ_CONF_LABEL_MAX = CQ_CONF_NAME_MAX + 1 };
char *cq_conf_peer_label(const struct cq_conf_peer *peer, char out[CQ_CONF_LABEL_MAX]);

/* Copies 32 bytes into secret memory in place of what is there; an all-zero pre-shared key is
 * CQ_ERR_INVALID. CQ_ERR_NOMEM. */
CQ_MUST_CHECK enum cq_err cq_conf_set_private_key(struct cq_conf *conf,
                                                  const uint8_t key[CQ_SECRET_KEY_LEN]);
CQ_MUST_CHECK enum cq_err cq_conf_peer_set_psk(struct cq_conf_peer *peer,
                                               const uint8_t psk[CQ_PSK_LEN]);

/* For configurations made without a file: append a copy. CQ_ERR_NOMEM also means that a bound above
 * is reached. The new peer is zeroed but for its ID; *out is valid until the next one is added. */
CQ_MUST_CHECK enum cq_err cq_conf_add_peer(struct cq_conf *conf, const uint8_t id[CQ_PEER_ID_LEN],
                                           struct cq_conf_peer **out);
/* Takes a peer out and frees it; those behind it move up. */
void cq_conf_remove_peer(struct cq_conf *conf, size_t index);
CQ_MUST_CHECK enum cq_err cq_conf_add_allowed_ip(struct cq_conf_peer *peer,
                                                 const struct cq_prefix *prefix,
                                                 struct cq_conf_position position);
CQ_MUST_CHECK enum cq_err cq_conf_add_address(struct cq_conf *conf,
                                              const struct cq_conf_address *address);
CQ_MUST_CHECK enum cq_err cq_conf_add_string(struct cq_conf_strings *list, const char *text,
                                             size_t len);

/*
 * What concerns several peers: an ID or a name twice, allowed IPs of two peers that overlap (the
 * same prefix, or one inside the other; nesting within one peer is fine). CQ_ERR_INVALID,
 * CQ_ERR_NOMEM.
 */
CQ_MUST_CHECK enum cq_err cq_conf_check(const struct cq_conf *conf, struct cq_conf_error *error);

/* To be called where our own ID is known: CQ_ERR_INVALID when it is configured as a peer. */
CQ_MUST_CHECK enum cq_err cq_conf_check_own_id(const struct cq_conf *conf,
                                               const uint8_t id[CQ_PEER_ID_LEN],
                                               struct cq_conf_error *error);

/* "HOST:PORT", "192.0.2.1:51820", "[2001:db8::1]:51820", "[fe80::1%eth0]:51820". *out is the
 * caller's (cq_conf_endpoint_free); *reason, when not NULL, says in static storage what is wrong.
 * CQ_ERR_INVALID, CQ_ERR_NOMEM. */
CQ_MUST_CHECK enum cq_err cq_conf_parse_endpoint(struct cq_conf_endpoint *out, const char *text,
                                                 const char **reason);
void cq_conf_endpoint_free(struct cq_conf_endpoint *endpoint);
/* The reverse; "" where there is none. Returns out. */
enum { CQ_CONF_ENDPOINT_TEXT_MAX = CQ_CONF_HOST_MAX + 10 };
char *cq_conf_endpoint_format(const struct cq_conf_endpoint *endpoint,
                              char out[CQ_CONF_ENDPOINT_TEXT_MAX]);

/* Whether text may be a peer's name: one word of ASCII without quotes, '\\', '@', ',' and '='. */
bool cq_conf_name_is_valid(const char *text);

/*
 * The content of a key file: base64, canonical, with nothing but white space (at most 64 bytes)
 * around it. key32: a secret key, pre-shared key or peer ID (44 characters). public_key: 1216 bytes
 * (1624 characters); white space between the characters is allowed there. CQ_ERR_INVALID leaves
 * *out zeroed.
 */
CQ_MUST_CHECK enum cq_err cq_conf_parse_key32(uint8_t out[32], const char *buffer, size_t len);
CQ_MUST_CHECK enum cq_err cq_conf_parse_public_key(struct cq_public_key *out, const char *buffer,
                                                   size_t len);

#endif
