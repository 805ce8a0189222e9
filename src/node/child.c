#include "node/child.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/secret.h"
#include "conf/control.h"
#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "node/channel.h"
#include "node/control.h"
#include "node/failure.h"
#include "node/handover.h"
#include "node/label.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/process.h"
#include "os/sandbox.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * In this order, since each step needs what the later ones take away:
 *
 *   locked memory, libcrypto in it -> configuration and keys out of the handover, which is wiped ->
 * own identity
 *   -> root directory, user, capabilities -> path, worker thread, engine -> system-call filter ->
 * "ready"
 */

struct child {
    struct cq_conf conf;
    bool *replied;
    struct cq_handover_start start;
    struct cq_identity *identity; /* in secret memory */
    struct cq_control control;
    struct cq_failure failure;
    int nice;          /* our priority before that of the workers */
    bool keep_memlock; /* its limit could not be raised (containers) */
};

/* Locked memory at most: every peer has sessions and replay windows, and some for everybody. */
static size_t secret_limit(int handover_fd)
{
    struct stat st;
    size_t handover = fstat(handover_fd, &st) == 0 && st.st_size > 0 ? (size_t)st.st_size : 0;

    return (size_t)256 * 1024 * 1024 + 512 * handover;
}

static bool prepare_memory(struct child *c, int handover_fd)
{
    uint32_t seed;

    c->keep_memlock = cq_sandbox_allow_memlock() != CQ_OK;
    if (cq_secret_init(secret_limit(handover_fd), true) != CQ_OK)
        return cq_fail(&c->failure, "cannot lock memory for keys: raise the limit (ulimit -l, "
                                    "LimitMEMLOCK=)");
    if (cq_crypto_init(true) != CQ_OK)
        return cq_fail(&c->failure, "cannot set up libcrypto (%s)", cq_crypto_version());
    (void)cq_aead_backend(); /* may load tables and test itself: now, not at the first session */
    if (cq_crypto_random(&seed, sizeof(seed)) != CQ_OK)
        return cq_fail(&c->failure, "cannot draw random numbers");
    cq_control_seed(seed | 1); /* never 0 */
    return true;
}

static bool take_handover(struct child *c, int handover_fd, int channel)
{
    struct cq_handover handover;
    struct stat st;
    size_t len = fstat(handover_fd, &st) == 0 && st.st_size > 0 ? (size_t)st.st_size : 0;
    enum cq_err err =
        cq_handover_take(&handover, handover_fd, len, &c->start, &c->conf, &c->replied);

    cq_handover_wipe(&handover);
    if (err != CQ_OK)
        return cq_fail(&c->failure, "cannot take the configuration over: %s", cq_err_text(err));
    cq_logging_use(&c->start.logging);
    c->start.channel = channel;
    return true;
}

/* A key that the cache gave is looked at again here: what does not fit its ID is forgotten, and
 * asked for anew. */
static void verify_keys(struct cq_conf *conf)
{
    for (size_t i = 0; i < conf->num_peers; i++) {
        struct cq_conf_peer *p = &conf->peers[i];
        if (p->public_key == NULL || cq_public_key_verify(p->public_key, p->id) == CQ_OK)
            continue;
        free(p->public_key);
        p->public_key = NULL;
        struct cq_label label = cq_label_make(p);
        cq_log(CQ_EVENT_CACHED_KEY_WRONG, cq_field_text("interface", conf->interface),
               cq_label_peer(&label), cq_label_name(&label));
    }
}

static bool make_identity(struct child *c)
{
    struct cq_conf_error error;
    enum cq_err err = CQ_ERR_NOMEM;

    c->identity = cq_secret_alloc(sizeof(*c->identity));
    if (c->identity != NULL)
        err = cq_identity_init(c->identity, c->conf.private_key);

    cq_secret_free(c->conf.private_key);
    c->conf.private_key = NULL;
    if (err != CQ_OK)
        return cq_fail(&c->failure, "cannot derive the identity: %s", cq_err_text(err));
    if (cq_conf_check_own_id(&c->conf, c->identity->id, &error) != CQ_OK)
        return cq_fail(&c->failure, "%s", error.message);
    verify_keys(&c->conf);
    return true;
}

/*
 * Who moves packets for everybody does not stand in line with everybody for the processor:
 * otherwise an echo waits for the slices of the program that fills the tunnel. The workers keep
 * this priority, the thread that starts them gives it back. A priority that somebody chose stays.
 */
static void prefer_workers(struct child *c)
{
    enum { WORKER_NICE = -10 };

    c->nice = cq_process_nice();
    if (c->nice == 0)
        cq_process_set_nice(WORKER_NICE);
}

static bool give_up_privileges(struct child *c)
{
    prefer_workers(c);
    if (cq_sandbox_chroot(cq_file_runtime_dir()) != CQ_OK)
        return cq_fail(&c->failure, "cannot change the root directory: %s", strerror(errno));
    if (cq_sandbox_drop(&c->start.user, c->keep_memlock) != CQ_OK)
        return cq_fail(&c->failure, "cannot become user %u: %s", c->start.user.uid,
                       strerror(errno));
    if (cq_sandbox_hide() != CQ_OK)
        return cq_fail(&c->failure, "cannot switch core dumps off: %s", strerror(errno));
    return true;
}

static int compare_nothing(const void *a, const void *b)
{
    (void)a;
    (void)b;
    return 0;
}

/* The first large qsort() of a process asks the system how much memory there is, which the filter
 * does not allow; a change of the configuration sorts peers. */
static void ask_for_memory_size(void)
{
    char waste[4096] = {0};

    qsort(waste, sizeof(waste) / 8, 8, compare_nothing);
}

static bool start_serving(struct child *c)
{
    const char *what;
    enum cq_err err =
        cq_control_init(&c->control, &c->conf, c->replied, c->identity, &c->start, &what);

    cq_process_set_nice(c->nice);
    if (err != CQ_OK)
        return cq_fail(&c->failure, "%s: %s", what, cq_err_text(err));
    /* The peers' secrets are the engine's now. */
    for (size_t i = 0; i < c->conf.num_peers; i++) {
        c->conf.peers[i].psk_kept = c->conf.peers[i].psk != NULL;
        cq_secret_free(c->conf.peers[i].psk);
        c->conf.peers[i].psk = NULL;
    }
    free(c->replied);
    c->replied = NULL;
    cq_wipe_stack();
    ask_for_memory_size();
    if (cq_sandbox_filter() != CQ_OK)
        return cq_fail(&c->failure, "cannot install the system-call filter: %s", strerror(errno));
    return true;
}

/* All that is secret lies in the arena, libcrypto's as well, so it goes at once; nothing is used
 * afterwards. */
_Noreturn static void end(struct child *c, int status)
{
    cq_control_end(&c->control);
    cq_logging_end(c->conf.interface);
    cq_wipe_stack();
    cq_secret_shutdown();
    _exit(status);
}

void cq_child_run(const char *interface, int handover_fd, int channel)
{
    static struct child c; /* zeroed; large */

    cq_process_set_name(CQ_CHILD_NAME);
    /* The monitor decides when the node ends, also where a signal goes to all processes. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    /* A second heap would save the threads, which allocate next to nothing, no time; and setting it
     * up opens a file, which the system-call filter does not allow. */
    mallopt(M_ARENA_MAX, 1);
    bool ready = prepare_memory(&c, handover_fd) && take_handover(&c, handover_fd, channel) &&
                 make_identity(&c) && give_up_privileges(&c) && start_serving(&c);
    if (!ready) {
        if (cq_channel_send(channel, CQ_CHANNEL_FAILED, 0, NULL, c.failure.text,
                            strlen(c.failure.text)) != CQ_OK)
            cq_log(CQ_EVENT_START_FAILED, cq_field_text("interface", interface),
                   cq_field_text("reason", c.failure.text));
        end(&c, 1);
    }
    enum cq_err err =
        cq_channel_send(channel, CQ_CHANNEL_READY, 0, NULL, c.identity->id, CQ_PEER_ID_LEN);
    if (err == CQ_OK)
        cq_control_run(&c.control);
    end(&c, err == CQ_OK ? 0 : 1);
}
