#include "cli/term.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { ESCAPE = 27 };

static const char enter_screen[] = "\x1b[?1049h\x1b[?25l\x1b[2J";
static const char leave_screen[] = "\x1b[0m\x1b[?25h\x1b[?1049l";
static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

static struct termios before;
static sigset_t while_waiting;
static bool entered;
static volatile sig_atomic_t ending, stopping;
static unsigned char input[64]; /* read, and not yet given as keys */
static size_t input_len;

static void on_end(int number)
{
    (void)number;
    ending = 1;
}

static void on_stop(int number)
{
    (void)number;
    stopping = 1;
}

/* It only has to interrupt. */
static void on_resize(int number)
{
    (void)number;
}

static void handle(sigset_t *set, int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};

    sigaddset(set, number);
    sigaction(number, &action, NULL);
}

static void take_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        handle(&set, ends[i], on_end);
    handle(&set, SIGTSTP, on_stop);
    handle(&set, SIGWINCH, on_resize);
    sigprocmask(SIG_BLOCK, &set, &while_waiting);
    for (int number = 1; number < NSIG; number++)
        if (sigismember(&set, number) == 1)
            sigdelset(&while_waiting, number);
}

void cq_term_write(const char *text, size_t len)
{
    sigset_t blocked;

    /* A terminal that was stopped must not keep the program from ending. */
    sigprocmask(SIG_SETMASK, &while_waiting, &blocked);
    while (len > 0 && !ending) {
        ssize_t n = write(STDOUT_FILENO, text, len);
        if (n < 0 && errno != EINTR)
            break;
        if (n > 0) {
            text += n;
            len -= (size_t)n;
        }
    }
    sigprocmask(SIG_SETMASK, &blocked, NULL);
}

static void show_screen(void)
{
    struct termios raw = before;

    raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    cq_term_write(enter_screen, strlen(enter_screen));
}

static void hide_screen(void)
{
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
    /* Goes on after Ctrl-S too, which TCOON alone would not. */
    tcflow(STDOUT_FILENO, TCOOFF);
    tcflow(STDOUT_FILENO, TCOON);
    (void)!write(STDOUT_FILENO, leave_screen, strlen(leave_screen));
}

bool cq_term_enter(void)
{
    if (!isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &before) != 0)
        return false;
    take_signals();
    entered = true;
    atexit(cq_term_leave);
    show_screen();
    return true;
}

void cq_term_leave(void)
{
    if (entered)
        hide_screen();
    entered = false;
}

struct cq_term_size cq_term_size(void)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0)
        return (struct cq_term_size){24, 80};
    return (struct cq_term_size){size.ws_row, size.ws_col};
}

/* As the shell wants it: the terminal is as it was while we are stopped. */
static void stop(void)
{
    stopping = 0;
    hide_screen();
    raise(SIGSTOP);
    show_screen();
}

static void read_more(void)
{
    ssize_t n = read(STDIN_FILENO, input + input_len, sizeof(input) - input_len);

    input_len += n > 0 ? (size_t)n : 0;
}

static void drop_input(size_t len)
{
    input_len -= len;
    memmove(input, input + len, input_len);
}

/* What a sequence between ESC and its end stands for; 0: nothing. */
static int key_of_sequence(const unsigned char *text, size_t len)
{
    static const struct {
        const char *text;
        int key;
    } keys[] = {
        {"[A", CQ_KEY_UP},    {"OA", CQ_KEY_UP},       {"[B", CQ_KEY_DOWN},
        {"OB", CQ_KEY_DOWN},  {"[5~", CQ_KEY_PAGE_UP}, {"[6~", CQ_KEY_PAGE_DOWN},
        {"[H", CQ_KEY_HOME},  {"OH", CQ_KEY_HOME},     {"[1~", CQ_KEY_HOME},
        {"[7~", CQ_KEY_HOME}, {"[F", CQ_KEY_END},      {"OF", CQ_KEY_END},
        {"[4~", CQ_KEY_END},  {"[8~", CQ_KEY_END},
    };

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (strlen(keys[i].text) == len && memcmp(keys[i].text, text, len) == 0)
            return keys[i].key;
    return 0;
}

/* The first key of the input; there is one byte at least. */
static int take_key(void)
{
    int key = input[0];
    size_t len = 1;

    /* The rest of a cursor key comes in the same moment. */
    if (key == ESCAPE && input_len < 3)
        read_more();
    if (key == ESCAPE && input_len > 1) {
        len = 2;
        if (input[1] == '[') /* parameters, and one byte that ends it */
            while (len < input_len && input[len] >= ' ' && input[len] <= '?')
                len++;
        if (len < input_len && (input[1] == '[' || input[1] == 'O'))
            len++;
        key = key_of_sequence(input + 1, len - 1);
    }
    drop_input(len);
    return key;
}

int cq_term_wait(int fd, int timeout_ms, bool *out_fd)
{
    struct pollfd p[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    struct timespec timeout = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000};

    *out_fd = false;
    if (input_len > 0 && !ending)
        return take_key();
    int n = ppoll(p, 2, &timeout, &while_waiting);
    if (ending)
        return -1;
    if (stopping)
        stop();
    if (n <= 0)
        return 0;
    *out_fd = p[1].revents != 0;
    if (p[0].revents == 0)
        return 0;
    read_more();
    return input_len > 0 ? take_key() : -1;
}
