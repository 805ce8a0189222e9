#include "node/clients.h"

#include "base/log.h"
#include "conf/control.h"
#include "engine/engine.h"
#include "node/control.h"
#include "node/report.h"
#include "os/clock.h"
#include "os/logout.h"
#include "os/unix.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A client: READING its request -> (rotate) WAITING for handshakes -> WRITING the response ->
 * closed. From every state it is closed when its time is over or it goes away. One that wants to
 * WATCH stays until it goes away; it has a bounded feed, and is told how many events it missed.
 */
enum state { FREE, READING, WAITING, WRITING, WATCHING };

/* One peer of a rotate request. */
struct rotation {
    size_t index;                   /* in the configuration */
    uint64_t before;                /* handshakes completed when it was asked for */
    uint8_t sid[CQ_SESSION_ID_LEN]; /* session of that moment; zero: none */
    bool ended;
    struct cq_control_rotated result;
};

struct client {
    enum state state;
    int fd;
    uint64_t number; /* in the order of connecting */
    cq_time deadline;
    bool half_closed; /* it will say nothing more, but may still want the answer */
    size_t len;       /* of the request so far */
    char request[CQ_CONTROL_REQUEST_MAX];
    struct rotation *rotations; /* WAITING */
    size_t num_rotations;
    char *response; /* WRITING */
    size_t response_len, response_sent;
    struct cq_logout *feed; /* WATCHING */
    enum cq_level level;
    bool stuck; /* the feed waits until the socket takes more */
};

struct cq_clients {
    struct cq_control *control;
    uint64_t num_accepted;
    int num_watchers;
    struct client clients[CQ_CLIENTS_MAX];
};

static const char too_many[] = "the node serves too many commands at the moment";
static const cq_time request_time = 5 * CQ_NS_PER_S;
static const cq_time response_time = 15 * CQ_NS_PER_S;

enum cq_err cq_clients_new(struct cq_clients **out, struct cq_control *control)
{
    struct cq_clients *clients = calloc(1, sizeof(*clients));

    if (clients == NULL)
        return CQ_ERR_NOMEM;
    clients->control = control;
    *out = clients;
    return CQ_OK;
}

static void end_client(struct client *c)
{
    if (c->state == FREE)
        return;
    close(c->fd); /* which takes it out of the epoll set as well */
    free(c->rotations);
    free(c->response);
    free(c->feed);
    memset(c, 0, sizeof(*c));
}

void cq_clients_free(struct cq_clients *clients)
{
    if (clients == NULL)
        return;
    cq_log_set_observer(NULL, NULL, CQ_LOG_ERROR);
    for (int i = 0; i < CQ_CLIENTS_MAX; i++)
        end_client(&clients->clients[i]);
    free(clients);
}

/* Says that there is no place. What it sent is read first: closing with something unread would take
 * the answer back. */
static void turn_away(int fd)
{
    struct cq_control_response response = {.kind = CQ_CONTROL_KIND_ERROR};
    char waste[CQ_CONTROL_REQUEST_MAX];
    char *line;
    size_t len;

    snprintf(response.error, sizeof(response.error), "%s", too_many);
    (void)!recv(fd, waste, sizeof(waste), MSG_DONTWAIT);
    if (cq_control_response_encode(&response, &line, &len) != CQ_OK)
        return;
    (void)!send(fd, line, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    free(line);
}

/* Writes what the socket takes; the rest follows when it takes more. */
static void continue_writing(struct client *c)
{
    while (c->response_sent < c->response_len) {
        ssize_t n = send(c->fd, c->response + c->response_sent, c->response_len - c->response_sent,
                         MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0)
            break;
        c->response_sent += (size_t)n;
    }
    end_client(c);
}

static void respond(struct cq_clients *clients, struct client *c,
                    const struct cq_control_response *response, cq_time now)
{
    if (cq_control_response_encode(response, &c->response, &c->response_len) != CQ_OK ||
        cq_control_watch(clients->control, c->fd, CQ_WATCH_WRITE) != CQ_OK) {
        end_client(c);
        return;
    }
    c->state = WRITING;
    c->deadline = now + response_time;
    continue_writing(c);
}

static void respond_error(struct cq_clients *clients, struct client *c, const char *text,
                          cq_time now)
{
    struct cq_control_response response = {.kind = CQ_CONTROL_KIND_ERROR};

    snprintf(response.error, sizeof(response.error), "%s", text);
    respond(clients, c, &response, now);
}

static void show(struct cq_clients *clients, struct client *c, cq_time now)
{
    struct cq_control_response *response = calloc(1, sizeof(*response));

    if (response == NULL) {
        end_client(c);
        return;
    }
    response->kind = CQ_CONTROL_KIND_STATUS;
    if (cq_report_status(clients->control, &response->status, now) != CQ_OK)
        respond_error(clients, c, "out of memory", now);
    else
        respond(clients, c, response, now);
    cq_control_response_free(response);
    free(response);
}

/* Starts a handshake with the peer, or says at once why not. */
static void begin_rotation(struct cq_control *control, struct rotation *r, cq_time now)
{
    const struct cq_conf_peer *peer = &control->conf->peers[r->index];
    uint32_t number = control->numbers[r->index];
    struct cq_peer_status status;

    memcpy(r->result.id, peer->id, sizeof(r->result.id));
    memcpy(r->result.name, peer->name, sizeof(r->result.name));
    enum cq_err err = cq_engine_peer_status(control->engine, number, &status);
    if (err == CQ_OK) {
        r->before = status.completed;
        if (status.has_session)
            memcpy(r->sid, status.sid, sizeof(r->sid));
        err = cq_engine_rotate(control->engine, number, now);
    }
    if (err == CQ_OK)
        return;
    r->ended = true;
    snprintf(r->result.error, sizeof(r->result.error), "%s",
             err == CQ_ERR_STATE ? "no address of the peer is known" : cq_err_text(err));
}

static void rotate(struct cq_clients *clients, struct client *c,
                   const struct cq_control_request *request, cq_time now)
{
    const struct cq_conf *conf = clients->control->conf;
    size_t num = 0;

    c->rotations = calloc(conf->num_peers + 1, sizeof(*c->rotations));
    if (c->rotations == NULL) {
        end_client(c);
        return;
    }
    for (size_t i = 0; i < conf->num_peers; i++)
        if (!request->has_peer || memcmp(conf->peers[i].id, request->peer, CQ_PEER_ID_LEN) == 0)
            c->rotations[num++].index = i;
    if (request->has_peer && num == 0) {
        respond_error(clients, c, "no such peer", now);
        return;
    }
    c->num_rotations = num;
    c->state = WAITING;
    c->deadline = now + CQ_CONTROL_ROTATE_TIMEOUT_MS * CQ_NS_PER_MS;
    for (size_t i = 0; i < num; i++)
        begin_rotation(clients->control, &c->rotations[i], now);
}

/* ---- watching ---- */

static void tell_missed(const struct cq_clients *clients, struct client *c, uint64_t count)
{
    const struct cq_field fields[] = {
        cq_field_text("interface", clients->control->conf->interface),
        cq_field_int("count", (int64_t)count),
        {0},
    };
    const struct cq_logline event = {
        .event = CQ_EVENT_EVENTS_MISSED, .wall = cq_clock_wall(), .fields = fields};
    char line[CQ_LOGLINE_MAX];
    size_t len = cq_logline_json(line, sizeof(line) - 1, &event);

    line[len++] = '\n';
    cq_logout_write(c->feed, line, len);
}

/* Goes on with what a feed holds; says what did not fit. */
static void continue_feed(const struct cq_clients *clients, struct client *c)
{
    cq_logout_flush(c->feed);
    uint64_t missed = cq_logout_take_lost(c->feed);
    if (missed > 0)
        tell_missed(clients, c, missed);
    bool stuck = !cq_logout_is_empty(c->feed);
    bool gone = c->feed->dead;
    if (!gone && stuck != c->stuck)
        gone = cq_control_watch(clients->control, c->fd, stuck ? CQ_WATCH_WRITE : CQ_WATCH_READ) !=
               CQ_OK;
    if (gone)
        end_client(c);
    else
        c->stuck = stuck;
}

/* Has it gone? It has nothing more to say. */
static void continue_watching(const struct cq_clients *clients, struct client *c)
{
    char waste[64];
    ssize_t n = recv(c->fd, waste, sizeof(waste), 0);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        end_client(c);
    else
        continue_feed(clients, c);
}

/* line: with its newline */
static void tell_all(struct cq_clients *clients, enum cq_level level, const char *line, size_t len)
{
    for (int i = 0; i < CQ_CLIENTS_MAX; i++) {
        struct client *c = &clients->clients[i];
        if (c->state != WATCHING || level > c->level)
            continue;
        cq_logout_write(c->feed, line, len);
        continue_feed(clients, c);
    }
}

static void observe(void *ctx, const struct cq_logline *event)
{
    char line[CQ_LOGLINE_MAX];
    size_t len = cq_logline_json(line, sizeof(line) - 1, event);

    line[len++] = '\n';
    tell_all(ctx, cq_event_level(event->event), line, len);
}

void cq_clients_tell(struct cq_clients *clients, enum cq_event event, const char *line, size_t len)
{
    char text[CQ_LOGLINE_MAX];

    if (len >= sizeof(text))
        return;
    memcpy(text, line, len);
    text[len++] = '\n';
    tell_all(clients, cq_event_level(event), text, len);
}

/* Events are told as far down as somebody wants them. */
static void set_observer(struct cq_clients *clients)
{
    enum cq_level level = CQ_LOG_ERROR;
    int num = 0;

    for (int i = 0; i < CQ_CLIENTS_MAX; i++) {
        const struct client *c = &clients->clients[i];
        if (c->state != WATCHING)
            continue;
        num++;
        level = c->level > level ? c->level : level;
    }
    clients->num_watchers = num;
    cq_log_set_observer(num > 0 ? observe : NULL, clients, level);
}

static void watch(struct cq_clients *clients, struct client *c, enum cq_level level, cq_time now)
{
    struct cq_control_response response = {.kind = CQ_CONTROL_KIND_WATCHING};
    const struct cq_logout_target target = {.fd = c->fd, .way = CQ_LOGOUT_SOCKET};
    char *line;
    size_t len;

    set_observer(clients);
    if (clients->num_watchers >= CQ_CLIENTS_WATCHERS_MAX) {
        respond_error(clients, c, "too many are watching this node already", now);
        return;
    }
    c->feed = malloc(sizeof(*c->feed));
    if (c->feed == NULL || cq_control_response_encode(&response, &line, &len) != CQ_OK) {
        end_client(c);
        return;
    }
    cq_logout_init(c->feed, &target);
    cq_logout_write(c->feed, line, len);
    free(line);
    c->state = WATCHING;
    c->level = level;
    c->deadline = CQ_TIME_NEVER;
    set_observer(clients);
    continue_feed(clients, c);
}

/* ---- requests ---- */

static void serve(struct cq_clients *clients, struct client *c, size_t line_len, cq_time now)
{
    struct cq_control_request request;
    char reason[CQ_CONTROL_ERROR_MAX + 1];

    if (cq_control_request_decode(&request, c->request, line_len, reason) != CQ_OK) {
        respond_error(clients, c, reason, now);
        return;
    }
    switch (request.command) {
    case CQ_CONTROL_SHOW:
        show(clients, c, now);
        break;
    case CQ_CONTROL_ROTATE:
        rotate(clients, c, &request, now);
        break;
    case CQ_CONTROL_WATCH:
        watch(clients, c, request.level, now);
        break;
    }
}

static void continue_reading(struct cq_clients *clients, struct client *c, cq_time now)
{
    size_t room = sizeof(c->request) - c->len;
    ssize_t n = recv(c->fd, c->request + c->len, room, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        end_client(c);
        return;
    }
    c->len += (size_t)n;
    const char *end = memchr(c->request, '\n', c->len);
    if (end != NULL)
        serve(clients, c, (size_t)(end - c->request) + 1, now);
    else if (c->len == sizeof(c->request))
        respond_error(clients, c, "request is too long", now);
}

/* A free place. Requests that have arrived by now are served first, and then it is the place of the
 * client that has said nothing for the longest time. NULL: all are served. */
static struct client *find_place(struct cq_clients *clients, cq_time now)
{
    struct client *oldest = NULL;

    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < CQ_CLIENTS_MAX; i++) {
            struct client *c = &clients->clients[i];
            if (round > 0 && c->state == READING)
                continue_reading(clients, c, now);
            if (c->state == FREE)
                return c;
            if (round > 0 && c->state == READING && (oldest == NULL || c->number < oldest->number))
                oldest = c;
        }
    }
    if (oldest != NULL) {
        turn_away(oldest->fd);
        end_client(oldest);
    }
    return oldest;
}

void cq_clients_accept(struct cq_clients *clients, int listener, cq_time now)
{
    int fd;

    while (cq_unix_accept(listener, &fd) == CQ_OK) {
        struct client *c = find_place(clients, now);
        if (c == NULL || cq_control_watch(clients->control, fd, CQ_WATCH_READ) != CQ_OK) {
            turn_away(fd);
            close(fd);
            continue;
        }
        *c = (struct client){.state = READING,
                             .fd = fd,
                             .number = clients->num_accepted++,
                             .deadline = now + request_time};
    }
}

/* While handshakes run: has it gone? */
static void look_after(struct cq_clients *clients, struct client *c)
{
    char waste[64];
    ssize_t n = recv(c->fd, waste, sizeof(waste), 0);

    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    if (n < 0 || c->half_closed || cq_control_watch(clients->control, c->fd, CQ_WATCH_END) != CQ_OK)
        end_client(c);
    else
        c->half_closed = true;
}

void cq_clients_ready(struct cq_clients *clients, int fd, cq_time now)
{
    for (int i = 0; i < CQ_CLIENTS_MAX; i++) {
        struct client *c = &clients->clients[i];
        if (c->state == FREE || c->fd != fd)
            continue;
        switch (c->state) {
        case READING:
            continue_reading(clients, c, now);
            break;
        case WAITING:
            look_after(clients, c);
            break;
        case WRITING:
            continue_writing(c);
            break;
        case WATCHING:
            continue_watching(clients, c);
            break;
        case FREE:
            break;
        }
        return;
    }
}

void cq_clients_reconfigured(struct cq_clients *clients, const int *to_after)
{
    for (int i = 0; i < CQ_CLIENTS_MAX; i++) {
        struct client *c = &clients->clients[i];
        for (size_t k = 0; k < c->num_rotations; k++) {
            struct rotation *r = &c->rotations[k];
            int index = to_after[r->index];
            if (!r->ended && index < 0)
                snprintf(r->result.error, sizeof(r->result.error), "the peer was removed");
            r->ended = r->ended || index < 0;
            r->index = index < 0 ? 0 : (size_t)index;
        }
    }
}

static void update_rotation(const struct cq_control *control, struct rotation *r)
{
    struct cq_peer_status status;
    uint32_t number = control->numbers[r->index];

    if (cq_engine_peer_status(control->engine, number, &status) != CQ_OK)
        return;
    if (status.completed > r->before && status.has_session &&
        memcmp(status.sid, r->sid, sizeof(r->sid)) != 0) {
        r->ended = true;
        r->result.duration_us = (uint64_t)(status.last_duration / 1000);
        memcpy(r->result.session_id, status.sid, sizeof(r->result.session_id));
    }
}

static void finish_rotations(struct cq_clients *clients, struct client *c, cq_time now)
{
    struct cq_control_response response = {.kind = CQ_CONTROL_KIND_ROTATED,
                                           .num_rotated = c->num_rotations};

    response.rotated = calloc(c->num_rotations + 1, sizeof(*response.rotated));
    if (response.rotated == NULL) {
        end_client(c);
        return;
    }
    for (size_t i = 0; i < c->num_rotations; i++) {
        if (!c->rotations[i].ended)
            snprintf(c->rotations[i].result.error, sizeof(c->rotations[i].result.error),
                     "the peer did not answer in time");
        response.rotated[i] = c->rotations[i].result;
    }
    respond(clients, c, &response, now);
    cq_control_response_free(&response);
}

static void update_client(struct cq_clients *clients, struct client *c, cq_time now)
{
    size_t left = 0;

    if (c->state != WAITING) {
        if (now >= c->deadline)
            end_client(c);
        return;
    }
    for (size_t i = 0; i < c->num_rotations; i++) {
        if (!c->rotations[i].ended)
            update_rotation(clients->control, &c->rotations[i]);
        left += !c->rotations[i].ended;
    }
    if (left == 0 || now >= c->deadline)
        finish_rotations(clients, c, now);
}

void cq_clients_update(struct cq_clients *clients, cq_time now)
{
    if (clients->num_watchers > 0)
        set_observer(clients); /* some may have gone */
    for (int i = 0; i < CQ_CLIENTS_MAX; i++)
        if (clients->clients[i].state != FREE)
            update_client(clients, &clients->clients[i], now);
}

cq_time cq_clients_next_expiry(const struct cq_clients *clients)
{
    cq_time next = CQ_TIME_NEVER;

    for (int i = 0; i < CQ_CLIENTS_MAX; i++)
        if (clients->clients[i].state != FREE)
            next = cq_time_min(next, clients->clients[i].deadline);
    return next;
}
