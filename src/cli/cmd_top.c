#include "cli/cli.h"
#include "cli/client.h"
#include "cli/term.h"
#include "cli/topview.h"
#include "conf/control.h"
#include "os/clock.h"
#include "os/unix.h"
#include "os/usage.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * The node is asked once a second and not waited for: keys, signals and the size of the terminal
 * are served meanwhile.
 */

enum { READ_STEP = 64 * 1024, ESCAPE = 27, TAB = 9, BACKSPACE = 8, DELETE = 127 };

static const cq_time period = CQ_NS_PER_S;

/* A question that is under way. */
struct question {
    int fd; /* -1: none */
    cq_time at;
    char *answer;
    size_t len, room;
    bool has_usage;
    struct cq_usage usage;
};

struct top {
    char name[CQ_CONF_INTERFACE_MAX + 1];
    struct cq_top_view view;
    struct cq_top_sample samples[2]; /* the older one first */
    int num_samples;
    struct question question;
    cq_time next; /* question */
    char message[CQ_CONF_INTERFACE_MAX + CQ_CONTROL_ERROR_MAX + 8];
};

static void end_question(struct question *q)
{
    if (q->fd >= 0)
        close(q->fd);
    free(q->answer);
    *q = (struct question){.fd = -1};
}

static void forget_samples(struct top *t)
{
    for (int i = 0; i < 2; i++)
        cq_node_status_free(&t->samples[i].status);
    memset(t->samples, 0, sizeof(t->samples));
    t->num_samples = 0;
}

static void tell(struct top *t, const char *text)
{
    snprintf(t->message, sizeof(t->message), "%s: %s", t->name, text);
    t->view.message = t->message;
}

static void ask(struct top *t, cq_time now)
{
    static const char line[] = "{\"version\":1,\"command\":\"show\"}\n";
    struct question *q = &t->question;
    enum cq_err err = cq_unix_connect(t->name, &q->fd);

    t->next = now + period;
    q->at = now;
    if (err != CQ_OK) {
        q->fd = -1;
        tell(t, err == CQ_ERR_NOTFOUND ? "not running; waiting"
                : err == CQ_ERR_PERM   ? "not allowed to ask this node (try it as root)"
                                       : cq_err_text(err));
        return;
    }
    q->has_usage = cq_usage_of_node(q->fd, &q->usage) == CQ_OK;
    (void)!send(q->fd, line, strlen(line), MSG_NOSIGNAL); /* else there is no answer */
}

static void take_answer(struct top *t)
{
    struct question *q = &t->question;
    struct cq_control_response response;
    char reason[CQ_CONTROL_ERROR_MAX + 1] = "no answer";
    enum cq_err err = cq_control_response_decode(&response, q->answer, q->len, reason);

    if (err != CQ_OK || response.kind != CQ_CONTROL_KIND_STATUS) {
        tell(t, err == CQ_OK && response.kind == CQ_CONTROL_KIND_ERROR ? response.error : reason);
        cq_control_response_free(&response);
        return;
    }
    t->view.message = NULL;
    /* After a restart counters begin anew. */
    if (t->num_samples > 0 &&
        response.status.uptime_secs < t->samples[t->num_samples - 1].status.uptime_secs)
        forget_samples(t);
    if (t->num_samples == 2) {
        cq_node_status_free(&t->samples[0].status);
        t->samples[0] = t->samples[1];
        t->num_samples = 1;
    }
    t->samples[t->num_samples++] = (struct cq_top_sample){.at = q->at,
                                                          .status = response.status,
                                                          .has_usage = q->has_usage,
                                                          .cpu = q->usage.cpu,
                                                          .rss_bytes = q->usage.rss_bytes};
}

static void read_answer(struct top *t)
{
    struct question *q = &t->question;

    if (q->room - q->len < READ_STEP) {
        size_t room = 2 * q->room + (size_t)2 * READ_STEP;
        char *grown = room <= CQ_CONTROL_RESPONSE_MAX ? realloc(q->answer, room) : NULL;
        if (grown == NULL) {
            end_question(q);
            return;
        }
        q->answer = grown;
        q->room = room;
    }
    ssize_t n = recv(q->fd, q->answer + q->len, READ_STEP, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    q->len += n > 0 ? (size_t)n : 0;
    if (n > 0 && memchr(q->answer + q->len - n, '\n', (size_t)n) == NULL)
        return;
    if (q->len > 0)
        take_answer(t);
    end_question(q);
}

static void draw(struct top *t)
{
    static const struct cq_top_sample none;
    const struct cq_top_sample *now = t->num_samples > 0 ? &t->samples[t->num_samples - 1] : &none;
    size_t len;

    t->view.size = cq_term_size();
    char *text = cq_top_draw(&t->view, t->num_samples == 2 ? &t->samples[0] : NULL, now, &len);
    if (text != NULL)
        cq_term_write(text, len);
    free(text);
}

/* ---- keys ---- */

static void edit_filter(struct cq_top_view *view, int key)
{
    size_t len = strlen(view->filter);

    if (key == ESCAPE)
        view->filter[0] = '\0';
    if (key == ESCAPE || key == '\n' || key == '\r')
        view->filtering = false;
    else if ((key == BACKSPACE || key == DELETE) && len > 0)
        view->filter[len - 1] = '\0';
    else if (key >= ' ' && key < DELETE && len < CQ_TOP_FILTER_MAX)
        view->filter[len] = (char)key, view->filter[len + 1] = '\0';
}

/* The one behind ours, or the first. False: none runs. */
static bool next_interface(char name[CQ_CONF_INTERFACE_MAX + 1])
{
    char **names;
    size_t num, chosen = 0;

    if (cq_unix_list(&names, &num) != CQ_OK || num == 0)
        return false;
    while (chosen < num && strcmp(names[chosen], name) <= 0)
        chosen++;
    snprintf(name, CQ_CONF_INTERFACE_MAX + 1, "%s", names[chosen < num ? chosen : 0]);
    for (size_t i = 0; i < num; i++)
        free(names[i]);
    free(names);
    return true;
}

static void switch_interface(struct top *t)
{
    if (!next_interface(t->name))
        return;
    end_question(&t->question);
    forget_samples(t);
    t->view.paused = false;
    t->view.message = NULL;
    t->view.first = 0;
    t->next = 0;
}

/* False: it is no such key. */
static bool scroll(struct cq_top_view *view, int key)
{
    size_t room = cq_top_room(view), page = room > 1 ? room - 1 : 1, *first = &view->first;

    switch (key) {
    case CQ_KEY_UP:
        *first -= *first > 0;
        return true;
    case CQ_KEY_DOWN:
        *first += 1; /* drawing sets a bound */
        return true;
    case CQ_KEY_PAGE_UP:
        *first -= *first < page ? *first : page;
        return true;
    case CQ_KEY_PAGE_DOWN:
        *first += page;
        return true;
    case CQ_KEY_HOME:
        *first = 0;
        return true;
    case CQ_KEY_END:
        *first = SIZE_MAX;
        return true;
    default:
        return false;
    }
}

/* False: quit. */
static bool take_key(struct top *t, int key)
{
    static const char sort_keys[] = "nrtad"; /* in the order of enum cq_top_sort */
    const char *sort = key > ' ' && key < DELETE ? strchr(sort_keys, key) : NULL;

    if (scroll(&t->view, key))
        return true;
    if (t->view.filtering) {
        edit_filter(&t->view, key);
    } else if (sort != NULL) {
        t->view.sort = (enum cq_top_sort)(sort - sort_keys);
        t->view.first = 0;
    } else if (key == '/') {
        t->view.filtering = true;
    } else if (key == ESCAPE) {
        t->view.filter[0] = '\0';
        t->view.help = false;
    } else if (key == 'p' || key == ' ') {
        t->view.paused = !t->view.paused;
    } else if (key == 'h' || key == '?') {
        t->view.help = !t->view.help;
    } else if (key == TAB) {
        switch_interface(t);
    }
    return key != 'q' || t->view.filtering;
}

static void show_live(struct top *t)
{
    int key = 0;

    do {
        cq_time now = cq_clock_now();
        if (t->question.fd >= 0 && now >= t->question.at + 5 * period) {
            end_question(&t->question);
            tell(t, "the node does not answer");
        }
        if (t->question.fd < 0 && now >= t->next && !t->view.paused)
            ask(t, now);
        draw(t);
        cq_time left = t->question.fd < 0 && !t->view.paused ? t->next - now : period;
        bool answered = false;
        key =
            cq_term_wait(t->question.fd, left > 0 ? (int)(left / CQ_NS_PER_MS) + 1 : 0, &answered);
        if (answered)
            read_answer(t);
    } while (key >= 0 && (key == 0 || take_key(t, key)));
}

/* Whether there is something to look at; else it is said why not. */
static int find_node(struct top *t, const char *name)
{
    struct cq_node_status status;

    if (name != NULL)
        snprintf(t->name, sizeof(t->name), "%s", name);
    else if (!next_interface(t->name))
        return cq_cli_fail("no interface is running");
    enum cq_err err = cq_client_status(t->name, &status);
    if (err == CQ_OK)
        cq_node_status_free(&status);
    if (err == CQ_ERR_NOTFOUND)
        return cq_cli_fail("%s: no such interface is running", t->name);
    return err == CQ_OK ? CQ_EXIT_OK : CQ_EXIT_FAILURE;
}

static int run(int argc, char **argv)
{
    struct top t = {.question.fd = -1, .view.sort = CQ_TOP_RX};
    const char *name;

    if (cq_cli_arguments("top", argc, argv, 0, 1, &name) != CQ_OK)
        return CQ_EXIT_USAGE;
    if (name != NULL && !cq_conf_interface_is_valid(name))
        return cq_cli_usage("top", "%.40s is not an interface's name", name);
    if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
        return cq_cli_usage("top", "it needs a terminal; cryprq show prints the same once");
    int result = find_node(&t, name);
    if (result != CQ_EXIT_OK)
        return result;
    if (!cq_term_enter())
        return cq_cli_fail("cannot set the terminal up: %s", strerror(errno));
    show_live(&t);
    cq_term_leave();
    end_question(&t.question);
    forget_samples(&t);
    return CQ_EXIT_OK;
}

const struct cq_cli_command cq_cmd_top = {
    .name = "top",
    .arguments = "[NAME]",
    .summary = "Show an interface and its peers live",
    .help = "A full-screen view, new every second, until q, SIGINT or SIGTERM; without a NAME, of "
            "the first\n"
            "interface that runs. Keys:\n"
            "\n"
            "  n r t a d   sort by name, rate received, rate sent, age of keys, drops\n"
            "  /           show only peers with a text in their name (Enter ends, Escape clears)\n"
            "  p, blank    pause, and go on\n"
            "  up, down    scroll, where there are more peers than lines; also page up and page "
            "down,\n"
            "              Home and End\n"
            "  Tab         next interface\n"
            "  h, ?        help\n"
            "  q           quit\n"
            "\n"
            "The drops of a peer are own handshakes that failed, and handshakes of the peer that "
            "were refused.\n"
            "Processor time and memory are shown where the node's process can be seen.\n",
    .run = run,
};
