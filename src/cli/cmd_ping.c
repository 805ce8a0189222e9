#include "base/base64.h"
#include "base/mem.h"
#include "base/secret.h"
#include "cli/cli.h"
#include "cli/contact.h"
#include "cli/findings.h"
#include "cli/keys.h"
#include "cli/look.h"
#include "conf/config.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum option {
    OPTION_KEY,
    OPTION_PSK_FILE,
    OPTION_PUBLIC_KEY_FILE,
    OPTION_COUNT,
    OPTION_TIMEOUT,
    OPTION_JSON,
};

static const struct cq_cli_option options[] = {
    [OPTION_KEY] = {"key", true},
    [OPTION_PSK_FILE] = {"psk-file", true},
    [OPTION_PUBLIC_KEY_FILE] = {"public-key-file", true},
    [OPTION_COUNT] = {"count", true},
    [OPTION_TIMEOUT] = {"timeout", true},
    [OPTION_JSON] = {"json", false},
    {NULL, false},
};

enum { COUNT_MAX = 1000, TIMEOUT_MAX = 90 };

static const cq_time ping_gap = 200 * CQ_NS_PER_MS;

struct ping {
    const char *target, *key_file, *psk_file, *public_key_file;
    unsigned count, timeout_secs; /* of each stage */
    uint8_t peer_id[CQ_PEER_ID_LEN];
    struct cq_conf_endpoint endpoint;
    struct cq_addr to;
    /* Secret memory. */
    struct cq_identity *identity;
    uint8_t *psk; /* NULL: none */
    struct cq_public_key *peer_key;
    struct cq_contact *contact;
    struct cq_cli_findings findings;
};

static bool read_number(const char *text, unsigned max, unsigned *out)
{
    if (text[0] == '\0' || strlen(text) > 4 || strspn(text, "0123456789") != strlen(text))
        return false;
    *out = (unsigned)strtoul(text, NULL, 10);
    return *out >= 1 && *out <= max;
}

static int take_option(struct ping *p, int option, const char *value)
{
    switch ((enum option)option) {
    case OPTION_KEY:
        p->key_file = value;
        break;
    case OPTION_PSK_FILE:
        p->psk_file = value;
        break;
    case OPTION_PUBLIC_KEY_FILE:
        p->public_key_file = value;
        break;
    case OPTION_COUNT:
        if (!read_number(value, COUNT_MAX, &p->count))
            return cq_cli_usage("ping", "--count is not a number from 1 to %d", COUNT_MAX);
        break;
    case OPTION_TIMEOUT:
        if (!read_number(value, TIMEOUT_MAX, &p->timeout_secs))
            return cq_cli_usage("ping", "--timeout is not a number from 1 to %d", TIMEOUT_MAX);
        break;
    case OPTION_JSON:
        p->findings.json = true;
        break;
    }
    return CQ_EXIT_OK;
}

static int read_target(struct ping *p)
{
    const char *reason, *text = p->target;
    size_t len = strlen(text);

    if (len <= CQ_KEY32_TEXT_LEN || text[CQ_KEY32_TEXT_LEN] != '@' ||
        cq_base64_decode(text, CQ_KEY32_TEXT_LEN, p->peer_id, sizeof(p->peer_id)) != CQ_OK)
        return cq_cli_usage("ping", "the peer is not PEERID@HOST:PORT with a PEERID of 44 "
                                    "characters");
    text += CQ_KEY32_TEXT_LEN + 1;
    if (cq_conf_parse_endpoint(&p->endpoint, text, &reason) != CQ_OK)
        return cq_cli_usage("ping", "%.100s is not HOST:PORT: %s", text, reason);
    memcpy(p->findings.f.peer, p->target, CQ_KEY32_TEXT_LEN);
    return CQ_EXIT_OK;
}

static int read_arguments(struct ping *p, int argc, char **argv)
{
    struct cq_cli_args args = {.command = "ping", .argc = argc, .argv = argv, .at = 1};
    int option, status = CQ_EXIT_OK;

    while (status == CQ_EXIT_OK && (option = cq_cli_next(&args, options)) != CQ_CLI_END) {
        if (option == CQ_CLI_BAD)
            return CQ_EXIT_USAGE;
        if (option != CQ_CLI_ARGUMENT)
            status = take_option(p, option, args.value);
        else if (p->target != NULL)
            return cq_cli_usage("ping", "too many arguments");
        else
            p->target = args.value;
    }
    if (status != CQ_EXIT_OK)
        return status;
    if (p->target == NULL)
        return cq_cli_usage("ping", "PEERID@HOST:PORT is missing");
    if (p->key_file == NULL)
        return cq_cli_usage("ping", "--key FILE is missing: whom shall the peer see?");
    return read_target(p);
}

/* ---- keys ---- */

static int read_file(const char *path, size_t max, bool secret, char **out, size_t *out_len)
{
    struct cq_file_info info;
    char reason[512];
    enum cq_err err = cq_file_read(path, max, secret, out, out_len, &info);

    if (err == CQ_OK)
        return CQ_EXIT_OK;
    return cq_cli_fail("%s", cq_file_read_message(err, path, max, &info, reason, sizeof(reason)));
}

/* 32 bytes of a file; *out is in secret memory and the caller's. */
static int read_key32(const char *path, uint8_t **out)
{
    enum { KEY_FILE_MAX = 256 };
    char *data = NULL;
    size_t len;
    int status = read_file(path, KEY_FILE_MAX, true, &data, &len);

    if (status != CQ_EXIT_OK)
        return status;
    *out = cq_secret_alloc(32);
    if (*out == NULL)
        status = cq_cli_fail("out of memory");
    else if (cq_conf_parse_key32(*out, data, len) != CQ_OK)
        status = cq_cli_fail("%s: not a key: 44 characters of base64 are expected", path);
    cq_secret_free(data);
    return status;
}

static int read_public_key(struct ping *p)
{
    enum { PUBLIC_FILE_MAX = 4096 };
    char *data = NULL;
    size_t len;
    int status = read_file(p->public_key_file, PUBLIC_FILE_MAX, false, &data, &len);

    if (status != CQ_EXIT_OK)
        return status;
    p->peer_key = cq_secret_alloc(sizeof(*p->peer_key));
    if (p->peer_key == NULL)
        status = cq_cli_fail("out of memory");
    else if (cq_conf_parse_public_key(p->peer_key, data, len) != CQ_OK)
        status = cq_cli_fail("%s: not a public key: 1624 characters of base64 are expected",
                             p->public_key_file);
    else if (cq_public_key_verify(p->peer_key, p->peer_id) != CQ_OK)
        status = cq_cli_fail("%s: this public key is not that of the peer", p->public_key_file);
    cq_secret_free(data);
    return status;
}

static int read_keys(struct ping *p)
{
    uint8_t *secret = NULL;

    p->identity = cq_secret_alloc(sizeof(*p->identity));
    if (p->identity == NULL)
        return cq_cli_fail("out of memory");
    int status = read_key32(p->key_file, &secret);
    if (status == CQ_EXIT_OK && cq_identity_init(p->identity, secret) != CQ_OK)
        status = cq_cli_fail("cannot derive our peer ID");
    cq_secret_free(secret);
    if (status == CQ_EXIT_OK && memcmp(p->identity->id, p->peer_id, CQ_PEER_ID_LEN) == 0)
        status = cq_cli_fail("this is our own peer ID: %s has the key of the peer", p->key_file);
    if (status == CQ_EXIT_OK && p->psk_file != NULL)
        status = read_key32(p->psk_file, &p->psk);
    if (status == CQ_EXIT_OK && p->public_key_file != NULL)
        status = read_public_key(p);
    return status;
}

/* ---- the way ---- */

static uint64_t micros_since(cq_time start)
{
    return (uint64_t)((cq_clock_now() - start) / 1000) + 1;
}

/* What a failed handshake means. */
static void conclude_failure(struct ping *p)
{
    struct cq_cli_findings *findings = &p->findings;
    enum cq_diagnosis reason = cq_contact_diagnosis(p->contact);
    struct cq_contact_view view;
    struct cq_look look;

    cq_contact_look(p->contact, &view);
    switch (reason) {
    case CQ_DIAGNOSIS_NO_ANSWER:
        if (p->peer_key == NULL) {
            cq_look_port(findings, &p->to, 0);
            return;
        }
        if (cq_look_silence(findings, &look, &p->to, 0, p->peer_id) == CQ_DIAGNOSIS_ALL_WELL)
            cq_cli_conclude(findings, CQ_DIAGNOSIS_NO_REPLY, "%s", "");
        return;
    case CQ_DIAGNOSIS_SILENT_AFTER_COOKIE:
        /* Does it still ask, where it is asked without? */
        cq_look_silence(findings, &look, &p->to, 0, p->peer_id);
        if (!look.cookie || look.key)
            cq_cli_conclude(findings, reason, "%s", "");
        return;
    case CQ_DIAGNOSIS_NO_REPLY:
        cq_cli_conclude(findings, reason, "%s pre-shared key was used here",
                        p->psk != NULL ? "a" : "no");
        return;
    case CQ_DIAGNOSIS_MTU_TOO_SMALL:
        if (view.probe->path_mtu > 0) {
            cq_cli_conclude(findings, reason, "the path MTU is %u", view.probe->path_mtu);
            return;
        }
        break;
    default:
        break;
    }
    cq_cli_conclude(findings, reason, "%s",
                    view.probe->error != 0 ? strerror(view.probe->error) : "");
}

static bool shake_hands(struct ping *p)
{
    struct cq_cli_findings *findings = &p->findings;
    cq_time timeout = p->timeout_secs * CQ_NS_PER_S, start = cq_clock_now(), stage = start;
    struct cq_contact_view view;
    char address[CQ_ADDR_TEXT_MAX];

    bool has_key = cq_contact_key(p->contact, start + timeout);
    uint64_t key_us = micros_since(start);
    if (has_key && p->peer_key == NULL)
        stage = cq_clock_now();
    bool done = has_key && cq_contact_handshake(p->contact, stage + timeout);
    uint64_t handshake_us = micros_since(stage);
    cq_contact_look(p->contact, &view);
    if (view.first_answer != CQ_TIME_NEVER)
        cq_cli_check(findings, "first answer", true,
                     (uint64_t)((view.first_answer - start) / 1000) + 1, "%s", "");
    else
        cq_cli_check(findings, "first answer", false, 0, "none within %u s", p->timeout_secs);
    if (has_key && p->peer_key == NULL)
        cq_cli_check(findings, "key", true, key_us, "the peer's public key came");
    if (done)
        cq_cli_check(findings, "handshake", true, handshake_us, "%s", cq_suite_name(view.suite));
    else
        cq_cli_check(findings, "handshake", false, 0, "no session");
    if (!done) {
        conclude_failure(p);
        return false;
    }
    if (view.facts->elsewhere.ip.family == CQ_FAMILY_NONE)
        return true;
    cq_addr_format(&view.facts->elsewhere, address);
    cq_cli_check(findings, "address", false, 0, "the answers come from %s", address);
    cq_cli_conclude(findings, CQ_DIAGNOSIS_ANSWER_ELSEWHERE, "answers came from %s", address);
    return false;
}

static void send_pings(struct ping *p)
{
    cq_time timeout = p->timeout_secs * CQ_NS_PER_S, took;
    cq_time best = CQ_TIME_NEVER, worst = 0, sum = 0;

    for (unsigned i = 0; i < p->count; i++) {
        cq_time start = cq_clock_now();
        if (!cq_contact_ping(p->contact, start + timeout, &took)) {
            cq_cli_check(&p->findings, "round trip", false, 0, "no PONG within %u s",
                         p->timeout_secs);
            cq_cli_conclude(&p->findings, CQ_DIAGNOSIS_SESSION_SILENT, "%s", "");
            return;
        }
        best = cq_time_min(best, took);
        worst = cq_time_max(worst, took);
        sum += took;
        cq_cli_check(&p->findings, "round trip", true, (uint64_t)(took / 1000) + 1, "%s", "");
        if (i + 1 < p->count && took < ping_gap)
            usleep((useconds_t)((ping_gap - took) / 1000));
    }
    cq_cli_conclude(&p->findings, CQ_DIAGNOSIS_ALL_WELL,
                    "handshake and records pass both ways; round trip %.2f/%.2f/%.2f ms "
                    "(least/mean/most of %u)",
                    (double)best / 1e6, (double)sum / p->count / 1e6, (double)worst / 1e6,
                    p->count);
}

static int ping(struct ping *p)
{
    char address[CQ_ADDR_TEXT_MAX], own[CQ_KEY32_TEXT_LEN + 1];

    cq_base64_encode(p->identity->id, sizeof(p->identity->id), own);
    if (!p->findings.json)
        printf("peer %.44s, as %s (which must be on its list)\n", p->target, own);
    if (!cq_look_name(&p->findings, &p->endpoint, &p->to) ||
        !cq_look_route(&p->findings, &p->to, 0))
        return cq_cli_print_findings(&p->findings);
    enum cq_err err =
        cq_contact_new(&p->contact, p->peer_id, &p->to, 0, p->identity, p->psk, p->peer_key);
    if (err != CQ_OK)
        return cq_cli_fail("%s: %s", cq_addr_format(&p->to, address),
                           err == CQ_ERR_IO ? strerror(errno) : cq_err_text(err));
    if (shake_hands(p))
        send_pings(p);
    cq_contact_close(p->contact);
    return cq_cli_print_findings(&p->findings);
}

static int run(int argc, char **argv)
{
    struct ping p = {.count = 3, .timeout_secs = 8, .findings.f.command = "ping"};
    int status = read_arguments(&p, argc, argv);

    if (status == CQ_EXIT_OK)
        status = cq_keys_init(CQ_KEYS_MEMORY_SMALL);
    if (status == CQ_EXIT_OK && cq_sandbox_hide() != CQ_OK)
        status = cq_cli_fail("cannot switch core dumps off: %s", strerror(errno));
    if (status == CQ_EXIT_OK)
        status = read_keys(&p);
    if (status == CQ_EXIT_OK)
        status = ping(&p);
    cq_contact_free(p.contact);
    if (p.identity != NULL)
        cq_identity_wipe(p.identity);
    cq_secret_free(p.identity);
    cq_secret_free(p.psk);
    cq_secret_free(p.peer_key);
    cq_conf_endpoint_free(&p.endpoint);
    cq_wipe_stack();
    return status;
}

const struct cq_cli_command cq_cmd_ping = {
    .name = "ping",
    .arguments = "PEERID@HOST:PORT --key FILE [OPTIONS]",
    .summary = "Try a handshake with a node, without a daemon and without root",
    .help =
        "A real handshake under the identity of --key, a few PINGs under its keys, and CLOSE. The "
        "other node\n"
        "must have the peer ID of --key on its list. Where that does not work the last lines say "
        "why, as far as\n"
        "it can be told from here. While a node with the same key talks to that peer, use "
        "`cryprq diagnose`\n"
        "instead: for a moment the peer would take this command for it.\n"
        "\n"
        "  --key FILE               our secret key\n"
        "  --psk-file FILE          the pre-shared key, where the two have one\n"
        "  --public-key-file FILE   the peer's public key (cryprq pubkey --full); else it is asked "
        "for\n"
        "  --count N                PINGs, 1 to 1000; 3 unless given\n"
        "  --timeout S              seconds to wait in each stage, 1 to 90; 8 unless given\n"
        "  --json                   one JSON object (\"reason\" is a code, \"checks\" have times "
        "in us)\n"
        "\n"
        "Exit status: 0 all is well, 1 a problem was found, 2 wrong use.\n",
    .run = run,
};
