#include "cli/args.h"

#include "base/base64.h"
#include "cli/confload.h"
#include "conf/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum option {
    OPTION_KEY,
    OPTION_LISTEN,
    OPTION_ADDRESS,
    OPTION_ALLOW_PEER,
    OPTION_PEER,
    OPTION_ROTATE_SECS,
    OPTION_INTERFACE,
    OPTION_LOG_FORMAT,
    OPTION_METRICS_ADDR,
    OPTION_TUN_OFFLOAD,
    OPTION_UDP_GSO,
    OPTION_UDP_GRO,
    OPTION_WORKERS,
};

const struct cq_cli_option cq_args_options[] = {
    [OPTION_KEY] = {"key", true},
    [OPTION_LISTEN] = {"listen", true},
    [OPTION_ADDRESS] = {"address", true},
    [OPTION_ALLOW_PEER] = {"allow-peer", true},
    [OPTION_PEER] = {"peer", true},
    [OPTION_ROTATE_SECS] = {"rotate-secs", true},
    [OPTION_INTERFACE] = {"interface", true},
    [OPTION_LOG_FORMAT] = {"log-format", true},
    [OPTION_METRICS_ADDR] = {"metrics-addr", true},
    [OPTION_TUN_OFFLOAD] = {"tun-offload", true},
    [OPTION_UDP_GSO] = {"udp-gso", true},
    [OPTION_UDP_GRO] = {"udp-gro", true},
    [OPTION_WORKERS] = {"workers", true},
    {NULL, false},
};

void cq_args_init(struct cq_args *args)
{
    *args = (struct cq_args){0};
    cq_conf_init(&args->conf);
    memcpy(args->conf.interface, "cryprq0", sizeof("cryprq0"));
}

static int refuse(const char *what, const char *expected)
{
    return cq_cli_usage("run", "%s is not %s", what, expected);
}

static bool read_number(const char *text, unsigned min, unsigned max, uint16_t *out)
{
    unsigned n = 0;

    if (text[0] == '\0' || strlen(text) > 5 || strspn(text, "0123456789") != strlen(text))
        return false;
    for (; *text != '\0'; text++)
        n = 10 * n + (unsigned)(*text - '0');
    *out = (uint16_t)n;
    return n >= min && n <= max;
}

static int add_address(struct cq_conf *conf, const char *text)
{
    struct cq_conf_address address;
    struct cq_addr probe = {.port = 1};

    if (cq_prefix_parse(text, &address.prefix, &address.host) != CQ_OK)
        return refuse("--address", "like 10.9.0.1/24 or fd00::1/64");
    probe.ip = address.host;
    if (!cq_addr_is_usable(&probe))
        return refuse("--address", "an address that an interface can have");
    if (cq_conf_add_address(conf, &address) != CQ_OK)
        return cq_cli_usage("run", "--address is given too often");
    return CQ_EXIT_OK;
}

/* Whether text begins with a peer ID that ends there or at one of the characters of `ends`. */
static bool read_id(const char *text, const char *ends, uint8_t id[CQ_PEER_ID_LEN])
{
    size_t len = strnlen(text, CQ_KEY32_TEXT_LEN + 1);

    return len >= CQ_KEY32_TEXT_LEN &&
           (len == CQ_KEY32_TEXT_LEN || strchr(ends, text[CQ_KEY32_TEXT_LEN]) != NULL) &&
           cq_base64_decode(text, CQ_KEY32_TEXT_LEN, id, CQ_PEER_ID_LEN) == CQ_OK;
}

/* Adds the prefix in text[:len]. */
static bool add_prefix(struct cq_conf_peer *peer, const char *text, size_t len)
{
    char copy[CQ_PREFIX_TEXT_MAX];
    struct cq_prefix prefix;

    if (len >= sizeof(copy))
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return cq_prefix_parse(copy, &prefix, NULL) == CQ_OK &&
           cq_conf_add_allowed_ip(peer, &prefix, (struct cq_conf_position){0}) == CQ_OK;
}

static bool add_prefixes(struct cq_conf_peer *peer, const char *text)
{
    for (;;) {
        size_t len = strcspn(text, ",");
        if (!add_prefix(peer, text, len))
            return false;
        if (text[len] == '\0')
            return true;
        text += len + 1;
    }
}

/* PEERID[@HOST:PORT][=CIDR,...]; the first `=` after the ID begins the prefixes. */
static int add_peer(struct cq_conf *conf, const char *option, bool has_endpoint, const char *text)
{
    const char *form = has_endpoint ? "PEERID@HOST:PORT[=CIDR,...]" : "PEERID[=CIDR,...]";
    const char *rest = text + CQ_KEY32_TEXT_LEN, *reason;
    uint8_t id[CQ_PEER_ID_LEN];
    struct cq_conf_peer *peer;
    char host[CQ_CONF_HOST_MAX + 16];

    if (!read_id(text, "@=", id))
        return cq_cli_usage("run", "%s is not %s with a PEERID of 44 characters", option, form);
    if ((rest[0] == '@') != has_endpoint)
        return refuse(option, form);
    if (cq_conf_add_peer(conf, id, &peer) != CQ_OK)
        return cq_cli_fail("too many peers");
    if (has_endpoint) {
        size_t len = strcspn(rest + 1, "=");
        if (len >= sizeof(host))
            return cq_cli_usage("run", "%s: the host's name is too long", option);
        memcpy(host, rest + 1, len);
        host[len] = '\0';
        if (cq_conf_parse_endpoint(&peer->endpoint, host, &reason) != CQ_OK)
            return cq_cli_usage("run", "%s: %.100s is not HOST:PORT: %s", option, host, reason);
        rest += 1 + len;
    }
    if (rest[0] == '=' && !add_prefixes(peer, rest + 1))
        return cq_cli_usage("run", "%s: after the last = comes a list of prefixes like 10.9.0.2/32",
                            option);
    return CQ_EXIT_OK;
}

static int set_metrics_address(struct cq_conf *conf, const char *option, const char *text)
{
    if (cq_conf_metrics_set_address(&conf->metrics, text, strlen(text)) != CQ_OK)
        return refuse(option, "none, or a numeric address with a port like 127.0.0.1:9464");
    if (cq_conf_metrics_is_open(&conf->metrics))
        return cq_cli_usage("run",
                            "%s: an address that other machines can reach needs a token, which "
                            "only a configuration file can have (MetricsToken)",
                            option);
    return CQ_EXIT_OK;
}

/* The settings of the packet path, which options and environment give in the same words. */
static const struct tuning {
    const char *option, *variable, *expected;
    enum cq_err (*set)(struct cq_conf_tuning *tuning, const char *text, size_t len);
} tunings[CQ_ARGS_TUNINGS] = {
    {"--tun-offload", "CRYPRQ_TUN_OFFLOAD", CQ_CONF_TUNING_TUN_OFFLOAD,
     cq_conf_tuning_set_tun_offload},
    {"--udp-gso", "CRYPRQ_UDP_GSO", CQ_CONF_TUNING_SWITCH, cq_conf_tuning_set_udp_gso},
    {"--udp-gro", "CRYPRQ_UDP_GRO", CQ_CONF_TUNING_SWITCH, cq_conf_tuning_set_udp_gro},
    {"--workers", "CRYPRQ_WORKERS", CQ_CONF_TUNING_WORKERS, cq_conf_tuning_set_workers},
};

static int take_tuning(struct cq_args *args, int option, const char *value)
{
    const struct tuning *t = &tunings[option - OPTION_TUN_OFFLOAD];

    args->has_tuning[option - OPTION_TUN_OFFLOAD] = true;
    if (t->set(&args->conf.tuning, value, strlen(value)) != CQ_OK)
        return refuse(t->option, t->expected);
    return CQ_EXIT_OK;
}

static int take_tuning_environment(struct cq_args *args)
{
    for (int i = 0; i < CQ_ARGS_TUNINGS; i++) {
        const char *value = getenv(tunings[i].variable);
        if (value == NULL || value[0] == '\0' || args->has_tuning[i])
            continue;
        if (tunings[i].set(&args->conf.tuning, value, strlen(value)) != CQ_OK)
            return refuse(tunings[i].variable, tunings[i].expected);
    }
    return CQ_EXIT_OK;
}

int cq_args_take(struct cq_args *args, int option, const char *value)
{
    struct cq_conf *conf = &args->conf;

    args->used = args->used || option != OPTION_LOG_FORMAT; /* which goes with a file as well */
    switch ((enum option)option) {
    case OPTION_KEY:
        if (args->key_file != NULL)
            return cq_cli_usage("run", "--key is given twice");
        args->key_file = value;
        return CQ_EXIT_OK;
    case OPTION_LISTEN:
        if (!read_number(value, 1, UINT16_MAX, &conf->listen_port))
            return refuse("--listen", "a port from 1 to 65535");
        conf->has_listen_port = true;
        return CQ_EXIT_OK;
    case OPTION_ADDRESS:
        return add_address(conf, value);
    case OPTION_ALLOW_PEER:
        return add_peer(conf, "--allow-peer", false, value);
    case OPTION_PEER:
        return add_peer(conf, "--peer", true, value);
    case OPTION_ROTATE_SECS:
        args->has_rotate_secs = true;
        if (!read_number(value, CQ_ROTATE_SECS_MIN, CQ_ROTATE_SECS_MAX, &conf->rotate_secs))
            return refuse("--rotate-secs", "a number from 60 to 3600");
        return CQ_EXIT_OK;
    case OPTION_INTERFACE:
        if (!cq_conf_interface_is_valid(value))
            return refuse("--interface", "a name of at most 15 letters, digits and _=+.-");
        memcpy(conf->interface, value, strlen(value) + 1);
        return CQ_EXIT_OK;
    case OPTION_LOG_FORMAT:
        return cq_cli_log_format("run", "--log-format", value);
    case OPTION_METRICS_ADDR:
        args->has_metrics_addr = true;
        return set_metrics_address(conf, "--metrics-addr", value);
    case OPTION_TUN_OFFLOAD:
    case OPTION_UDP_GSO:
    case OPTION_UDP_GRO:
    case OPTION_WORKERS:
        return take_tuning(args, option, value);
    }
    return CQ_EXIT_USAGE;
}

static bool has_peer(const struct cq_conf *conf, const uint8_t id[CQ_PEER_ID_LEN])
{
    for (size_t i = 0; i < conf->num_peers; i++)
        if (memcmp(conf->peers[i].id, id, CQ_PEER_ID_LEN) == 0)
            return true;
    return false;
}

/* One item of CRYPRQ_ALLOW_PEERS: an ID with or without a first prefix, or a further prefix of the
 * last one. A peer that was an argument is left as it was given there. */
static bool take_allowed(struct cq_conf *conf, const char *item, struct cq_conf_peer **peer,
                         bool *skip)
{
    uint8_t id[CQ_PEER_ID_LEN];

    if (!read_id(item, "=", id)) {
        struct cq_prefix prefix;
        if (*skip)
            return cq_prefix_parse(item, &prefix, NULL) == CQ_OK;
        return *peer != NULL && (*peer)->num_allowed_ips > 0 &&
               add_prefix(*peer, item, strlen(item));
    }
    *skip = has_peer(conf, id);
    if (*skip)
        return true;
    if (cq_conf_add_peer(conf, id, peer) != CQ_OK)
        return false;
    const char *rest = item + CQ_KEY32_TEXT_LEN;
    return rest[0] == '\0' || add_prefix(*peer, rest + 1, strlen(rest + 1));
}

static int take_environment(struct cq_args *args)
{
    const char *secs = getenv("CRYPRQ_ROTATE_SECS"), *peers = getenv("CRYPRQ_ALLOW_PEERS");
    const char *metrics = getenv("CRYPRQ_METRICS_ADDR");
    struct cq_conf_peer *peer = NULL;
    bool skip = false;

    if (metrics != NULL && metrics[0] != '\0' && !args->has_metrics_addr &&
        set_metrics_address(&args->conf, "CRYPRQ_METRICS_ADDR", metrics) != CQ_EXIT_OK)
        return CQ_EXIT_USAGE;
    if (secs != NULL && secs[0] != '\0' && !args->has_rotate_secs &&
        !read_number(secs, CQ_ROTATE_SECS_MIN, CQ_ROTATE_SECS_MAX, &args->conf.rotate_secs))
        return refuse("CRYPRQ_ROTATE_SECS", "a number from 60 to 3600");
    while (peers != NULL && peers[0] != '\0') {
        char item[128];
        size_t len = strcspn(peers, ",");
        int n = snprintf(item, sizeof(item), "%.*s", len < sizeof(item) ? (int)len : 0, peers);
        if (n <= 0 || !take_allowed(&args->conf, item, &peer, &skip))
            return refuse("CRYPRQ_ALLOW_PEERS", "a list PEERID[=CIDR,...],PEERID[=CIDR,...]");
        peers += len + (peers[len] == ',' ? 1 : 0);
    }
    return CQ_EXIT_OK;
}

/* The only peer stands for everything in our networks; with several, nobody but the caller knows.
 */
static int default_allowed_ips(struct cq_conf *conf)
{
    for (size_t i = 0; i < conf->num_peers; i++) {
        struct cq_conf_peer *peer = &conf->peers[i];
        if (peer->num_allowed_ips > 0)
            continue;
        if (conf->num_peers > 1)
            return cq_cli_usage("run", "with several peers each one needs its allowed IPs: "
                                       "PEERID=CIDR or PEERID@HOST:PORT=CIDR");
        for (size_t j = 0; j < conf->num_addresses; j++) {
            const struct cq_prefix *prefix = &conf->addresses[j].prefix;
            if (prefix->bits == 8 * cq_ip_len(prefix->ip.family))
                continue;
            if (cq_conf_add_allowed_ip(peer, prefix, (struct cq_conf_position){0}) != CQ_OK)
                return cq_cli_fail("out of memory");
        }
        if (peer->num_allowed_ips == 0)
            return cq_cli_usage("run", "no network follows from --address: give the peer's allowed "
                                       "IPs (PEERID=CIDR) or an --address like 10.9.0.1/24");
    }
    return CQ_EXIT_OK;
}

int cq_args_finish(struct cq_args *args)
{
    int status = take_environment(args);

    if (status == CQ_EXIT_OK)
        status = take_tuning_environment(args);
    if (status != CQ_EXIT_OK)
        return status;
    if (args->key_file == NULL)
        return cq_cli_usage("run", "a configuration file or --key is missing");
    if (args->conf.num_peers == 0)
        return cq_cli_usage("run", "no peer is given: --allow-peer, --peer or CRYPRQ_ALLOW_PEERS");
    status = default_allowed_ips(&args->conf);
    if (status == CQ_EXIT_OK)
        status = cq_confload_private_key(&args->conf, args->key_file);
    return status == CQ_EXIT_OK ? cq_confload_check(&args->conf) : status;
}
