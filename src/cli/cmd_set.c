#include "base/mem.h"
#include "base/secret.h"
#include "cli/admin.h"
#include "cli/cli.h"
#include "cli/keys.h"
#include "conf/pack.h"
#include "os/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The arguments become operations (conf/admin.h), one after the other; everything that can be told
 * without the node is refused here, with the argument's name. */

enum { BODY_MAX = 4 * 1024 * 1024 };

struct setting {
    int argc, at;
    char **argv;
    struct cq_writer w;
    const char *peer; /* NULL: none yet */
    bool removed;     /* it is to go: nothing may follow about it */
};

static int fail(const char *argument, const char *text)
{
    return cq_cli_usage("set", "%s: %s", argument, text);
}

/* The value of an argument. NULL after a message. */
static const char *take_value(struct setting *s, const char *argument)
{
    if (s->at < s->argc)
        return s->argv[s->at++];
    (void)fail(argument, "a value is missing");
    return NULL;
}

/* ---- key files ---- */

/* The path by which the key can be read again; "" for a pipe and the like. */
static char *lasting_path(const char *path)
{
    struct stat st;

    if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
        return realpath(path, NULL);
    return calloc(1, 1);
}

static int write_path(struct setting *s, const char *path)
{
    char *full = lasting_path(path);

    if (full == NULL)
        return cq_cli_fail("out of memory");
    cq_pack_write_text(&s->w, full);
    free(full);
    return CQ_EXIT_OK;
}

static int read_file(const char *path, size_t max, bool secret, char **out, size_t *out_len)
{
    char reason[512];
    struct cq_file_info info;
    enum cq_err err = cq_file_read(path, max, secret, out, out_len, &info);

    if (err == CQ_OK)
        return CQ_EXIT_OK;
    return cq_cli_fail("%s", cq_file_read_message(err, path, max, &info, reason, sizeof(reason)));
}

static int set_secret(struct setting *s, const char *argument, uint8_t op)
{
    enum { KEY_FILE_MAX = 256 };
    uint8_t key[32] = {0};
    char *data = NULL;
    size_t len = 0;
    const char *path = take_value(s, argument);

    if (path == NULL)
        return CQ_EXIT_USAGE;
    int status = read_file(path, KEY_FILE_MAX, true, &data, &len);
    if (status != CQ_EXIT_OK)
        return status;
    if (cq_conf_parse_key32(key, data, len) != CQ_OK)
        status =
            cq_cli_fail("%s: %s: not a key: 44 characters of base64 are expected", argument, path);
    else if (cq_is_zero_ct(key, sizeof(key)))
        status = cq_cli_fail("%s: %s: the key is all zero, which is no secret", argument, path);
    cq_write_u8(&s->w, op);
    cq_write_bytes(&s->w, key, sizeof(key));
    cq_wipe(key, sizeof(key));
    cq_secret_free(data);
    return status == CQ_EXIT_OK ? write_path(s, path) : status;
}

static int set_private_key(struct setting *s, const char *argument)
{
    return set_secret(s, argument, CQ_SET_PRIVATE_KEY);
}

static int set_psk(struct setting *s, const char *argument)
{
    if (s->at < s->argc &&
        (strcmp(s->argv[s->at], "none") == 0 || strcmp(s->argv[s->at], "/dev/null") == 0)) {
        s->at++;
        cq_write_u8(&s->w, CQ_SET_NO_PSK);
        return CQ_EXIT_OK;
    }
    return set_secret(s, argument, CQ_SET_PSK);
}

static int set_public_key(struct setting *s, const char *argument)
{
    enum { PUBLIC_KEY_FILE_MAX = 4096 };
    const char *path = take_value(s, argument);
    struct cq_public_key key;
    char *data = NULL;
    size_t len = 0;

    if (path == NULL)
        return CQ_EXIT_USAGE;
    int status = read_file(path, PUBLIC_KEY_FILE_MAX, false, &data, &len);
    if (status != CQ_EXIT_OK)
        return status;
    if (cq_conf_parse_public_key(&key, data, len) != CQ_OK)
        status = cq_cli_fail("%s: %s: not a public key (cryprq pubkey --full)", argument, path);
    cq_secret_free(data);
    cq_write_u8(&s->w, CQ_SET_PUBLIC_KEY);
    cq_write_bytes(&s->w, &key, CQ_PUBLIC_KEY_LEN);
    return status == CQ_EXIT_OK ? write_path(s, path) : status;
}

/* ---- the rest of a peer ---- */

static int set_peer(struct setting *s, const char *argument)
{
    const char *text = take_value(s, argument);

    if (text == NULL)
        return CQ_EXIT_USAGE;
    if (strlen(text) > CQ_CONF_NAME_MAX || !(cq_conf_name_is_valid(text) || strlen(text) == 44))
        return fail(argument, "neither a peer's name nor a PeerID (44 characters)");
    s->peer = text;
    s->removed = false;
    cq_write_u8(&s->w, CQ_SET_PEER);
    cq_pack_write_text(&s->w, text);
    return CQ_EXIT_OK;
}

static int set_remove(struct setting *s, const char *argument)
{
    (void)argument;
    s->removed = true;
    cq_write_u8(&s->w, CQ_SET_REMOVE);
    return CQ_EXIT_OK;
}

static int set_name(struct setting *s, const char *argument)
{
    const char *text = take_value(s, argument);

    if (text == NULL)
        return CQ_EXIT_USAGE;
    if (strcmp(text, "none") == 0)
        text = "";
    else if (!cq_conf_name_is_valid(text))
        return fail(argument, "a name is one word of at most 63 characters, without quotes, '@', "
                              "',' and '='");
    cq_write_u8(&s->w, CQ_SET_NAME);
    cq_pack_write_text(&s->w, text);
    return CQ_EXIT_OK;
}

static int set_endpoint(struct setting *s, const char *argument)
{
    const char *text = take_value(s, argument), *reason = "";
    struct cq_conf_endpoint endpoint = {0};

    if (text == NULL)
        return CQ_EXIT_USAGE;
    if (strcmp(text, "none") == 0)
        text = "";
    else if (cq_conf_parse_endpoint(&endpoint, text, &reason) != CQ_OK)
        return cq_cli_usage("set", "%s: %.80s is not HOST:PORT: %s", argument, text, reason);
    cq_conf_endpoint_free(&endpoint);
    cq_write_u8(&s->w, CQ_SET_ENDPOINT);
    cq_pack_write_text(&s->w, text);
    return CQ_EXIT_OK;
}

static int set_keepalive(struct setting *s, const char *argument)
{
    const char *text = take_value(s, argument);
    unsigned long seconds = 0;
    char *end = NULL;

    if (text == NULL)
        return CQ_EXIT_USAGE;
    if (strcmp(text, "off") != 0) {
        seconds = strtoul(text, &end, 10);
        if (text[0] < '0' || text[0] > '9' || *end != '\0' || seconds > 65535)
            return fail(argument, "neither seconds (0 to 65535) nor off");
    }
    cq_write_u8(&s->w, CQ_SET_KEEPALIVE);
    cq_write_u16(&s->w, (uint16_t)seconds);
    return CQ_EXIT_OK;
}

/* One of "10.0.0.0/24", "+10.0.0.0/24", "-10.0.0.0/24". */
static int set_prefix(struct setting *s, const char *argument, const char *text)
{
    bool sign = text[0] == '+' || text[0] == '-';
    struct cq_prefix prefix;

    if (cq_prefix_parse(text + sign, &prefix, NULL) != CQ_OK)
        return cq_cli_usage("set", "%s: %.60s is not ADDRESS/BITS", argument, text);
    cq_write_u8(&s->w, text[0] == '-' ? CQ_SET_ALLOWED_REMOVE : CQ_SET_ALLOWED_ADD);
    cq_pack_write_prefix(&s->w, &prefix);
    return CQ_EXIT_OK;
}

static int set_allowed_ips(struct setting *s, const char *argument)
{
    const char *list = take_value(s, argument);
    int status = CQ_EXIT_OK;

    if (list == NULL)
        return CQ_EXIT_USAGE;
    bool is_change = list[0] == '+' || list[0] == '-';
    if (!is_change)
        cq_write_u8(&s->w, CQ_SET_ALLOWED_NONE);
    if (list[0] == '\0' || strcmp(list, "none") == 0)
        return CQ_EXIT_OK;
    char *copy = strdup(list), *rest = copy;
    if (copy == NULL)
        return cq_cli_fail("out of memory");
    while (status == CQ_EXIT_OK && rest != NULL) {
        const char *item = strsep(&rest, ",");
        item += strspn(item, " ");
        if ((item[0] == '+' || item[0] == '-') != is_change)
            status =
                fail(argument, "either all of them have a sign (+ adds, - takes away), or none "
                               "(they replace what is there)");
        else
            status = set_prefix(s, argument, item);
    }
    free(copy);
    return status;
}

static int refuse_restart(struct setting *s, const char *argument)
{
    (void)s;
    return cq_cli_fail("set: %s: a running node cannot change this: change the file, then cryprq "
                       "down and cryprq up",
                       argument);
}

static const struct {
    const char *name;
    int (*set)(struct setting *s, const char *argument);
    bool of_peer;
} arguments[] = {
    {"private-key", set_private_key, false},
    {"listen-port", refuse_restart, false},
    {"fwmark", refuse_restart, false},
    {"mtu", refuse_restart, false},
    {"peer", set_peer, false},
    {"remove", set_remove, true},
    {"name", set_name, true},
    {"preshared-key", set_psk, true},
    {"public-key", set_public_key, true},
    {"endpoint", set_endpoint, true},
    {"persistent-keepalive", set_keepalive, true},
    {"allowed-ips", set_allowed_ips, true},
};
enum { NUM_ARGUMENTS = sizeof(arguments) / sizeof(arguments[0]) };

static int take_argument(struct setting *s)
{
    const char *text = s->argv[s->at++];

    for (size_t i = 0; i < NUM_ARGUMENTS; i++) {
        if (strcmp(text, arguments[i].name) != 0)
            continue;
        if (arguments[i].of_peer && s->peer == NULL)
            return fail(text, "it comes after peer PEER");
        if (arguments[i].of_peer && s->removed)
            return fail(text, "the peer before it is to be removed");
        return arguments[i].set(s, text);
    }
    /* Not repeated where it is long: it might be a key. */
    return cq_cli_usage("set", "there is no argument %.24s", text);
}

static int take_all(struct setting *s, bool *dry_run, const char **name)
{
    int status = CQ_EXIT_OK;

    *dry_run = false;
    for (; s->at < s->argc && strncmp(s->argv[s->at], "--", 2) == 0; s->at++) {
        if (strcmp(s->argv[s->at], "--dry-run") != 0)
            return cq_cli_usage("set", "unknown option %.40s", s->argv[s->at]);
        *dry_run = true;
    }
    if (s->at == s->argc)
        return cq_cli_usage("set", "too few arguments");
    *name = s->argv[s->at++];
    if (!cq_conf_interface_is_valid(*name))
        return cq_cli_usage("set", "%.40s is not an interface's name", *name);
    if (s->at == s->argc)
        return cq_cli_usage("set", "nothing to set");
    while (status == CQ_EXIT_OK && s->at < s->argc)
        status = take_argument(s);
    return status == CQ_EXIT_OK && s->w.failed ? cq_cli_fail("too many arguments") : status;
}

static int run(int argc, char **argv)
{
    struct setting s = {.argc = argc, .argv = argv, .at = 1};
    const char *name = NULL;
    bool dry_run;
    int status = cq_keys_init(CQ_KEYS_MEMORY_CONFIG);

    if (status != CQ_EXIT_OK)
        return status;
    uint8_t *body = cq_secret_alloc(BODY_MAX);
    if (body == NULL)
        return cq_cli_fail("out of memory");
    s.w = cq_writer_make(body, BODY_MAX);
    status = take_all(&s, &dry_run, &name);
    if (status == CQ_EXIT_OK)
        status = cq_cli_admin_ask(name, CQ_ADMIN_SET, dry_run, body, s.w.written);
    cq_secret_free(body);
    return status;
}

const struct cq_cli_command cq_cmd_set = {
    .name = "set",
    .arguments = "[--dry-run] NAME [private-key FILE] [peer PEER [remove] [name TEXT|none]\n"
                 "       [preshared-key FILE|none] [public-key FILE] [endpoint HOST:PORT|none]\n"
                 "       [persistent-keepalive SECONDS|off] [allowed-ips LIST|none]]...",
    .summary = "Change peers and keys of a running interface",
    .help =
        "PEER is a peer's name or ID; an ID that is not known yet adds a peer. LIST is "
        "CIDR,CIDR,... "
        "and\n"
        "replaces the allowed IPs; where each CIDR has a sign, + adds it and - takes it away. All "
        "changes\n"
        "are made as one, or none is. The file is not changed: cryprq save writes it.\n"
        "\n"
        "  --dry-run   only print the difference\n",
    .run = run,
};
