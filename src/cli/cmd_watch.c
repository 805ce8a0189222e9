#include "base/log.h"
#include "cli/cli.h"
#include "conf/control.h"
#include "conf/feed.h"
#include "os/unix.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { OPTION_JSON, OPTION_LEVEL, OPTION_WAIT };
enum { MAX_SOURCES = 64 };

static const struct cq_cli_option options[] = {
    [OPTION_JSON] = {"json", false},
    [OPTION_LEVEL] = {"level", true},
    [OPTION_WAIT] = {"wait", false},
    {NULL, false},
};

/* The feed of one node. */
struct source {
    char name[CQ_CONF_INTERFACE_MAX + 1];
    int fd; /* -1: it does not run */
    bool greeted;
    size_t len;
    char bytes[2 * CQ_FEED_LINE_MAX]; /* not yet a whole line */
};

struct watch {
    const char *name; /* NULL: all */
    bool json, wait, colour;
    enum cq_level level;
    struct source *sources[MAX_SOURCES];
    size_t num_sources;
    bool failed; /* one of them refused */
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

/* Signals are delivered while poll waits, and only then. */
static void take_signals(sigset_t *out_while_waiting)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, out_while_waiting);
    sigdelset(out_while_waiting, SIGINT);
    sigdelset(out_while_waiting, SIGTERM);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* ---- one line ---- */

static const char *colour_of(enum cq_level level)
{
    static const char *const colours[] = {
        [CQ_LOG_ERROR] = "\x1b[31m\x1b[1m",
        [CQ_LOG_WARN] = "\x1b[33m",
        [CQ_LOG_INFO] = "\x1b[32m",
        [CQ_LOG_DEBUG] = "\x1b[2m",
    };
    return colours[level];
}

/* The time of day here, from "2026-01-02T03:04:05.678901Z"; as it is where it is something else. */
static const char *local_time(const char *text, char out[32])
{
    struct tm tm = {0}, local;
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    time_t when = end != NULL ? timegm(&tm) : 0;

    if (end == NULL || localtime_r(&when, &local) == NULL)
        return text;
    size_t len = strftime(out, 32, "%H:%M:%S", &local);
    snprintf(out + len, 32 - len, "%.4s", end); /* milliseconds */
    return out;
}

static void print_text(const struct watch *w, const struct cq_feed_event *e)
{
    char when[32], peer[4 * CQ_FEED_NAME_MAX + 3];

    if (e->peer[0] != '\0')
        cq_logline_quote(e->peer, peer, sizeof(peer));
    printf("%s %s%-5s %-18s%s %s%s%s%s%s\n", local_time(e->time, when),
           w->colour ? colour_of(e->level) : "", cq_level_name(e->level), e->event,
           w->colour ? "\x1b[0m" : "", e->interface, e->peer[0] != '\0' ? " " : "",
           e->peer[0] != '\0' ? peer : "", e->rest[0] != '\0' ? " " : "", e->rest);
}

/* False: this node does not let us watch, and has been told about. */
static bool take_greeting(const struct source *s, const char *line, size_t len)
{
    struct cq_control_response response;
    char reason[CQ_CONTROL_ERROR_MAX + 1];
    enum cq_err err = cq_control_response_decode(&response, line, len, reason);

    if (err == CQ_OK && response.kind == CQ_CONTROL_KIND_WATCHING)
        return true;
    if (err != CQ_OK)
        cq_cli_fail("%s: %s", s->name, reason);
    else
        cq_cli_fail("%s: %s", s->name,
                    response.kind == CQ_CONTROL_KIND_ERROR ? response.error
                                                           : "the node answered another question");
    cq_control_response_free(&response);
    return false;
}

static bool take_line(const struct watch *w, struct source *s, const char *line, size_t len)
{
    static struct cq_feed_event event; /* large */

    if (!s->greeted) {
        s->greeted = true;
        return take_greeting(s, line, len);
    }
    if (cq_feed_parse(&event, line, len) != CQ_OK)
        return true; /* of a newer version, perhaps */
    if (w->json)
        fwrite(line, 1, len, stdout);
    else
        print_text(w, &event);
    return true;
}

/* ---- the feeds ---- */

static void close_source(struct source *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    s->len = 0;
    s->greeted = false;
}

/* False: the feed has ended. */
static bool read_source(struct watch *w, struct source *s)
{
    ssize_t n = recv(s->fd, s->bytes + s->len, sizeof(s->bytes) - s->len, MSG_DONTWAIT);
    char *begin = s->bytes, *end;

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    if (n <= 0)
        return false;
    s->len += (size_t)n;
    while ((end = memchr(begin, '\n', s->len - (size_t)(begin - s->bytes))) != NULL) {
        if (!take_line(w, s, begin, (size_t)(end + 1 - begin))) {
            w->failed = true;
            return false;
        }
        begin = end + 1;
    }
    s->len -= (size_t)(begin - s->bytes);
    memmove(s->bytes, begin, s->len);
    if (s->len == sizeof(s->bytes))
        s->len = 0; /* no line of ours is that long */
    fflush(stdout);
    return true;
}

/* CQ_ERR_NOTFOUND: it does not run; anything else after a message. */
static enum cq_err open_source(const struct watch *w, struct source *s)
{
    struct cq_control_request request = {.command = CQ_CONTROL_WATCH, .level = w->level};
    char line[CQ_CONTROL_REQUEST_MAX];
    size_t len;
    enum cq_err err = cq_unix_connect(s->name, &s->fd);

    if (err != CQ_OK) {
        s->fd = -1;
        if (err == CQ_ERR_PERM)
            cq_cli_fail("%s: not allowed to ask this node (try it as root)", s->name);
        else if (err != CQ_ERR_NOTFOUND)
            cq_cli_fail("%s: %s", s->name, err == CQ_ERR_IO ? strerror(errno) : cq_err_text(err));
        return err;
    }
    err = cq_control_request_encode(&request, line, sizeof(line), &len);
    if (err == CQ_OK)
        (void)!send(s->fd, line, len, MSG_NOSIGNAL); /* what went wrong the answer says */
    return err;
}

static struct source *find_source(struct watch *w, const char *name)
{
    for (size_t i = 0; i < w->num_sources; i++)
        if (strcmp(w->sources[i]->name, name) == 0)
            return w->sources[i];
    struct source *s = w->num_sources < MAX_SOURCES ? calloc(1, sizeof(*s)) : NULL;
    if (s == NULL)
        return NULL;
    snprintf(s->name, sizeof(s->name), "%s", name);
    s->fd = -1;
    return w->sources[w->num_sources++] = s;
}

/* Connects to what runs and is not watched yet. */
static enum cq_err look_for_nodes(struct watch *w)
{
    enum cq_err result = CQ_OK;
    char **names;
    size_t num;

    if (w->name != NULL) {
        struct source *s = find_source(w, w->name);
        if (s == NULL)
            return CQ_ERR_NOMEM;
        return s->fd >= 0 ? CQ_OK : open_source(w, s);
    }
    if (cq_unix_list(&names, &num) != CQ_OK)
        return CQ_ERR_IO;
    for (size_t i = 0; i < num; i++) {
        struct source *s = find_source(w, names[i]);
        if (s != NULL && s->fd < 0) {
            enum cq_err err = open_source(w, s);
            if (err != CQ_OK && err != CQ_ERR_NOTFOUND)
                result = err;
        }
        free(names[i]);
    }
    free(names);
    return result;
}

static size_t num_open(const struct watch *w)
{
    size_t num = 0;

    for (size_t i = 0; i < w->num_sources; i++)
        num += w->sources[i]->fd >= 0;
    return num;
}

static void wait_and_read(struct watch *w, const sigset_t *while_waiting)
{
    const struct timespec second = {.tv_sec = 1};
    struct pollfd p[MAX_SOURCES];

    for (size_t i = 0; i < w->num_sources; i++)
        p[i] = (struct pollfd){.fd = w->sources[i]->fd, .events = POLLIN};
    if (ppoll(p, w->num_sources, &second, while_waiting) <= 0)
        return;
    for (size_t i = 0; i < w->num_sources; i++) {
        struct source *s = w->sources[i];
        if (p[i].revents == 0 || read_source(w, s))
            continue;
        /* One that is just ending still takes connections. */
        bool tell = !w->failed && (s->greeted || (w->name != NULL && !w->wait));
        close_source(s);
        if (tell)
            cq_cli_fail("%s: the node has ended%s", s->name,
                        w->wait ? "; waiting for it to come back" : "");
    }
}

static int watch_nodes(struct watch *w)
{
    sigset_t while_waiting;
    bool first = true;

    take_signals(&while_waiting);
    while (!interrupted) {
        enum cq_err err = first || w->wait || w->name == NULL ? look_for_nodes(w) : CQ_OK;
        if (w->failed || (err != CQ_OK && err != CQ_ERR_NOTFOUND))
            return CQ_EXIT_FAILURE;
        if (first && num_open(w) == 0) {
            if (!w->wait && w->name != NULL)
                return cq_cli_fail("%s: no such interface is running", w->name);
            if (!w->wait)
                return cq_cli_fail("no interface is running");
            cq_cli_fail("%s: not running yet; waiting", w->name != NULL ? w->name : "all");
        }
        if (!first && !w->wait && num_open(w) == 0)
            return CQ_EXIT_FAILURE; /* it was said which one ended */
        first = false;
        wait_and_read(w, &while_waiting);
        if (ferror(stdout))
            return CQ_EXIT_FAILURE;
    }
    return CQ_EXIT_OK;
}

static int take_arguments(struct watch *w, int argc, char **argv)
{
    struct cq_cli_args args = {.command = "watch", .argc = argc, .argv = argv, .at = 1};
    bool named = false;
    int option;

    while ((option = cq_cli_next(&args, options)) != CQ_CLI_END) {
        switch (option) {
        case OPTION_JSON:
            w->json = true;
            break;
        case OPTION_WAIT:
            w->wait = true;
            break;
        case OPTION_LEVEL:
            if (cq_log_level_parse(args.value, &w->level) != CQ_OK)
                return cq_cli_usage("watch", "--level is not error, warn, info or debug");
            break;
        case CQ_CLI_ARGUMENT:
            if (named)
                return cq_cli_usage("watch", "too many arguments");
            named = true;
            w->name = strcmp(args.value, "all") != 0 ? args.value : NULL;
            break;
        default:
            return CQ_EXIT_USAGE;
        }
    }
    if (w->name != NULL && !cq_conf_interface_is_valid(w->name))
        return cq_cli_usage("watch", "%.40s is not an interface's name", w->name);
    return CQ_EXIT_OK;
}

static int run(int argc, char **argv)
{
    const char *no_colour = getenv("NO_COLOR");
    struct watch w = {
        .level = CQ_LOG_INFO,
        .colour = isatty(STDOUT_FILENO) && (no_colour == NULL || no_colour[0] == '\0'),
    };
    int result = take_arguments(&w, argc, argv);

    if (result == CQ_EXIT_OK)
        result = watch_nodes(&w);
    for (size_t i = 0; i < w.num_sources; i++) {
        close_source(w.sources[i]);
        free(w.sources[i]);
    }
    return result;
}

const struct cq_cli_command cq_cmd_watch = {
    .name = "watch",
    .arguments = "[NAME|all] [--json] [--level LEVEL] [--wait]",
    .summary = "Follow the events of running interfaces",
    .help =
        "Shows what happens from now on, until Ctrl-C; it ends with status 1 when the node (the "
        "last one) has\n"
        "ended. Without a NAME, all interfaces are watched, those that come later as well.\n"
        "\n"
        "  --json          one JSON object per event\n"
        "  --level LEVEL   error, warn, info (default) or debug, whatever the log's own level is\n"
        "  --wait          wait for the interface to run, and for it to come back\n"
        "\n"
        "Events and fields are explained in docs/events.md. Colours are used on a terminal, unless "
        "NO_COLOR is set.\n",
    .run = run,
};
