#include "node/metrics_http.h"

#include "conf/status.h"
#include "node/metrics_assets.h"
#include "node/metrics_page.h"
#include "node/metrics_request.h"
#include "node/report.h"
#include "os/clock.h"

#include <dlfcn.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    MAX_CONNECTIONS = 64,
    MEMORY_OF_CONNECTION = 16 * 1024, /* bounds the head of a request */
    IDLE_SECS = 5,
    MAX_OUTSTANDING = 128 * 1024 * 1024, /* bytes of answers that were not read yet */
};

/* However it trickles: no connection lasts longer. */
static const cq_time life_of_connection = 30 * CQ_NS_PER_S;
static const cq_time run_again = 50 * CQ_NS_PER_MS;

/* ---- the library ---- */

#define FUNCTIONS(X)                                                                               \
    X(start_daemon)                                                                                \
    X(get_daemon_info)                                                                             \
    X(get_timeout)                                                                                 \
    X(run)                                                                                         \
    X(get_connection_info)                                                                         \
    X(lookup_connection_value)                                                                     \
    X(create_response_from_buffer_with_free_callback_cls)                                          \
    X(add_response_header)                                                                         \
    X(queue_response)                                                                              \
    X(destroy_response)

static struct {
#define X(name) __typeof__(MHD_##name) *name;
    FUNCTIONS(X)
#undef X
} mhd;

enum cq_err cq_metrics_http_load(void)
{
    static const struct {
        const char *name;
        void *slot;
    } functions[] = {
#define X(name) {"MHD_" #name, &mhd.name},
        FUNCTIONS(X)
#undef X
    };
    void *library = dlopen("libmicrohttpd.so.12", RTLD_NOW | RTLD_LOCAL);

    for (size_t i = 0; library != NULL && i < sizeof(functions) / sizeof(functions[0]); i++) {
        void *function = dlsym(library, functions[i].name);
        if (function == NULL)
            return CQ_ERR_NOTFOUND;
        memcpy(functions[i].slot, &function, sizeof(function));
    }
    return library != NULL ? CQ_OK : CQ_ERR_NOTFOUND;
}

/* ---- answers ---- */

struct connection {
    int fd; /* -1: none */
    cq_time ends;
};

struct cq_metrics_http {
    struct cq_metrics_http_config config;
    struct MHD_Daemon *daemon;
    int epoll_fd;
    struct connection connections[MAX_CONNECTIONS];
    cq_time changed; /* when one came or went last */
};

/* Of all answers that the library holds. */
static size_t outstanding;

struct body {
    size_t len;
    char data[];
};

static void free_body(void *ctx)
{
    struct body *body = ctx;

    outstanding -= body->len;
    free(body);
}

struct header {
    const char *name, *value;
};

enum { MAX_HEADERS = 4 };

struct answer {
    unsigned status;
    const char *type;                   /* of the content */
    const char *policy;                 /* NULL: nothing may be loaded */
    const char *caching;                /* NULL: nowhere */
    struct header headers[MAX_HEADERS]; /* more of them, up to one without a name */
};

static const char text_type[] = "text/plain; charset=utf-8";

static void add_headers(struct MHD_Response *response, const struct answer *answer)
{
    const char *policy = answer->policy != NULL
                             ? answer->policy
                             : "default-src 'none'; frame-ancestors 'none'; sandbox";

    mhd.add_response_header(response, "Content-Type", answer->type);
    mhd.add_response_header(response, "Cache-Control",
                            answer->caching != NULL ? answer->caching : "no-store");
    mhd.add_response_header(response, "X-Content-Type-Options", "nosniff");
    mhd.add_response_header(response, "X-Frame-Options", "DENY");
    mhd.add_response_header(response, "Referrer-Policy", "no-referrer");
    mhd.add_response_header(response, "Content-Security-Policy", policy);
    mhd.add_response_header(response, "Cross-Origin-Resource-Policy", "same-origin");
    for (int i = 0; i < MAX_HEADERS && answer->headers[i].name != NULL; i++)
        mhd.add_response_header(response, answer->headers[i].name, answer->headers[i].value);
}

/* The library leaves the body out where the method is HEAD. */
static enum MHD_Result respond(struct MHD_Connection *connection, const struct answer *answer,
                               const char *data, size_t len)
{
    struct body *body = malloc(sizeof(*body) + len);

    if (body == NULL)
        return MHD_NO;
    body->len = len;
    memcpy(body->data, data, len);
    struct MHD_Response *response =
        mhd.create_response_from_buffer_with_free_callback_cls(len, body->data, free_body, body);
    if (response == NULL) {
        free(body);
        return MHD_NO;
    }
    outstanding += len;
    add_headers(response, answer);
    enum MHD_Result result = mhd.queue_response(connection, answer->status, response);
    mhd.destroy_response(response);
    return result;
}

static enum MHD_Result respond_line(struct MHD_Connection *connection, unsigned status,
                                    const char *line)
{
    struct answer answer = {.status = status, .type = text_type};

    return respond(connection, &answer, line, strlen(line));
}

static enum MHD_Result respond_text(struct MHD_Connection *connection, const struct answer *answer,
                                    struct cq_text *text)
{
    enum MHD_Result result;

    if (text->failed)
        result = respond_line(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory\n");
    else
        result = respond(connection, answer, text->data, text->len);
    cq_text_free(text);
    return result;
}

/* ---- paths ---- */

typedef enum MHD_Result path_fn(struct cq_metrics_http *http, struct MHD_Connection *connection);

static const char *header_of(struct MHD_Connection *connection, const char *name)
{
    return mhd.lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static bool look(struct cq_metrics_http *http, struct cq_metrics_view *out, bool with_usage)
{
    return http->config.look(http->config.ctx, out, with_usage);
}

static enum MHD_Result respond_silence(struct MHD_Connection *connection)
{
    return respond_line(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "the node does not answer\n");
}

static enum MHD_Result serve_metrics(struct cq_metrics_http *http,
                                     struct MHD_Connection *connection)
{
    bool open_metrics = cq_metrics_wants_open_metrics(header_of(connection, "Accept"));
    struct answer answer = {
        .status = MHD_HTTP_OK,
        .type = open_metrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                             : "text/plain; version=0.0.4; charset=utf-8",
        .headers = {{"Vary", "Accept"}},
    };
    struct cq_metrics_view view;
    struct cq_text text = {0};

    if (!look(http, &view, true))
        return respond_silence(connection);
    cq_metrics_render(&text, &view, open_metrics);
    return respond_text(connection, &answer, &text);
}

static enum MHD_Result serve_health(struct cq_metrics_http *http, struct MHD_Connection *connection)
{
    (void)http;
    return respond_line(connection, MHD_HTTP_OK, "alive\n");
}

static enum MHD_Result serve_readiness(struct cq_metrics_http *http,
                                       struct MHD_Connection *connection)
{
    struct cq_metrics_view view;

    if (!look(http, &view, false))
        return respond_silence(connection);
    if (!view.ready)
        return respond_line(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
                            "the interface is starting or ending\n");
    return respond_line(connection, MHD_HTTP_OK, "ready\n");
}

static void fill_processes(struct cq_node_status *out, const struct cq_metrics_view *view)
{
    static const char *const names[CQ_METRICS_PROCESSES] = {
        [CQ_METRICS_NODE] = "node",
        [CQ_METRICS_SERVER] = "metrics",
        [CQ_METRICS_MONITOR] = "monitor",
    };

    for (int i = 0; i < CQ_METRICS_PROCESSES; i++) {
        struct cq_status_process *p = &out->processes[out->num_processes];
        if (view->usage[i].num_threads == 0)
            continue;
        strcpy(p->name, names[i]);
        p->cpu_ms = view->usage[i].cpu_ms;
        p->resident_bytes = view->usage[i].resident_bytes;
        out->num_processes++;
    }
}

static enum cq_err fill_status(struct cq_node_status *out, const struct cq_metrics_view *view)
{
    cq_report_node(out, view->interface, view->node);
    fill_processes(out, view);
    if (view->num_peers == 0)
        return CQ_OK;
    out->peers = calloc(view->num_peers, sizeof(*out->peers));
    if (out->peers == NULL)
        return CQ_ERR_NOMEM;
    for (size_t i = 0; i < view->num_peers; i++) {
        const struct cq_snapshot_info *info = &view->infos[i];
        const char *host = view->texts + info->host;
        /* Lent: nothing of it is changed or freed. */
        struct cq_conf_peer peer = {
            .allowed_ips = (struct cq_prefix *)view->prefixes + info->first_prefix,
            .num_allowed_ips = info->num_prefixes,
            .endpoint = {.host = host[0] != '\0' ? (char *)host : NULL, .port = info->port},
        };
        memcpy(peer.name, info->name, sizeof(peer.name));
        enum cq_err err = cq_report_peer(&out->peers[out->num_peers++], &peer, &view->peers[i],
                                         view->node->now, view->node->wall);
        if (err != CQ_OK)
            return err;
    }
    return CQ_OK;
}

static enum MHD_Result serve_status(struct cq_metrics_http *http, struct MHD_Connection *connection)
{
    struct answer answer = {
        .status = MHD_HTTP_OK, .type = "application/json", .headers = {{"Vary", "Accept"}}};
    const char *accept = header_of(connection, "Accept");
    /* Who wants nothing else is a program; others may be people. */
    bool pretty = accept == NULL || strcmp(accept, "application/json") != 0;
    struct cq_metrics_view view;
    struct cq_node_status *status = calloc(1, sizeof(*status));
    struct cq_text text = {0};
    char *json = NULL;
    size_t len = 0;

    if (status == NULL || !look(http, &view, true)) {
        free(status);
        return respond_silence(connection);
    }
    if (fill_status(status, &view) == CQ_OK &&
        cq_node_status_to_json(status, pretty, &json, &len) == CQ_OK) {
        cq_text_add(&text, json, len);
        cq_text_put(&text, "\n");
    } else {
        text.failed = true;
    }
    free(json);
    cq_node_status_free(status);
    free(status);
    return respond_text(connection, &answer, &text);
}

static struct answer page_answer(unsigned status)
{
    return (struct answer){
        .status = status,
        .type = "text/html; charset=utf-8",
        .policy = cq_metrics_page_policy,
        .headers = {{"Permissions-Policy", cq_metrics_page_permissions},
                    {"Cross-Origin-Opener-Policy", "same-origin"}},
    };
}

static enum MHD_Result serve_page(struct cq_metrics_http *http, struct MHD_Connection *connection)
{
    struct answer answer = page_answer(MHD_HTTP_OK);
    struct cq_metrics_view view;
    struct cq_node_status *status = calloc(1, sizeof(*status));
    struct cq_text text = {0};

    if (status == NULL || !look(http, &view, true)) {
        free(status);
        return respond_silence(connection);
    }
    if (fill_status(status, &view) == CQ_OK)
        cq_metrics_page(&text, status, view.ready);
    else
        text.failed = true;
    cq_node_status_free(status);
    free(status);
    return respond_text(connection, &answer, &text);
}

/* Scripts and styles of the page: the same for all nodes of this version. */
static enum MHD_Result serve_asset(struct MHD_Connection *connection,
                                   const struct cq_metrics_asset *asset)
{
    bool packed = cq_metrics_accepts_gzip(header_of(connection, "Accept-Encoding"));
    const struct cq_metrics_body *body = packed ? &asset->gzip : &asset->plain;
    struct answer answer = {
        .status = MHD_HTTP_OK,
        .type = asset->type,
        .caching = "no-cache",
        .headers = {{"ETag", body->etag},
                    {"Vary", "Accept-Encoding"},
                    {packed ? "Content-Encoding" : NULL, "gzip"}},
    };

    if (!cq_metrics_has_etag(header_of(connection, "If-None-Match"), body->etag))
        return respond(connection, &answer, (const char *)body->data, body->len);
    answer.status = MHD_HTTP_NOT_MODIFIED;
    answer.headers[2].name = NULL;
    return respond(connection, &answer, "", 0);
}

static const struct cq_metrics_asset *find_asset(const char *url)
{
    for (size_t i = 0; i < cq_metrics_num_assets; i++)
        if (strcmp(url, cq_metrics_assets[i].path) == 0)
            return &cq_metrics_assets[i];
    return NULL;
}

static const struct {
    const char *path;
    path_fn *serve;
} paths[] = {
    {"/", serve_page},
    {"/metrics", serve_metrics},
    {"/healthz", serve_health},
    {"/readyz", serve_readiness},
    {"/api/v1/status", serve_status},
};

/* ---- requests ---- */

static enum MHD_Result refuse_method(struct MHD_Connection *connection)
{
    struct answer answer = {.status = MHD_HTTP_METHOD_NOT_ALLOWED,
                            .type = text_type,
                            .headers = {{"Allow", "GET, HEAD"}}};

    return respond(connection, &answer, "only GET and HEAD\n", strlen("only GET and HEAD\n"));
}

/* A browser cannot be told to send a token with the page itself: for the page comes one that asks
 * for it. */
static enum MHD_Result ask_for_token(struct MHD_Connection *connection, const char *url)
{
    static const struct header challenge = {"WWW-Authenticate", "Bearer realm=\"cryprq\""};
    struct answer answer = {
        .status = MHD_HTTP_UNAUTHORIZED, .type = text_type, .headers = {challenge}};
    struct cq_text text = {0};

    if (strcmp(url, "/") == 0) {
        answer = page_answer(MHD_HTTP_UNAUTHORIZED);
        answer.headers[2] = challenge;
        cq_metrics_page_locked(&text);
        return respond_text(connection, &answer, &text);
    }
    return respond(connection, &answer, "a token is needed\n", strlen("a token is needed\n"));
}

/* Called when the head of a request is there; what may come as its body is never read. */
static enum MHD_Result handle(void *ctx, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *data_len, void **request)
{
    struct cq_metrics_http *http = ctx;

    (void)version;
    (void)data;
    (void)data_len;
    (void)request;
    if (outstanding > MAX_OUTSTANDING)
        return MHD_NO;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return refuse_method(connection);
    if (!cq_metrics_host_is_ours(header_of(connection, "Host"), &http->config.bound))
        return respond_line(connection, MHD_HTTP_FORBIDDEN,
                            "this server goes by its address or as localhost\n");
    const struct cq_metrics_asset *asset = find_asset(url);
    if (asset != NULL)
        return serve_asset(connection, asset);
    if (http->config.token[0] != '\0' &&
        !cq_metrics_token_is_right(header_of(connection, "Authorization"), http->config.token))
        return ask_for_token(connection, url);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (strcmp(url, paths[i].path) == 0)
            return paths[i].serve(http, connection);
    return respond_line(connection, MHD_HTTP_NOT_FOUND, "there is no such page\n");
}

/* No path has an escape in it, and one that makes a NUL would end the text there. */
static size_t leave_escaped(void *ctx, struct MHD_Connection *connection, char *text)
{
    (void)ctx;
    (void)connection;
    return strlen(text);
}

/* ---- connections ---- */

static void note_connection(void *ctx, struct MHD_Connection *connection, void **socket_ctx,
                            enum MHD_ConnectionNotificationCode what)
{
    struct cq_metrics_http *http = ctx;
    struct connection *c = *socket_ctx;

    http->changed = cq_clock_now();
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (c != NULL)
            c->fd = -1;
        return;
    }
    const union MHD_ConnectionInfo *info =
        mhd.get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    for (int i = 0; info != NULL && i < MAX_CONNECTIONS; i++) {
        c = &http->connections[i];
        if (c->fd >= 0)
            continue;
        *c = (struct connection){info->connect_fd, http->changed + life_of_connection};
        *socket_ctx = c;
        return;
    }
}

static cq_time next_end(const struct cq_metrics_http *http)
{
    cq_time next = CQ_TIME_NEVER;

    for (int i = 0; i < MAX_CONNECTIONS; i++)
        if (http->connections[i].fd >= 0)
            next = cq_time_min(next, http->connections[i].ends);
    return next;
}

/* The library sees the end of what it reads, and closes. */
static void end_old(struct cq_metrics_http *http, cq_time now)
{
    for (int i = 0; i < MAX_CONNECTIONS; i++) {
        struct connection *c = &http->connections[i];
        if (c->fd < 0 || now < c->ends)
            continue;
        (void)shutdown(c->fd, SHUT_RDWR);
        c->ends = CQ_TIME_NEVER;
    }
}

enum cq_err cq_metrics_http_new(struct cq_metrics_http **out,
                                const struct cq_metrics_http_config *config)
{
    struct cq_metrics_http *http = calloc(1, sizeof(*http));

    *out = NULL;
    if (http == NULL)
        return CQ_ERR_NOMEM;
    http->config = *config;
    for (int i = 0; i < MAX_CONNECTIONS; i++)
        http->connections[i].fd = -1;
    http->daemon = mhd.start_daemon(
        MHD_USE_EPOLL, 0, NULL, NULL, handle, http, MHD_OPTION_LISTEN_SOCKET, config->listener,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)MAX_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)IDLE_SECS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_OF_CONNECTION,
        MHD_OPTION_NOTIFY_CONNECTION, note_connection, http, MHD_OPTION_UNESCAPE_CALLBACK,
        leave_escaped, NULL, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    const union MHD_DaemonInfo *info = NULL;
    if (http->daemon != NULL)
        info = mhd.get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL) {
        free(http);
        return CQ_ERR_NOMEM;
    }
    http->epoll_fd = info->epoll_fd;
    *out = http;
    return CQ_OK;
}

int cq_metrics_http_fd(const struct cq_metrics_http *http)
{
    return http->epoll_fd;
}

cq_time cq_metrics_http_next(struct cq_metrics_http *http, cq_time now)
{
    MHD_UNSIGNED_LONG_LONG ms = 0;
    cq_time next = next_end(http);

    if (mhd.get_timeout(http->daemon, &ms) == MHD_YES)
        next = cq_time_min(next, now + (cq_time)ms * CQ_NS_PER_MS);
    /* With all connections taken the library listens no more, and begins again some runs after one
     * was closed: for which nothing else would wake us. */
    if (now - http->changed < CQ_NS_PER_S)
        next = cq_time_min(next, now + run_again);
    return next;
}

void cq_metrics_http_run(struct cq_metrics_http *http, cq_time now)
{
    end_old(http, now);
    (void)mhd.run(http->daemon);
}
