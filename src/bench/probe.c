#include "bench/probe.h"

#include "base/bytes.h"
#include "base/secret.h"
#include "bench/nodes.h"
#include "crypto/crypto.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PEERS_MAX = 100000,
    PEERS_COUNTED = 1000, /* for the memory of one */
    PACKETS = 1000,
    SETTLE_SECS = 60, /* until nothing of a handshake is left but its session */
};

/* ---- parent ---- */

static bool read_number(int fd, double *out)
{
    char text[64];
    size_t used = 0;
    ssize_t n;
    char *end;

    while (used < sizeof(text) - 1 && (n = read(fd, text + used, sizeof(text) - 1 - used)) > 0)
        used += (size_t)n;
    text[used] = '\0';
    *out = strtod(text, &end);
    return end != text && *end == '\n';
}

static bool spawn(const char *what, int out_fd, pid_t *out_pid)
{
    char program[] = "/proc/self/exe", name[] = "cryprq", bench[] = "bench", probe[] = "--probe";
    char *text = strdup(what);
    char *argv[] = {name, bench, probe, text, NULL};
    char *env[] = {NULL};
    posix_spawn_file_actions_t actions;
    bool ok = text != NULL && posix_spawn_file_actions_init(&actions) == 0;

    if (ok) {
        ok = posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO) == 0 &&
             posix_spawn(out_pid, program, &actions, NULL, argv, env) == 0;
        posix_spawn_file_actions_destroy(&actions);
    }
    free(text);
    return ok;
}

bool cq_bench_probe_child(const char *what, double *out)
{
    int fds[2], status = 1;
    pid_t pid;

    if (pipe(fds) != 0)
        return false;
    bool ok = spawn(what, fds[1], &pid);
    close(fds[1]);
    if (ok) {
        ok = read_number(fds[0], out);
        ok = waitpid(pid, &status, 0) == pid && status == 0 && ok;
    }
    close(fds[0]);
    return ok;
}

/* ---- child ---- */

/* Peers that differ in their X25519 key and share an ML-KEM key: to an engine they are as good as
 * any, and take no time to make. */
static bool add_peers(struct cq_bench_nodes *nodes, unsigned num)
{
    struct cq_public_key key = nodes->b.identity.public_key;
    struct cq_prefix inner = {{CQ_FAMILY_IPV4, {11}}, 32};
    struct cq_peer_config config = {
        .key = &key,
        .endpoint = nodes->b.route.remote,
        .allowed_ips = &inner,
        .num_allowed_ips = 1,
    };
    uint32_t number;

    for (unsigned i = 0; i < num; i++) {
        cq_store_be32(inner.ip.bytes, UINT32_C(0x0b000000) + i);
        if (cq_crypto_random(key.s, sizeof(key.s)) != CQ_OK ||
            cq_peer_id(config.id, &key) != CQ_OK ||
            cq_engine_add_peer(nodes->a.engine, &config, nodes->now, &number) != CQ_OK)
            return false;
    }
    return true;
}

static size_t used(void)
{
    size_t in_use, mapped;

    cq_secret_usage(&in_use, &mapped);
    return in_use;
}

static bool measure_peer(struct cq_bench_nodes *nodes, double *out)
{
    size_t before = used();
    bool ok = add_peers(nodes, PEERS_COUNTED);

    *out = (double)(used() - before) / PEERS_COUNTED;
    return ok;
}

/* Both nodes have one session more afterwards. */
static bool measure_session(struct cq_bench_nodes *nodes, double *out)
{
    size_t before = used();
    bool ok = cq_bench_nodes_send(nodes);

    cq_bench_nodes_advance(nodes, SETTLE_SECS * CQ_NS_PER_S);
    *out = ((double)used() - (double)before) / 2;
    return ok && cq_bench_nodes_send(nodes);
}

/* Of this program alone: what getrusage tells includes the process that it was started by. */
static bool read_peak(double *out)
{
    FILE *f = fopen("/proc/self/status", "re");
    unsigned long kib = 0;
    char line[256];

    while (f != NULL && kib == 0 && fgets(line, sizeof(line), f) != NULL)
        (void)!sscanf(line, "VmHWM: %lu kB", &kib);
    if (f != NULL)
        fclose(f);
    *out = (double)kib * 1024;
    return kib > 0;
}

static bool measure_rss(struct cq_bench_nodes *nodes, unsigned peers, double *out)
{
    bool ok = add_peers(nodes, peers - 1);

    for (int i = 0; ok && i < PACKETS; i++)
        ok = cq_bench_nodes_send(nodes);
    return ok && read_peak(out);
}

enum cq_err cq_bench_probe_self(const char *what, double *out)
{
    unsigned peers = 0;
    bool peer = strcmp(what, "peer") == 0, session = strcmp(what, "session") == 0, ok = false;

    if (!peer && !session &&
        (sscanf(what, "rss/%u", &peers) != 1 || peers == 0 || peers > PEERS_MAX))
        return CQ_ERR_NOTFOUND;
    struct cq_bench_nodes *nodes = cq_bench_nodes_new(CQ_SUITE_AES_256_GCM, true);
    if (nodes != NULL)
        ok = peer      ? measure_peer(nodes, out)
             : session ? measure_session(nodes, out)
                       : measure_rss(nodes, peers, out);
    cq_bench_nodes_free(nodes);
    return ok ? CQ_OK : CQ_ERR_STATE;
}
